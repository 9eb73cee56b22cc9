package wire

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dsproxy/dsproxy/server/message"
)

func TestJSON(t *testing.T) {
	f := func(in string, want message.Message) {
		t.Helper()
		var got collector
		if err := For(JSON).Decode([]byte(in), &got); err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		if diff := cmp.Diff(collector{messages: []message.Message{want}}, got, cmp.AllowUnexported(collector{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
	}
	type M = message.Message
	f(`{"topic":2,"action":5,"url":"ws://x"}`, M{Topic: message.Connection, Action: message.ConnectionChallenge, URL: "ws://x"})
	f(`{"topic":3,"action":2,"parsedData":{"username":"al"}}`, M{Topic: message.Auth, Action: message.AuthRequest, Data: `{"username":"al"}`})
	f(`{"topic":3,"action":2,"data":"{}"}`, M{Topic: message.Auth, Action: message.AuthRequest, Data: `{}`})
	f(`{"topic":4,"action":3,"names":["ev"],"correlationId":"0"}`, M{Topic: message.Event, Action: message.EventSubscribe, Names: []string{"ev"}, CorrelationID: "0"})

	out := For(JSON).Append(nil, &M{Topic: message.Record, Action: message.RecordReadResponse, Name: "jr", Data: "{}", HasVersion: true})
	if want := `{"topic":5,"action":4,"name":"jr","version":0,"parsedData":{}}`; string(out) != want {
		t.Errorf("got %s, want %s", out, want)
	}
	var got collector
	if For(JSON).Decode([]byte("{"), &got) == nil {
		t.Error("garbage did not end the connection")
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"topic":5,"action":18,"name":"r","version":-1,"isWriteAck":false,"parsedData":[1]}`))
	f.Fuzz(func(t *testing.T, frame []byte) {
		var got collector
		if For(JSON).Decode(frame, &got) != nil {
			return
		}
		for i := range got.messages {
			For(JSON).Append(nil, &got.messages[i])
		}
	})
}
