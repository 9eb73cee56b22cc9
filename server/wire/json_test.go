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

	g := func(m M, want string) {
		t.Helper()
		if out := For(JSON).Append(nil, &m); string(out) != want {
			t.Errorf("got %s, want %s", out, want)
		}
	}
	g(M{Topic: message.Record, Action: message.RecordReadResponse, Name: "jr", Data: "{}", HasVersion: true},
		`{"topic":5,"action":4,"name":"jr","version":0,"parsedData":{}}`)
	g(M{Topic: message.Event, Action: message.EventSubscribe, Names: []string{}, IsAck: true}, `{"topic":4,"action":3,"isAck":true}`)
	g(M{Topic: message.RPC, Action: message.RPCRequest, Name: "p", CorrelationID: "c", RequestorName: "al", RequestorData: `{"role":"x"}`},
		`{"topic":6,"action":2,"name":"p","correlationId":"c","requestorName":"al","requestorData":"{\"role\":\"x\"}"}`)
	// What client 7 reads without asking whether it is there.
	g(M{Topic: message.Presence, Action: message.PresenceQueryAllResponse}, `{"topic":7,"action":3,"names":[]}`)
	g(M{Topic: message.Record, Action: message.RecordHeadResponseBulk}, `{"topic":5,"action":8,"versions":{}}`)
}

func TestJSONGarbage(t *testing.T) {
	want := collector{malformed: []message.Message{{Topic: message.Parser, Action: message.ParserMessageParseError, IsError: true}}}
	for _, frame := range []string{"{", "", "5", "[]", `{"topic":"R"}`, `{"topic":4,"action":2}{}`} {
		var got collector
		if err := For(JSON).Decode([]byte(frame), &got); err != nil {
			t.Errorf("%q: %v", frame, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(collector{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", frame, diff)
		}
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
