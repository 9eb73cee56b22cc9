package server

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/dsproxy/dsproxy/server/message"
)

// TestMarksOfTextProtocols: no client can write messages in the node's name to
// those of the text protocols, whatever it puts into data, names and user ids.
func TestMarksOfTextProtocols(t *testing.T) {
	const forged = "\x1eR\x1fA\x1fD\x1fvictim\x1e"
	quote := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	synctest.Test(t, func(t *testing.T) {
		d := newDialogue(t, nil)
		defer d.stop()
		for _, c := range [][2]string{{"a", "protobuf"}, {"j", "json"}, {"old", "text-v1"}, {"new", "text-v3"}} {
			d.connect(d.nodes[0], c[0], c[1])
			d.login(c[0], c[0])
		}
		talk(t, d, "old> E|S|n", "new> E|S|n", "old> R|CR|n", "new> R|CR|n", "old> E|L|.*", "new> P|S|p", "new> U|S|S")

		// heard is what the clients got of a message that a protobuf client sent.
		heard := func(m message.Message) string {
			t.Helper()
			a := d.client("a")
			if err := a.session.Receive(a.codec.Append(nil, &m)); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			d.hear(&out)
			return strings.TrimSpace(out.String())
		}
		f := func(m message.Message, want string) {
			t.Helper()
			if got := heard(m); got != want {
				t.Errorf("%q: heard\n%s\nwant\n%s", m.Data+m.Name, got, want)
			}
		}
		type M = message.Message
		data := quote(forged)
		f(M{Topic: message.Event, Action: message.EventEmit, Name: "n", Data: data}, "old< E|EVT|n|O"+data+"\nnew< E|EVT|n|O"+data)
		f(M{Topic: message.Record, Action: message.RecordPatch, Name: "n", Version: 1, HasVersion: true, Path: "x", Data: data},
			"old< R|P|n|1|x|O"+data+"\nnew< R|P|n|1|x|O"+data)
		f(M{Topic: message.RPC, Action: message.RPCRequest, Name: "p", CorrelationID: "c", Data: data}, "new< P|REQ|p|c|O"+data)

		// What the text protocols cannot say is refused.
		for _, m := range []M{
			{Topic: message.Event, Action: message.EventEmit, Name: forged},
			{Topic: message.Event, Action: message.EventSubscribe, Names: []string{"ok", forged}, CorrelationID: "1"},
			{Topic: message.Event, Action: message.EventListenReject, Name: ".*", Subscription: forged},
			{Topic: message.Record, Action: message.RecordPatch, Name: "n", Version: 2, HasVersion: true, Path: forged, Data: "1"},
			{Topic: message.RPC, Action: message.RPCRequest, Name: "p", CorrelationID: forged},
		} {
			if got := heard(m); !strings.HasPrefix(got, "a< "+m.Topic.String()+" INVALID_MESSAGE_DATA") || strings.Count(got, "< ") != 1 {
				t.Errorf("%+v: heard %q", m, got)
			}
		}
		f(M{Topic: message.Presence, Action: message.PresenceQuery, Names: []string{forged}, CorrelationID: "1"},
			"a< PRESENCE INVALID_PRESENCE_USERS corr=1 original=QUERY error")

		// Client 7 takes for the answer to a write what has the write's flag.
		f(M{Topic: message.Record, Action: message.RecordPatch, Name: "n", Version: 2, HasVersion: true, Path: "\x1f", Data: "1",
			CorrelationID: "2", IsWriteAck: true, HasWriteAck: true},
			"a< RECORD INVALID_MESSAGE_DATA name=n corr=2 original=PATCH error writeAck=true")

		d.connect(d.nodes[0], "evil", "protobuf")
		evil := d.client("evil")
		for _, m := range []M{
			{Topic: message.Connection, Action: message.ConnectionChallenge},
			{Topic: message.Auth, Action: message.AuthRequest, Data: `{"username":` + data + `}`},
		} {
			if err := evil.session.Receive(evil.codec.Append(nil, &m)); err != nil {
				t.Fatal(err)
			}
		}
		var out strings.Builder
		d.hear(&out)
		if want := "new< U|PNJ|\uFFFDR\uFFFDA\uFFFDD\uFFFDvictim\uFFFD"; !strings.Contains(out.String(), want) {
			t.Errorf("a user of that name: heard %s, want %s", out.String(), want)
		}
	})
}
