package server

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/store"
	"github.com/dsproxy/dsproxy/server/topic"
)

// TestRecordFollow: a subscriber is brought to the stored version whatever is lost,
// late or twice of what another node says.
func TestRecordFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialogue(t, nil)
		defer d.stop()
		node := d.nodes[0]
		d.connect(node, "a", "protobuf")
		d.login("a", "al")
		put := func(version int64, data string) {
			t.Helper()
			if err := d.cache.Put(context.Background(), "r", store.Record{Version: version, Data: data}); err != nil {
				t.Fatal(err)
			}
		}
		patch := func(version int64) {
			m := &message.Message{Topic: message.Record, Action: message.RecordPatch, Name: "r", Path: "p",
				Version: version, HasVersion: true, Data: "0"}
			node.peers.Deliver("other", topic.Pack(m))
		}
		hears := func(want ...string) {
			t.Helper()
			var out strings.Builder
			d.hear(&out)
			var all string
			for _, w := range want {
				all += "a< RECORD " + w + "\n"
			}
			if out.String() != all {
				t.Errorf("heard:\n%swant:\n%s", out.String(), all)
			}
		}
		put(1, `{"p":1}`)
		d.send(d.client("a"), "RECORD SUBSCRIBECREATEANDREAD names=r corr=1")
		hears("SUBSCRIBECREATEANDREAD names=r corr=1 ack", `READ_RESPONSE name=r version=1 data={"p":1}`)

		put(2, `{"p":0}`)
		patch(2)
		hears("PATCH name=r path=p version=2 data=0")
		patch(2) // twice
		hears()
		put(4, `{"p":0}`)
		patch(4) // what made version 3 is late
		hears()
		patch(3)
		hears("PATCH name=r path=p version=3 data=0", "PATCH name=r path=p version=4 data=0")
		put(6, `{"p":6}`)
		patch(6) // what made version 5 is lost
		hears()
		time.Sleep(time.Second)
		hears(`UPDATE name=r version=6 writeAck=false data={"p":6}`)
		patch(5)
		hears()
		put(1, `{"p":"anew"}`) // the store was emptied, others wrote
		patch(1)
		hears(`UPDATE name=r version=1 writeAck=false data={"p":"anew"}`)

		put(2, `{"p":5}`)
		node.peers.Gap("other")
		hears(`UPDATE name=r version=2 writeAck=false data={"p":5}`)
		put(3, `{"p":6}`)
		node.peers.Left("other")
		hears(`UPDATE name=r version=3 writeAck=false data={"p":6}`)
		node.peers.Gap("other")
		hears()
		if err := d.cache.Delete(context.Background(), "r"); err != nil {
			t.Fatal(err)
		}
		node.peers.Gap("other")
		hears("DELETED name=r")
	})
}

// failingCache answers errors while it is away.
type failingCache struct {
	*store.Memory
	away *atomic.Bool
}

func (c *failingCache) Versions(ctx context.Context, names []string) ([]int64, error) {
	if c.away.Load() {
		return nil, context.DeadlineExceeded
	}
	return c.Memory.Versions(ctx, names)
}

// TestRecordFollowWithoutStore: what could not be compared is compared when the
// store is back.
func TestRecordFollowWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		d := newDialogue(t, func(c *Config) { c.Cache = &failingCache{c.Cache.(*store.Memory), &away} })
		defer d.stop()
		d.connect(d.nodes[0], "a", "protobuf")
		d.login("a", "al")
		d.send(d.client("a"), "RECORD SUBSCRIBECREATEANDREAD names=r corr=1")
		synctest.Wait()
		d.client("a").take()

		away.Store(true)
		if err := d.cache.Put(context.Background(), "r", store.Record{Version: 7, Data: `{"p":7}`}); err != nil {
			t.Fatal(err)
		}
		d.nodes[0].peers.Gap("other")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := d.client("a").take(); len(got) > 0 {
			t.Fatalf("heard %+v while the store was away", got)
		}
		away.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := d.client("a").take(); len(got) != 1 || got[0].Version != 7 {
			t.Errorf("heard %+v when the store was back", got)
		}
	})
}
