package server

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/store"
	"github.com/dsproxy/dsproxy/server/topic"
)

// replacedCache is a cache whose server another one may take the place of. An empty
// generation cannot be told.
type replacedCache struct {
	*store.Memory
	generation atomic.Value // string
	reads      atomic.Int64
}

func (c *replacedCache) Generation(context.Context) (string, error) {
	if g := c.generation.Load().(string); g != "" {
		return g, nil
	}
	return "", errors.New("no permission")
}

func (c *replacedCache) Get(ctx context.Context, name string) (store.Record, error) {
	c.reads.Add(1)
	return c.Memory.Get(ctx, name)
}

// TestLostWrite: a server of the cache has taken another's place without the last write,
// and somebody wrote another record with that version. Subscribers of the lost one are
// told.
func TestLostWrite(t *testing.T) {
	const lost, won = `{"p":"lost"}`, `{"p":"won"}`
	for name, test := range map[string]struct {
		missed func(d *dialogue, c *replacedCache) // what this node sees of it
		hears  []string
	}{
		"after a gap": {func(d *dialogue, c *replacedCache) {
			c.generation.Store("two")
			d.nodes[0].peers.Gap("other")
		}, []string{won}},
		"after a gap, with a server that does not say which it is": {func(d *dialogue, c *replacedCache) {
			c.generation.Store("")
			d.nodes[0].peers.Gap("other")
		}, []string{won}},
		"without a word": {func(d *dialogue, c *replacedCache) {
			c.generation.Store("two")
			beat(d, time.Minute)
		}, []string{won}},
		"by the write": {func(d *dialogue, _ *replacedCache) {
			says(d, message.RecordUpdate, 1, `{"p":0}`, won)
		}, []string{won}},
		"by the write, and knows no more than the version": {func(d *dialogue, _ *replacedCache) {
			d.send(d.client("a"), "RECORD UNSUBSCRIBE names=r corr=2")
			d.send(d.client("a"), "RECORD SUBSCRIBEANDHEAD names=r corr=3")
			beat(d, time.Second)
			d.client("a").take()
			says(d, message.RecordUpdate, 1, `{"p":0}`, won)
		}, []string{won}},
		"by a patch of the other record": {func(d *dialogue, c *replacedCache) {
			put(d, 2, `{"p":"won","q":1}`)
			says(d, message.RecordPatch, 2, won, `{"p":"won","q":1}`)
		}, []string{`{"p":"won","q":1}`}},
		"by a write of this node": {func(d *dialogue, c *replacedCache) {
			d.connect(d.nodes[0], "b", "protobuf")
			d.login("b", "bo")
			d.send(d.client("b"), `RECORD PATCH name=r version=2 path=q data=1`)
		}, []string{`{"p":"won","q":1}`}},
		"not at all": {func(d *dialogue, _ *replacedCache) {
			d.nodes[0].peers.Gap("other")
			beat(d, time.Minute)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var cache *replacedCache
				d := newDialogue(t, func(c *Config) {
					cache = &replacedCache{Memory: c.Cache.(*store.Memory)}
					cache.generation.Store("one")
					c.Cache = cache
				})
				defer d.stop()
				d.connect(d.nodes[0], "a", "protobuf")
				d.login("a", "al")
				d.send(d.client("a"), "RECORD SUBSCRIBECREATEANDREAD names=r,s corr=1")
				put(d, 1, lost)
				says(d, message.RecordUpdate, 1, "{}", lost)
				synctest.Wait()
				d.client("a").take()

				put(d, 1, won)
				before := cache.reads.Load()
				test.missed(d, cache)
				beat(d, time.Second)
				var heard []string
				for _, m := range d.client("a").take() {
					heard = append(heard, m.Data)
				}
				if got, want := strings.Join(heard, "\n"), strings.Join(test.hears, "\n"); got != want {
					t.Errorf("heard %q, want %q", got, want)
				}
				if test.hears == nil && cache.reads.Load() != before {
					t.Error("records were read though nothing had happened")
				}
			})
		})
	}
}

// beat lets time pass with the heartbeats of the clients.
func beat(d *dialogue, long time.Duration) {
	for range int(long / time.Second) {
		time.Sleep(time.Second)
		for _, c := range d.clients {
			c.session.Heard()
		}
	}
	synctest.Wait()
}

func put(d *dialogue, version int64, data string) {
	d.t.Helper()
	if err := d.cache.Put(context.Background(), "r", store.Record{Version: version, Data: data}); err != nil {
		d.t.Fatal(err)
	}
}

// says has another node say that it has written.
func says(d *dialogue, action message.Action, version int64, before, after string) {
	m := &message.Message{Topic: message.Record, Action: action, Name: "r", Version: version, HasVersion: true, Data: after,
		Base: store.Record{Data: before}.Sum(), Sum: store.Record{Data: after}.Sum()}
	if action == message.RecordPatch {
		m.Path, m.Data = "q", "1"
	}
	d.nodes[0].peers.Deliver("other", topic.Pack(m))
}

// TestLostWriteOfRedis: a Redis is restarted from a copy that lacks the last write, and
// has another one in its place.
func TestLostWriteOfRedis(t *testing.T) {
	t.Parallel()
	address, first := startRedisProcess(t)
	nodes := startCluster(t, 2, address)
	var observers []*observer
	for i, node := range nodes {
		o := observe(t, node, string(rune('a'+i)))
		o.subscribe("rec")
		observers = append(observers, o)
	}
	dial(t, nodes[0], "writer").send(&message.Message{Topic: message.Record, Action: message.RecordUpdate, Name: "rec",
		Data: `{"p":1}`, Version: 1, HasVersion: true})
	for _, o := range observers {
		eventually(t, "all have the write that will be lost", func() error { return o.has("rec", 1, map[string]int{"p": 1}) })
	}

	// The other is prepared where nobody sees it.
	kill(t, first)
	dir := t.TempDir()
	apart, second := startRedisIn(t, dir, "")
	client := redis.NewClient(&redis.Options{Addr: apart})
	defer client.Close()
	ctx := context.Background()
	if err := store.NewRedis(client, store.RedisConfig{}).Put(ctx, "rec", store.Record{Version: 1, Data: `{"p":2}`}); err != nil {
		t.Fatal(err)
	}
	if err := client.Save(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	kill(t, second)
	startRedisIn(t, dir, address)
	for _, o := range observers {
		eventually(t, "all have the write that took its place", func() error { return o.has("rec", 1, map[string]int{"p": 2}) })
	}
}
