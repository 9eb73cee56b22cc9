package wire

import (
	"errors"
	"testing"

	"github.com/dsproxy/dsproxy/server/message"
)

// TestUTF8: text that is none reaches nobody, in whatever field it comes.
func TestUTF8(t *testing.T) {
	const bad = "a\xff"
	f := func(id ID, frame string) {
		t.Helper()
		var got collector
		if err := For(id).Decode([]byte(frame), &got); !errors.Is(err, ErrUTF8) || len(got.messages) > 0 {
			t.Errorf("%q: %v and %d messages", frame, err, len(got.messages))
		}
	}
	f(TextG1, marks.Replace("E|EVT|n|S"+bad+"+"))
	f(TextG2, marks.Replace("E|S|"+bad+"+"))
	f(TextG2, marks.Replace("E|S|fine+E|S|"+bad+"+"))
	f(TextG1, "\xed\xa0\x80") // half of a surrogate pair
	f(JSON, `{"topic":4,"action":2,"name":"n","parsedData":"`+bad+`"}`)
	f(JSON, `{"topic":4,"action":2,"name":"n","data":"\"`+bad+`\""}`)
	f(JSON, `{"topic":4,"action":2,"name":"`+bad+`"}`)

	p := func(m message.Message) {
		t.Helper()
		fine := message.Message{Topic: message.Connection, Action: message.ConnectionPing}
		frame := For(Protobuf).Append(nil, &m)
		frame = For(Protobuf).Append(frame, &fine)
		var got collector
		if err := For(Protobuf).Decode(frame, &got); err != nil || len(got.malformed) != 1 || len(got.messages) != 1 {
			t.Errorf("%+v: %v, %d malformed and %d messages, want one each", m, err, len(got.malformed), len(got.messages))
		}
	}
	type M = message.Message
	p(M{Topic: message.Event, Action: message.EventEmit, Name: "n", Data: `"` + bad + `"`})
	p(M{Topic: message.Event, Action: message.EventEmit, Name: bad})
	p(M{Topic: message.Event, Action: message.EventSubscribe, Names: []string{"a", bad}})
	p(M{Topic: message.Event, Action: message.EventListenAccept, Name: "n", Subscription: bad})
	p(M{Topic: message.Record, Action: message.RecordPatch, Name: "n", Path: bad})
	p(M{Topic: message.Record, Action: message.RecordHead, Name: "n", CorrelationID: bad})
	p(M{Topic: message.Record, Action: message.RecordHead, Versions: []message.NameVersion{{Name: bad}}})
	p(M{Topic: message.RPC, Action: message.RPCRequest, Name: "n", RequestorName: bad})
	p(M{Topic: message.Connection, Action: message.ConnectionChallenge, URL: bad})
}
