package server

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/dsproxy/dsproxy/server/store"
)

// stuckCache does not answer until its gate opens, and then fails.
type stuckCache struct {
	*store.Memory
	gate chan struct{}
}

func (c *stuckCache) Get(context.Context, string) (store.Record, error) {
	<-c.gate
	return store.Record{}, errors.New("no cache")
}

// TestFailedReadIsUnsubscribed: a listener that was asked for a record hears of it
// when the subscription comes to nothing.
func TestFailedReadIsUnsubscribed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := &stuckCache{store.NewMemory(0), make(chan struct{})}
		d := newDialogue(t, func(c *Config) { c.Cache = cache })
		defer d.stop()
		for _, name := range []string{"a", "b"} {
			d.connect(d.nodes[0], name, "protobuf")
			d.login(name, name)
		}
		expect(t, talk(t, d, "a> RECORD SUBSCRIBECREATEANDREAD names=r corr=1"), "a< RECORD SUBSCRIBECREATEANDREAD names=r corr=1 ack")
		expect(t, talk(t, d, "b> RECORD LISTEN name=r", "b> RECORD LISTEN_ACCEPT name=r subscription=r"),
			"a< RECORD SUBSCRIPTION_HAS_PROVIDER name=r", "b< RECORD LISTEN name=r ack",
			"b< RECORD SUBSCRIPTION_FOR_PATTERN_FOUND name=r subscription=r")
		close(cache.gate)
		expect(t, talk(t, d), "a< RECORD RECORD_LOAD_ERROR name=r corr=1 original=SUBSCRIBECREATEANDREAD error",
			"b< RECORD SUBSCRIPTION_FOR_PATTERN_REMOVED name=r subscription=r")
	})
}
