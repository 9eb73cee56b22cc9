package wire

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/dsproxy/dsproxy/server/message"
)

// marks writes the separators as bars and plus signs.
var marks = strings.NewReplacer("|", "\x1f", "+", "\x1e")

func TestTextDecode(t *testing.T) {
	f := func(id ID, frame string, want ...message.Message) {
		t.Helper()
		var got collector
		if err := For(id).Decode([]byte(marks.Replace(frame)), &got); err != nil {
			t.Fatal(err)
		}
		for i := range got.messages {
			got.messages[i].Raw = ""
		}
		if diff := cmp.Diff(collector{messages: want}, got, cmp.AllowUnexported(collector{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", frame, diff)
		}
	}
	type M = message.Message
	const e, r, p = message.Event, message.Record, message.RPC
	f(TextG1, "C|CHR|ws://host:6020+", M{Topic: message.Connection, Action: message.ConnectionChallenge, URL: "ws://host:6020"})
	f(TextG1, `A|REQ|{"username":"al"}+`, M{Topic: message.Auth, Action: message.AuthRequest, Data: `{"username":"al"}`})
	f(TextG1, "E|S|news+E|US|news+", M{Topic: e, Action: message.EventSubscribe, Name: "news"}, M{Topic: e, Action: message.EventUnsubscribe, Name: "news"})
	f(TextG1, "E|EVT|news|Shi+", M{Topic: e, Action: message.EventEmit, Name: "news", Data: `"hi"`})
	f(TextG1, "E|EVT|news+", M{Topic: e, Action: message.EventEmit, Name: "news"})
	f(TextG1, "E|EVT|n|U+E|EVT|n|T+E|EVT|n|F+E|EVT|n|L+E|EVT|n|N-1.5+",
		M{Topic: e, Action: message.EventEmit, Name: "n"}, M{Topic: e, Action: message.EventEmit, Name: "n", Data: "true"},
		M{Topic: e, Action: message.EventEmit, Name: "n", Data: "false"}, M{Topic: e, Action: message.EventEmit, Name: "n", Data: "null"},
		M{Topic: e, Action: message.EventEmit, Name: "n", Data: "-1.5"})
	f(TextG1, "R|CR|rec+", M{Topic: r, Action: message.RecordSubscribeCreateAndRead, Name: "rec"})
	f(TextG1, `R|U|rec|1|{"a":1}+`, M{Topic: r, Action: message.RecordUpdate, Name: "rec", Version: 1, HasVersion: true, Data: `{"a":1}`})
	f(TextG1, "R|P|rec|2|b.c|N5+", M{Topic: r, Action: message.RecordPatch, Name: "rec", Version: 2, HasVersion: true, Path: "b.c", Data: "5"})
	f(TextG2, `R|P|rec|2|b|N5|{"writeSuccess":true}+`,
		M{Topic: r, Action: message.RecordPatch, Name: "rec", Version: 2, HasVersion: true, Path: "b", Data: "5", IsWriteAck: true, HasWriteAck: true})
	f(TextG2, `R|CU|up|-1|{"a":1}|{}+`, M{Topic: r, Action: message.RecordCreateAndUpdate, Name: "up", Version: -1, HasVersion: true, Data: `{"a":1}`, HasWriteAck: true})
	f(TextG2, `R|CU|up|-1|p|Sx|{}+`, M{Topic: r, Action: message.RecordCreateAndPatch, Name: "up", Version: -1, HasVersion: true, Path: "p", Data: `"x"`, HasWriteAck: true})
	f(TextG1, "E|LA|x.*|x1+", M{Topic: e, Action: message.EventListenAccept, Name: "x.*", Subscription: "x1"})
	f(TextG1, `P|REQ|add|c1|O{"x":1}+P|A|add|c1+`,
		M{Topic: p, Action: message.RPCRequest, Name: "add", CorrelationID: "c1", Data: `{"x":1}`},
		M{Topic: p, Action: message.RPCAccept, Name: "add", CorrelationID: "c1"})
	f(TextG2, "P|A|REQ|add|c1+", M{Topic: p, Action: message.RPCAccept, Name: "add", CorrelationID: "c1"})
	f(TextG1, "P|E|boom|add|c3+", M{Topic: p, Action: message.RPCRequestError, Name: "add", CorrelationID: "c3", Data: `"boom"`})
	f(TextG2, "U|Q|Q+U|S|S+", M{Topic: message.Presence, Action: message.PresenceQueryAll}, M{Topic: message.Presence, Action: message.PresenceSubscribeAll})
	f(TextG1, "U|Q|Q+", M{Topic: message.Presence, Action: message.PresenceQueryAll}) // which its clients do not ask, but may
	f(TextG2, `U|Q|7|["bo","zz"]+`, M{Topic: message.Presence, Action: message.PresenceQuery, CorrelationID: "7", Names: []string{"bo", "zz"}})
	f(TextG1, "x+", []message.Message(nil)...) // too short to be anything
}

// TestTextMalformed: each piece of garbage has its answer, in the words of the
// dialect.
func TestTextMalformed(t *testing.T) {
	f := func(id ID, frame, answer string) {
		t.Helper()
		var got collector
		if err := For(id).Decode([]byte(marks.Replace(frame)), &got); err != nil {
			t.Fatal(err)
		}
		var b []byte
		for i := range got.malformed {
			b = For(id).Append(b, &got.malformed[i])
		}
		if want := marks.Replace(answer); string(b) != want || len(got.messages) > 0 {
			t.Errorf("%s: answered %q, want %q; %d messages", frame, b, want, len(got.messages))
		}
	}
	f(TextG1, "E|NOPE|x+", "X|E|MESSAGE_PARSE_ERROR|E|NOPE|x+")
	f(TextG1, "nonsense+", "X|E|MESSAGE_PARSE_ERROR|nonsense+")
	f(TextG1, "Z|S|x+", "X|E|UNKNOWN_TOPIC|Z+")
	f(TextG1, "R|P|rec|xx|b.c|N5+", "R|E|INVALID_VERSION|rec|NaN+")
	f(TextG1, "R|P|rec|3|b.c+", "R|E|INVALID_MESSAGE_DATA|R|P|rec|3|b.c+")
	f(TextG1, "E|S+", "E|E|INVALID_MESSAGE_DATA|E|S+")
	f(TextG1, "E|EVT|n|Qx+", "E|E|INVALID_MESSAGE_DATA|E|EVT|n|Qx+")
	f(TextG1, "U|S+", "U|E|INVALID_PRESENCE_USERS|U|S+")
	f(TextG2, "U|Q|1|al+", "U|E|INVALID_PRESENCE_USERS|U|Q|1|al+")
	f(TextG1, "R|CU|x|1|{}|{}+", "X|E|MESSAGE_PARSE_ERROR|R|CU|x|1|{}|{}+") // of the later dialect
}

func TestTextAppend(t *testing.T) {
	f := func(id ID, m message.Message, want string) {
		t.Helper()
		if got := For(id).Append(nil, &m); string(got) != marks.Replace(want) {
			t.Errorf("%+v: got %q, want %q", m, got, marks.Replace(want))
		}
	}
	type M = message.Message
	const e, r, p, u = message.Event, message.Record, message.RPC, message.Presence
	f(TextG1, M{Topic: message.Connection, Action: message.ConnectionChallenge}, "C|CH+")
	f(TextG1, M{Topic: message.Auth, Action: message.AuthSuccessful, Data: `{"x":1}`}, `A|A|O{"x":1}+`)
	f(TextG1, M{Topic: message.Auth, Action: message.AuthUnsuccessful}, "A|E|INVALID_AUTH_DATA|U+")
	f(TextG1, M{Topic: message.Auth, Action: message.AuthTooManyAuthAttempts}, "A|E|TOO_MANY_AUTH_ATTEMPTS|Stoo many authentication attempts+")
	f(TextG1, M{Topic: e, Action: message.EventSubscribe, IsAck: true, Names: []string{"a", "b"}}, "E|A|S|a+E|A|S|b+")
	f(TextG1, M{Topic: e, Action: message.EventEmit, Name: "ev"}, "E|EVT|ev|U+")
	f(TextG1, M{Topic: e, Action: message.EventEmit, Name: "ev", Data: `"a\nb \u00e9"`}, "E|EVT|ev|Sa\nb é+")
	f(TextG1, M{Topic: e, Action: message.EventMultipleSubscriptions, Name: "x"}, "E|E|MULTIPLE_SUBSCRIPTIONS|x+")
	f(TextG1, M{Topic: r, Action: message.RecordSubscribeCreateAndRead, IsAck: true, Name: "rec"}, "R|A|S|rec+")
	f(TextG1, M{Topic: r, Action: message.RecordReadResponse, Name: "rec", Data: "{}"}, "R|R|rec|0|{}+")
	f(TextG1, M{Topic: r, Action: message.RecordVersionExists, Name: "rec", Version: 2, Data: `{"a":1}`}, `R|E|VERSION_EXISTS|rec|2|{"a":1}+`)
	f(TextG2, M{Topic: r, Action: message.RecordVersionExists, Name: "rec", Version: 2, Data: `{}`, IsWriteAck: true}, `R|E|VERSION_EXISTS|rec|2|{}|{"writeSuccess":true}+`)
	f(TextG1, M{Topic: r, Action: message.RecordUpdateError, Name: "nope", Version: 1}, "R|E|RECORD_UPDATE_ERROR|1+")
	f(TextG1, M{Topic: r, Action: message.RecordNotFound, Name: "nope", OriginalAction: message.RecordRead}, "R|E|SN|nope|RECORD_NOT_FOUND+")
	f(TextG1, M{Topic: r, Action: message.RecordDeleted, Name: "rec"}, "R|A|D|rec+")
	f(TextG1, M{Topic: r, Action: message.RecordHas, Name: "rec", Data: "true"}, "R|H|rec|T+")
	f(TextG1, M{Topic: r, Action: message.RecordSubscriptionHasProvider, Name: "rec"}, "R|SH|rec|T+")
	f(TextG1, M{Topic: r, Action: message.RecordPatch, Name: "rec", Version: 3, Path: "b"}, "R|P|rec|3|b|U+")
	f(TextG2, M{Topic: r, Action: message.RecordWriteAcknowledgement, Name: "rec", Version: 3}, "R|WA|rec|[3]|L+")
	f(TextG2, M{Topic: r, Action: message.RecordHeadResponse, Name: "rec", Version: 3}, "R|HD|rec|3+")
	f(TextG2, M{Topic: r, Action: message.RecordHeadResponse, Name: "rec", Version: -1}, "R|E|HD|rec|RECORD_NOT_FOUND+")
	f(TextG1, M{Topic: p, Action: message.RPCAccept, Name: "add", CorrelationID: "c1"}, "P|A|add|c1+")
	f(TextG2, M{Topic: p, Action: message.RPCAccept, Name: "add", CorrelationID: "c1"}, "P|A|REQ|add|c1+")
	f(TextG1, M{Topic: p, Action: message.RPCAcceptTimeout, Name: "add", CorrelationID: "c4"}, "P|E|ACK_TIMEOUT|add|c4+")
	f(TextG1, M{Topic: p, Action: message.RPCRequestError, Name: "add", CorrelationID: "c3", Data: `"boom"`}, "P|E|boom|add|c3+")
	f(TextG1, M{Topic: r, Action: message.RecordMessageDenied, Name: "rec", OriginalAction: message.RecordUpdate}, "R|E|MESSAGE_DENIED|rec|U+")
	f(TextG2, M{Topic: u, Action: message.PresenceQueryAllResponse, Names: []string{"bo", "cy"}}, "U|Q|bo|cy+")
	f(TextG2, M{Topic: u, Action: message.PresenceQueryAllResponse}, "U|Q+")
	f(TextG2, M{Topic: u, Action: message.PresenceJoinAll, Name: "cy"}, "U|PNJ|cy+")
	f(TextG2, M{Topic: u, Action: message.PresenceSubscribeAll, IsAck: true}, "U|A|S|S+")
	f(TextG1, M{Topic: u, Action: message.PresenceJoinAll, Name: "cy"}, "U|PNJ|cy+")
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"E|EVT|n|Shi+", `R|CU|n|-1|p|N1|{"writeSuccess":true}+`, `U|Q|1|["a"]+`, "P|A|REQ|a|b+"} {
		f.Add([]byte(marks.Replace(s)))
	}
	f.Add([]byte("E\x1fS\x1f\xff\x1e"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		for _, id := range []ID{TextG1, TextG2} {
			var got collector
			if err := For(id).Decode(frame, &got); (err != nil) == utf8.Valid(frame) {
				t.Fatalf("%q: %v", frame, err)
			}
			for i := range got.messages {
				For(id).Append(nil, &got.messages[i])
			}
			for i := range got.malformed {
				if len(For(id).Append(nil, &got.malformed[i])) == 0 {
					t.Fatalf("no answer to %q", frame)
				}
			}
		}
	})
}

// FuzzTyped: JSON survives the way through a typed value.
func FuzzTyped(f *testing.F) {
	for _, s := range []string{`"a"`, `""`, `"\u0000\n\"x"`, "1e3", "true", "null", `{"a":[1]}`, `"😀"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data string) {
		var want any
		if json.Unmarshal([]byte(data), &want) != nil {
			return
		}
		back, ok := fromTyped(string(appendTyped(nil, data)))
		var got any
		if !ok || json.Unmarshal([]byte(back), &got) != nil {
			t.Fatalf("%s became %q", data, back)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s became %s", data, back)
		}
	})
}
