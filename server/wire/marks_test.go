package wire

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/dsproxy/dsproxy/server/message"
)

// TestMarks: what one client wrote cannot end a part or a message to another.
func TestMarks(t *testing.T) {
	f := func(m message.Message, want string) {
		t.Helper()
		if got := For(TextG2).Append(nil, &m); string(got) != marks.Replace(want) {
			t.Errorf("%+v: got %q, want %q", m, got, marks.Replace(want))
		}
	}
	type M = message.Message
	const forged = "\x1eR\x1fA\x1fD\x1fvictim\x1e"
	const safe = "\uFFFDR\uFFFDA\uFFFDD\uFFFDvictim\uFFFD"
	const quoted = `"\u001eR\u001fA\u001fD\u001fvictim\u001e"`
	const e, r, p, u = message.Event, message.Record, message.RPC, message.Presence

	// Data arrives as it was sent: as JSON, where the marks are escaped.
	f(M{Topic: e, Action: message.EventEmit, Name: "n", Data: quoted}, "E|EVT|n|O"+quoted+"+")
	f(M{Topic: e, Action: message.EventEmit, Name: "n", Data: `"\u001E"`}, `E|EVT|n|O"\u001E"+`)
	f(M{Topic: e, Action: message.EventEmit, Name: "n", Data: `{"\u001f":"\u001e"}`}, `E|EVT|n|O{"\u001f":"\u001e"}+`)
	f(M{Topic: p, Action: message.RPCRequest, Name: "n", CorrelationID: "1", Data: quoted}, "P|REQ|n|1|O"+quoted+"+")
	f(M{Topic: p, Action: message.RPCResponse, Name: "n", CorrelationID: "1", Data: quoted}, "P|RES|n|1|O"+quoted+"+")
	f(M{Topic: r, Action: message.RecordPatch, Name: "n", Version: 2, Path: "a", Data: quoted}, "R|P|n|2|a|O"+quoted+"+")
	f(M{Topic: message.Auth, Action: message.AuthSuccessful, Data: quoted}, "A|A|O"+quoted+"+")
	f(M{Topic: message.Auth, Action: message.AuthUnsuccessful, Data: quoted}, "A|E|INVALID_AUTH_DATA|O"+quoted+"+")

	// Where no JSON can be, they are replaced.
	f(M{Topic: p, Action: message.RPCRequestError, Name: "n", CorrelationID: "1", Data: quoted}, "P|E|"+safe+"|n|1+")
	f(M{Topic: p, Action: message.RPCRequest, Name: forged, CorrelationID: forged, Data: "1"}, "P|REQ|"+safe+"|"+safe+"|N1+")
	f(M{Topic: e, Action: message.EventEmit, Name: forged, Data: "1"}, "E|EVT|"+safe+"|N1+")
	f(M{Topic: e, Action: message.EventSubscriptionForPatternFound, Name: ".*", Subscription: forged}, "E|SP|.*|"+safe+"+")
	f(M{Topic: e, Action: message.EventSubscribe, IsAck: true, Names: []string{forged}}, "E|A|S|"+safe+"+")
	f(M{Topic: r, Action: message.RecordPatch, Name: "n", Version: 2, Path: forged, Data: "1"}, "R|P|n|2|"+safe+"|N1+")
	f(M{Topic: r, Action: message.RecordDeleted, Name: forged}, "R|A|D|"+safe+"+")
	f(M{Topic: r, Action: message.RecordUpdate, Name: "n", Version: 1, Data: `{"a":"` + forged + `"}`}, `R|U|n|1|{"a":"`+safe+`"}+`)
	f(M{Topic: u, Action: message.PresenceJoinAll, Name: forged}, "U|PNJ|"+safe+"+")
	f(M{Topic: u, Action: message.PresenceQueryAllResponse, Names: []string{"al", forged}}, "U|Q|al|"+safe+"+")

	// A client's own words come back to it as they were.
	f(M{Topic: message.Parser, Action: message.ParserMessageParseError, Raw: "E\x1fNOPE"}, "X|E|MESSAGE_PARSE_ERROR|E|NOPE+")
}

// FuzzMarks: whatever a protobuf client puts into data and error, a text client gets
// one message of as many parts as ever.
func FuzzMarks(f *testing.F) {
	f.Add("\x1eR\x1fA\x1fD\x1fvictim\x1e", "\x1f")
	f.Add("plain", "")
	f.Fuzz(func(t *testing.T, data, name string) {
		quoted, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []message.Message{
			{Topic: message.Event, Action: message.EventEmit, Name: name, Data: string(quoted)},
			{Topic: message.RPC, Action: message.RPCRequestError, Name: name, CorrelationID: data, Data: string(quoted)},
			{Topic: message.Presence, Action: message.PresenceJoin, Name: name},
		} {
			clean := m
			clean.Name, clean.CorrelationID, clean.Data = "n", "c", `"d"`
			got, want := For(TextG2).Append(nil, &m), For(TextG2).Append(nil, &clean)
			for _, mark := range []byte{unitSep, recordSep} {
				if n := bytes.Count(got, []byte{mark}); n != bytes.Count(want, []byte{mark}) {
					t.Errorf("%q holds %d of %q, want as many as %q", got, n, mark, want)
				}
			}
		}
	})
}
