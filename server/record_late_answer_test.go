package server

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/dsproxy/dsproxy/server/store"
)

// TestRecordLateAnswer: a writer who was slower than another node is told so at once
// when it, or everyone, stops to follow the record before the faster write has arrived.
func TestRecordLateAnswer(t *testing.T) {
	for _, end := range []string{"a> RECORD UNSUBSCRIBE names=r corr=2", "b> RECORD DELETE name=r", "b> RECORD NOTIFY names=r corr=3", "a closes"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDialogue(t, nil)
				defer d.stop()
				for _, name := range []string{"a", "b"} {
					d.connect(d.nodes[0], name, "protobuf")
					d.login(name, name)
				}
				put := func(version int64) {
					t.Helper()
					if err := d.cache.Put(context.Background(), "r", store.Record{Version: version, Data: `{"p":1}`}); err != nil {
						t.Fatal(err)
					}
				}
				put(1)
				d.send(d.client("a"), "RECORD SUBSCRIBECREATEANDREAD names=r corr=1")
				put(2) // by another node, whose word is on its way
				d.send(d.client("b"), `RECORD UPDATE name=r version=2 data={"p":2}`)
				if who, words, ok := strings.Cut(end, "> "); ok {
					d.send(d.client(who), words)
				} else {
					d.client("a").session.End()
					d.clients = d.clients[1:]
				}
				var out strings.Builder
				d.hear(&out)
				if want := `b< RECORD VERSION_EXISTS`; !strings.Contains(out.String(), want) {
					t.Errorf("heard:\n%swithout %s", out.String(), want)
				}
			})
		})
	}
}
