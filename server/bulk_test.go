package server

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/store"
)

// TestBulk: thousands of names in one message are one acknowledgement and an answer
// each, with a cache that answers at once and one that is far away.
func TestBulk(t *testing.T) {
	const many = 5000
	var names []string
	for i := range many {
		names = append(names, fmt.Sprint("record/", i))
	}
	f := func(what string, change func(c *Config)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			d := newDialogue(t, change)
			defer d.stop()
			for _, name := range []string{"a", "b"} {
				d.connect(d.nodes[0], name, "protobuf")
				d.login(name, name)
			}
			ask := func(a message.Action) map[message.Action]int {
				c := d.client("a")
				m := message.Message{Topic: message.Record, Action: a, Names: names, CorrelationID: "1"}
				if err := c.session.Receive(c.codec.Append(nil, &m)); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second) // the cache takes its time
				synctest.Wait()
				count := make(map[message.Action]int)
				for _, m := range c.take() {
					if m.IsAck {
						count[0]++
					} else {
						count[m.Action]++
					}
				}
				return count
			}
			if got := ask(message.RecordSubscribeCreateAndRead); got[0] != 1 || got[message.RecordReadResponse] != many || len(got) != 2 {
				t.Errorf("%s: subscribing was answered %v", what, got)
			}
			d.send(d.client("b"), "RECORD UPDATE name=record/4999 version=1 data={}")
			time.Sleep(time.Second)
			expect(t, talk(t, d),
				"a< RECORD UPDATE name=record/4999 version=1 writeAck=false data={}")
			if got := ask(message.RecordUnsubscribe); got[0] != 1 || len(got) != 1 {
				t.Errorf("%s: unsubscribing was answered %v", what, got)
			}
			if got := ask(message.RecordSubscribeAndHead); got[0] != 1 || got[message.RecordHeadResponseBulk] != 1 || len(got) != 2 {
				t.Errorf("%s: heads were answered %v", what, got)
			}
			if got := ask(message.RecordNotify); got[0] != 1 || got[message.RecordDeleted] != many || len(got) != 2 {
				t.Errorf("%s: a notice was answered %v", what, got) // without a storage they are gone
			}
		})
	}
	f("memory", nil)
	f("far away", func(c *Config) { c.Cache = &remoteCache{c.Cache.(*store.Memory)} })
}
