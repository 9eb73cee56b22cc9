package topic

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dsproxy/dsproxy/server/message"
)

// TestPack: what goes over the bus comes out the same, the value that protobuf
// clients do not get included.
func TestPack(t *testing.T) {
	for _, m := range []message.Message{
		{Topic: message.Event, Action: message.EventEmit, Name: "n", Data: `{"a":1}`},
		{Topic: message.Event, Action: message.EventEmit, Name: "n"},
		{Topic: message.Record, Action: message.RecordUpdate, Name: "r", Version: 0, HasVersion: true, Data: "{}", HasWriteAck: true},
		{Topic: message.Record, Action: message.RecordPatch, Name: "r", Version: 7, HasVersion: true, Path: "a[0].b"},
		{Topic: message.Record, Action: message.RecordPatchMulti, Name: "r", Version: 8, HasVersion: true, Data: `[{"path":"a"}]`, Full: `{"b":2}`},
		{Topic: message.Record, Action: message.RecordPatch, Name: "r", Version: 9, HasVersion: true, Path: "b", Base: 1 << 63, Sum: 1},
		{Topic: message.Record, Action: message.RecordDeleted, Name: "r"},
	} {
		got, err := Unpack(Pack(&m)[1:])
		if err != nil {
			t.Errorf("%+v: %v", m, err)
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Error(diff)
		}
	}
}

// FuzzUnpack: another node cannot bring this one down, and what is understood is
// passed on as it was.
func FuzzUnpack(f *testing.F) {
	f.Add(Pack(&message.Message{Topic: message.Record, Action: message.RecordPatchMulti, Name: "r", Data: "[]", Full: "{}"}))
	f.Add(append(Pack(&message.Message{Topic: message.Event, Action: message.EventEmit, Name: "n"}), "left"...))
	f.Add(Pack(&message.Message{Topic: message.Event, Action: message.EventEmit, Name: "n"}))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, err := Unpack(payload)
		if err != nil || m.Action >= message.TextOnly {
			return // no node sends those
		}
		again, err := Unpack(Pack(&m)[1:])
		if err != nil {
			t.Fatalf("%+v cannot be passed on: %v", m, err)
		}
		if diff := cmp.Diff(m, again); diff != "" {
			t.Error(diff)
		}
	})
}
