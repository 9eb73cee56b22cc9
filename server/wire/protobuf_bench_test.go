package wire

import (
	"testing"

	"github.com/dsproxy/dsproxy/server/message"
)

// often are the messages that there are most of.
var often = []message.Message{
	{Topic: message.Event, Action: message.EventEmit, Name: "news/today", Data: `{"id":4711,"text":"the quick brown fox"}`},
	{Topic: message.Record, Action: message.RecordPatch, Name: "weather/here", Path: "a.b[1]", Data: "5", Version: 17, HasVersion: true, HasWriteAck: true},
	{Topic: message.RPC, Action: message.RPCRequest, Name: "add-two", CorrelationID: "k1x2y3", Data: `{"a":1,"b":2}`},
}

type nobody struct{}

func (nobody) Message(*message.Message) error   { return nil }
func (nobody) Malformed(*message.Message) error { return errMalformed }

func BenchmarkProtobuf(b *testing.B) {
	c := For(Protobuf)
	for i := range often {
		m := &often[i]
		frame := c.Append(nil, m)
		b.Run("append/"+m.Topic.String(), func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				buf = c.Append(buf[:0], m)
			}
		})
		b.Run("decode/"+m.Topic.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Decode(frame, nobody{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
