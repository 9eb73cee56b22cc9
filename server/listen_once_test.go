package server

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/store"
)

// slowCache takes its time to read.
type slowCache struct {
	*store.Memory
	pause time.Duration
}

func (c *slowCache) Get(ctx context.Context, name string) (store.Record, error) {
	time.Sleep(c.pause)
	return c.Memory.Get(ctx, name)
}

// TestListenTellsOnce: a subscriber whose record is still being read when a provider
// comes, or goes, is told of that once, as those are who have read it.
func TestListenTellsOnce(t *testing.T) {
	const pause = 100 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		d := newDialogue(t, func(c *Config) { c.Cache = &slowCache{c.Cache.(*store.Memory), pause} })
		defer d.stop()
		d.addNode()
		provider, early, late := d.join("provider", 2), d.join("early", 1), d.join("late", 1)
		read := func(c *client) {
			c.say(t, message.Message{Action: message.RecordSubscribeCreateAndRead, Names: []string{"x"}, CorrelationID: "1"})
		}
		heard := func(c *client, has, hasNot int) {
			t.Helper()
			got := c.acceptAll(t)
			if got[message.RecordSubscriptionHasProvider] != has || got[message.RecordSubscriptionHasNoProvider] != hasNot {
				t.Errorf("%s heard %v", c.name, got)
			}
		}
		provider.say(t, message.Message{Action: message.RecordListen, Name: "x"})
		read(early)
		time.Sleep(pause / 2)
		synctest.Wait()
		provider.acceptAll(t)
		time.Sleep(2 * pause)
		synctest.Wait()
		heard(early, 1, 0)

		read(late)
		time.Sleep(pause / 2)
		synctest.Wait()
		provider.say(t, message.Message{Action: message.RecordUnlisten, Name: "x"})
		time.Sleep(2 * pause)
		synctest.Wait()
		heard(early, 0, 1)
		heard(late, 0, 0)

		provider.say(t, message.Message{Action: message.RecordListen, Name: "x"})
		synctest.Wait()
		provider.acceptAll(t)
		synctest.Wait()
		heard(early, 1, 0)
		heard(late, 1, 0)
	})
}
