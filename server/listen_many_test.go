package server

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
)

// TestListenAllAreAsked: of many listeners on a node each is asked once while all
// reject, those too that come meanwhile, in the order of their coming or in another.
func TestListenAllAreAsked(t *testing.T) {
	for _, shuffle := range []bool{false, true} {
		t.Run(fmt.Sprint("shuffle=", shuffle), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDialogue(t, func(c *Config) { c.Listen.Shuffle = shuffle })
				defer d.stop()
				c := d.join("c", 1)
				listen := func(from, to int) {
					for i := from; i < to; i++ {
						c.say(t, message.Message{Action: message.RecordListen, Name: fmt.Sprintf("x|%d", i)})
					}
				}
				const early, late = 100, 200
				listen(0, early)
				subscribe(t, c, 1)
				var order []string
				asked := make(map[string]int)
				for len(order) < 2*late {
					found := ""
					for _, m := range c.take() {
						if m.Action == message.RecordSubscriptionForPatternFound {
							found = m.Name
						}
					}
					if found == "" {
						break
					}
					order = append(order, found)
					asked[found]++
					if len(order) == early/2 {
						listen(early, late)
					}
					c.say(t, message.Message{Action: message.RecordListenReject, Name: found, Subscription: "x0"})
				}
				if len(order) != late || len(asked) != late {
					t.Fatalf("of %d listeners %d were asked, %d times", late, len(asked), len(order))
				}
				sorted := true
				for i, pattern := range order {
					sorted = sorted && pattern == fmt.Sprintf("x|%d", i)
				}
				if sorted == shuffle {
					t.Errorf("they were asked in the order %q", order)
				}
				// One that comes now is asked at once.
				listen(late, late+1)
				if heard := c.acceptAll(t); heard[message.RecordSubscriptionForPatternFound] != 1 {
					t.Errorf("the last listener heard %v", heard)
				}
			})
		})
	}
}

// TestListenManyCandidates: what a name costs whose listeners do not answer does not
// grow with them.
func TestListenManyCandidates(t *testing.T) {
	const listeners, names, limit = 1000, 2000, 2000
	synctest.Test(t, func(t *testing.T) {
		d := newDialogue(t, nil)
		defer d.stop()
		c := d.join("c", 1)
		for i := range listeners {
			c.say(t, message.Message{Action: message.RecordListen, Name: fmt.Sprintf("x|%d", i)})
		}
		c.take()
		heap := func() int64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		before := heap()
		subscribe(t, c, names)
		c.take()
		if each := (heap() - before) / names; each > limit {
			t.Errorf("a name that %d listeners are asked about takes %d bytes; at most %d are wanted", listeners, each, limit)
		}
		time.Sleep(time.Second)
	})
}
