package server

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/server/bus"
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
		zero := store.Record{Data: `{"p":0}`} // what there is between
		patch := func(version int64) {
			m := &message.Message{Topic: message.Record, Action: message.RecordPatch, Name: "r", Path: "p",
				Version: version, HasVersion: true, Data: "0", Base: zero.Sum(), Sum: zero.Sum()}
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
		put(1, `{"p":0}`)
		d.send(d.client("a"), "RECORD SUBSCRIBECREATEANDREAD names=r corr=1")
		hears("SUBSCRIBECREATEANDREAD names=r corr=1 ack", `READ_RESPONSE name=r version=1 data={"p":0}`)

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

// TestRecordNeverHeard: a node that joins while the bus is away follows what was
// written meanwhile by one that it never hears.
func TestRecordNeverHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialogue(t, nil)
		defer d.stop()
		d.connect(d.nodes[0], "a", "protobuf")
		d.login("a", "al")
		d.send(d.client("a"), "RECORD SUBSCRIBECREATEANDREAD names=r corr=1")
		synctest.Wait()
		d.client("a").take()
		if err := d.cache.Put(context.Background(), "r", store.Record{Version: 7, Data: `{"p":7}`}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := d.client("a").take(); len(got) != 1 || got[0].Version != 7 {
			t.Errorf("heard %+v", got)
		}
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

// TestRecordForgotten: a node that took another for gone, which heard it all the
// while, may have written what that one's clients wait for. They are told once it
// knows again what the other wants.
func TestRecordForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialogue(t, func(c *Config) { c.Interest = nil })
		defer d.stop()
		d.addNode()
		for i, node := range d.nodes {
			ctx, cancel := context.WithCancel(context.Background())
			d.running.Go(func() { _ = node.peers.interest.Run(ctx) })
			stop := d.stops[i]
			d.stops[i] = func() {
				stop()
				cancel()
			}
		}
		d.connect(d.nodes[0], "a", "protobuf")
		d.login("a", "al")
		d.connect(d.nodes[1], "b", "protobuf")
		d.login("b", "bo")
		time.Sleep(5 * time.Second)
		pass := func() { // heartbeats of the clients
			for range 40 {
				time.Sleep(250 * time.Millisecond)
				for _, c := range d.clients {
					c.session.Heard()
				}
			}
			synctest.Wait()
		}
		d.send(d.client("a"), "RECORD SUBSCRIBECREATEANDREAD names=r corr=1")
		pass()
		d.client("a").take()

		d.network.SetFate(func(from, to string) bus.Fate { return bus.Fate{Lost: from == "node-1" && to != "node-1"} })
		pass()
		if nodes := d.nodes[1].config.Interest.Nodes(); len(nodes) != 1 {
			t.Fatalf("node-2 does not take the other for gone: %v", nodes)
		}
		// It asks what the other wants, which has all records looked at there, and
		// writes before the answer is here.
		d.network.SetFate(func(from, _ string) bus.Fate {
			if from == "node-1" {
				return bus.Fate{Delay: 500 * time.Millisecond}
			}
			return bus.Fate{}
		})
		wants := d.nodes[0].peers.interest
		for sent := wants.Stats().SnapshotsSent; wants.Stats().SnapshotsSent == sent; {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond)
		d.send(d.client("b"), `RECORD UPDATE name=r version=1 data={"a":1}`)
		pass()
		if got := d.client("a").take(); len(got) != 1 || got[0].Version != 1 {
			t.Errorf("heard %+v when the node knew again", got)
		}
	})
}

// TestRecordRoutine: what a node that is taken for gone goes on to write is noticed
// without a word of it.
func TestRecordRoutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialogue(t, nil)
		defer d.stop()
		d.connect(d.nodes[0], "a", "protobuf")
		d.login("a", "al")
		d.send(d.client("a"), "RECORD SUBSCRIBECREATEANDREAD names=r corr=1")
		d.nodes[0].peers.Gap("other")
		d.nodes[0].peers.Left("other")
		synctest.Wait()
		d.client("a").take()
		if err := d.cache.Put(context.Background(), "r", store.Record{Version: 7, Data: `{"p":7}`}); err != nil {
			t.Fatal(err)
		}
		for range 60 {
			time.Sleep(time.Second)
			d.client("a").session.Heard()
		}
		synctest.Wait()
		if got := d.client("a").take(); len(got) != 1 || got[0].Version != 7 {
			t.Errorf("heard %+v", got)
		}
	})
}
