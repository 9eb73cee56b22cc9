package session

import (
	"testing"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/wire"
)

func TestRaceProbe(t *testing.T) {
	r := NewRegistry(NewFlusher(1), nil)
	for range 200 {
		s, err := r.New(newPipe(t), wire.Protobuf, &Limits{Heartbeat: 1 << 40}, nil)
		if err != nil {
			t.Fatal(err)
		}
		frame := wire.For(wire.Protobuf).Append(nil, &message.Message{Topic: message.Connection, Action: message.ConnectionChallenge, SDKType: "javascript", SDKVersion: "7.0.5"})
		done := make(chan struct{})
		go func() { defer close(done); s.Receive(frame) }()
		r.beat(nil)
		<-done
	}
}
