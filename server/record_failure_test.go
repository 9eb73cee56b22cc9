package server

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/server/store"
)

// stuckCache does not answer until its gate opens, and then fails.
type stuckCache struct {
	*store.Memory
	gate chan struct{}
}

func (c *stuckCache) Get(context.Context, string) (store.Record, error) {
	<-c.gate
	return store.Record{}, store.ErrData
}

// TestFailedReadIsUnsubscribed: a listener that was asked for a record hears of it
// when the subscription comes to nothing, because the record cannot be read.
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

// awayCache fails while it is away. A write may be carried out all the same.
type awayCache struct {
	*store.Memory
	away, late atomic.Bool
}

var errAway = errors.New("cache is away")

func (c *awayCache) Immediate() bool { return false }

func (c *awayCache) Get(ctx context.Context, name string) (store.Record, error) {
	if c.away.Load() && !c.late.Load() {
		return store.Record{}, errAway
	}
	return c.Memory.Get(ctx, name)
}

func (c *awayCache) Versions(ctx context.Context, names []string) ([]int64, error) {
	if c.away.Load() {
		return nil, errAway
	}
	return c.Memory.Versions(ctx, names)
}

func (c *awayCache) CompareAndPut(ctx context.Context, name string, old int64, r store.Record) (store.Record, bool, error) {
	if c.away.Load() && !c.late.Load() {
		return store.Record{}, false, errAway
	}
	now, ok, err := c.Memory.CompareAndPut(ctx, name, old, r)
	if c.away.Load() {
		return store.Record{}, false, errAway
	}
	return now, ok, err
}

// spoiltCache knows the versions of records, but they cannot be read.
type spoiltCache struct {
	*awayCache
	why   error
	reads atomic.Int64
}

func (c *spoiltCache) Get(ctx context.Context, name string) (store.Record, error) {
	if c.why != nil {
		c.reads.Add(1)
		return store.Record{}, c.why
	}
	return c.awayCache.Get(ctx, name)
}

// TestSpoiltRecord: a record that cannot be read is not read again and again, whoever
// wants it; more often if that may be over soon.
func TestSpoiltRecord(t *testing.T) {
	for err, most := range map[error]int64{store.ErrData: 10, errAway: 200} {
		synctest.Test(t, func(t *testing.T) {
			cache := &spoiltCache{awayCache: &awayCache{Memory: store.NewMemory(0)}}
			d := newDialogue(t, func(c *Config) { c.Cache = cache })
			defer d.stop()
			d.connect(d.nodes[0], "a", "protobuf")
			d.login("a", "a")
			talk(t, d, "a> RECORD SUBSCRIBECREATEANDREAD names=r corr=1", "a> RECORD UPDATE name=r version=1 data={}")
			if err := cache.Put(t.Context(), "r", store.Record{Version: 9, Data: "{"}); err != nil {
				t.Fatal(err)
			}
			cache.why = err
			talk(t, d, "a> RECORD UPDATE name=r version=2 data={}")
			d.addNode() // a gap: all is looked at
			for range 5 {
				time.Sleep(10 * time.Second)
				talk(t, d, "a> CONNECTION PONG")
			}
			if n := cache.reads.Load(); n < 2 || n > most {
				t.Errorf("%v: it was read %d times in 50 seconds", err, n)
			}
		})
	}
}

// TestFailedWriteIsCorrected: whose write the cache did not take is told so, and is sent
// the record when the cache is back, for its client shows what was not written; but not
// if it has written or was told of another version since. A write of which only the
// answer was lost reaches all subscribers.
func TestFailedWriteIsCorrected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := &awayCache{Memory: store.NewMemory(0)}
		d := newDialogue(t, func(c *Config) { c.Cache = cache })
		defer d.stop()
		for name, protocol := range map[string]string{"a": "protobuf", "b": "text-v1"} {
			d.connect(d.nodes[0], name, protocol)
			d.login(name, name)
		}
		slices.SortFunc(d.clients, func(a, b *client) int { return strings.Compare(a.name, b.name) })
		talk(t, d, "a> RECORD SUBSCRIBECREATEANDREAD names=r corr=1", "b> R|CR|r", `a> RECORD UPDATE name=r version=1 data={"x":1}`)
		later := func(away time.Duration) string {
			time.Sleep(away)
			cache.away.Store(false)
			cache.late.Store(false)
			time.Sleep(away)
			return talk(t, d)
		}

		cache.away.Store(true)
		expect(t, talk(t, d, `a> RECORD UPDATE name=r version=2 data={"x":2}`, `b> R|U|r|2|{"x":3}`),
			"a< RECORD RECORD_UPDATE_ERROR name=r original=UPDATE error", "b< R|E|RECORD_UPDATE_ERROR|2")
		expect(t, later(10*time.Second), `a< RECORD UPDATE name=r version=1 writeAck=false data={"x":1}`, `b< R|U|r|1|{"x":1}`)

		cache.away.Store(true)
		talk(t, d, `a> RECORD UPDATE name=r version=2 data={"x":2}`)
		cache.away.Store(false)
		expect(t, talk(t, d, `b> R|U|r|2|{"x":3}`), `a< RECORD UPDATE name=r version=2 writeAck=false data={"x":3}`)
		expect(t, later(10*time.Second))

		cache.away.Store(true)
		talk(t, d, `a> RECORD UPDATE name=r version=3 data={"x":4}`)
		cache.away.Store(false)
		expect(t, talk(t, d, `a> RECORD UPDATE name=r version=3 data={"x":5}`), `b< R|U|r|3|{"x":5}`)
		expect(t, later(10*time.Second))

		cache.away.Store(true)
		talk(t, d, `a> RECORD UPDATE name=r version=4 data={"x":6}`)
		cache.away.Store(false)
		expect(t, talk(t, d, `a> RECORD UPDATE name=r version=5 data={"x":7}`),
			`a< RECORD UPDATE name=r version=3 writeAck=false data={"x":5}`,
			`a< RECORD INVALID_VERSION name=r version=3 original=UPDATE data={"x":7}`)
		expect(t, later(10*time.Second))

		d.connect(d.nodes[0], "c", "protobuf")
		d.login("c", "c")
		cache.away.Store(true)
		cache.late.Store(true)
		expect(t, talk(t, d, `c> RECORD UPDATE name=r version=4 data={"x":8}`), "c< RECORD RECORD_UPDATE_ERROR name=r original=UPDATE error")
		expect(t, later(2*time.Second), `a< RECORD UPDATE name=r version=4 writeAck=false data={"x":8}`, `b< R|U|r|4|{"x":8}`)

		cache.away.Store(true)
		talk(t, d, `a> RECORD UPDATE name=r version=5 data={"x":7}`, "a> RECORD UNSUBSCRIBE names=r corr=2")
		expect(t, later(10*time.Second))
	})
}

// TestFailedReadIsAnswered: whoever subscribes to a record while the cache is away is told
// so, and has the record when the cache is back: clients ask but once.
func TestFailedReadIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := &awayCache{Memory: store.NewMemory(0)}
		d := newDialogue(t, func(c *Config) { c.Cache = cache })
		defer d.stop()
		d.connect(d.nodes[0], "a", "protobuf")
		d.connect(d.nodes[0], "b", "text-v1")
		for _, c := range d.clients {
			d.login(c.name, c.name)
		}
		for _, line := range []string{"b> R|CR|old", `b> R|U|old|1|{"x":1}`, "b> R|US|old"} {
			talk(t, d, line)
		}
		cache.away.Store(true)
		expect(t, talk(t, d, "a> RECORD SUBSCRIBECREATEANDREAD names=old corr=1"),
			"a< RECORD SUBSCRIBECREATEANDREAD names=old corr=1 ack",
			"a< RECORD RECORD_LOAD_ERROR name=old corr=1 original=SUBSCRIBECREATEANDREAD error")
		talk(t, d, "a> RECORD SUBSCRIBECREATEANDREAD names=new corr=2")
		talk(t, d, "a> RECORD SUBSCRIBECREATEANDREAD names=left corr=3")
		talk(t, d, "a> RECORD UNSUBSCRIBE names=left corr=4")
		expect(t, talk(t, d, "b> R|CR|old"), "b< R|A|S|old", "b< R|E|RECORD_LOAD_ERROR|old")
		expect(t, talk(t, d, "b> R|CR|old"), "b< R|A|S|old", "b< R|E|RECORD_LOAD_ERROR|old")
		talk(t, d, `b> R|U|old|2|{"x":2}`) // it came back with the record, and writes
		time.Sleep(5 * time.Second)
		cache.away.Store(false)
		time.Sleep(5 * time.Second)
		got := strings.Split(talk(t, d), "\n")
		slices.Sort(got)
		expect(t, strings.Join(got, "\n"), "a< RECORD READ_RESPONSE name=new version=0 data={}",
			`a< RECORD READ_RESPONSE name=old version=1 data={"x":1}`, `b< R|R|old|1|{"x":1}`)
		expect(t, talk(t, d, `b> R|U|old|2|{"x":3}`), `a< RECORD UPDATE name=old version=2 writeAck=false data={"x":3}`)
	})
}
