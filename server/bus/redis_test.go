package bus

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// joins makes the bus of a node of one cluster.
type joins func(t testing.TB, node string) runner

// overRedis makes nodes with a client of their own each.
func overRedis(client func(t testing.TB) redis.UniversalClient, cluster string) joins {
	return func(t testing.TB, node string) runner {
		return NewRedis(client(t), RedisConfig{Cluster: cluster, Node: node, Log: testLog(t)})
	}
}

// start runs nodes and waits until they know each other.
func (join joins) start(t testing.TB, names ...string) map[string]*running {
	t.Helper()
	nodes := map[string]*running{}
	for _, name := range names {
		r := run(t, join(t, name))
		t.Cleanup(r.stop)
		nodes[name] = r
	}
	eventually(t, "the nodes to know each other", func() bool {
		for _, r := range nodes {
			if r.Stats().Peers != len(names)-1 || !r.Connected() {
				return false
			}
		}
		return true
	})
	for _, r := range nodes {
		r.take()
	}
	return nodes
}

// awaits waits until r was told want.
func (r *running) awaits(t testing.TB, want string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%q", want), func() bool { return slices.Contains(r.all(), want) })
}

// TestContract: a bus does the same whatever carries it.
func TestContract(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		n := NewNetwork()
		contract(t, func(_ testing.TB, node string) runner { return n.Join(node) })
	})
	t.Run("redis", func(t *testing.T) {
		s := startRedis(t)
		contract(t, overRedis(func(t testing.TB) redis.UniversalClient { return s.client(t) }, "one"))
	})
	t.Run("redis with a password and RESP2", func(t *testing.T) {
		s := startRedis(t, "--requirepass", "secret")
		contract(t, overRedis(func(t testing.TB) redis.UniversalClient {
			return s.client(t, func(o *redis.Options) { o.Password, o.Protocol = "secret", 2 })
		}, "one"))
	})
	t.Run("redis cluster", func(t *testing.T) {
		addrs := startCluster(t, 3)
		contract(t, overRedis(func(t testing.TB) redis.UniversalClient {
			c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
			t.Cleanup(func() { _ = c.Close() })
			return c
		}, "{one}"))
	})
}

func contract(t *testing.T, join joins) {
	nodes := join.start(t, "a", "b", "c")
	a, b, c := nodes["a"], nodes["b"], nodes["c"]

	// Many senders, two receivers, one order each.
	const senders, each = 4, 1000
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			for i := range each {
				a.send(t, "a b c nobody", fmt.Sprintf("%d %d", s, i))
			}
		})
	}
	sending.Wait()
	want := senders * each
	var told [2][]string
	for i, r := range []*running{b, c} {
		eventually(t, "all messages", func() bool { return len(r.all()) >= want })
		told[i] = r.take()
		next := make([]int, senders)
		for _, l := range told[i] {
			var s, n int
			if _, err := fmt.Sscanf(l, "a:%d %d", &s, &n); err != nil || next[s] != n {
				t.Fatalf("told %q where %d follows", l, next[s])
			}
			next[s]++
		}
	}
	if !slices.Equal(told[0], told[1]) {
		t.Error("b and c were told different orders")
	}
	if s := a.Stats(); s.MessagesSent != uint64(2*want) || s.Published >= uint64(2*want) || s.Dropped != 0 {
		t.Errorf("%+v", s)
	}

	// What is large takes its place among the others.
	var sent []string
	for i := range 60 {
		sent = append(sent, strings.Repeat("x", (i%4)*300_000)+fmt.Sprint(i))
	}
	sent = append(sent, strings.Repeat("x", 20<<20), "after", "")
	a.send(t, "b", sent...)
	eventually(t, "all messages", func() bool { return len(b.all()) >= len(sent) })
	for i, got := range b.take() {
		if got != "a:"+sent[i] {
			t.Fatalf("of the large ones, the %dth is another: %.20s", i, got)
		}
	}

	// One comes, and goes when all that it sent is sent.
	d := run(t, join(t, "d"))
	for _, r := range nodes {
		r.awaits(t, "gap d")
	}
	for _, n := range []string{"a", "b", "c"} {
		d.awaits(t, "gap "+n)
	}
	d.send(t, "a b c", "last words")
	d.stop()
	for n, r := range nodes {
		r.awaits(t, "left d")
		if got := r.take(); !slices.Equal(got, []string{"gap d", "d:last words", "left d"}) {
			t.Errorf("%s was told %q", n, got)
		}
	}
	if got := d.all(); len(got) != 3 {
		t.Errorf("d was told %q", got)
	}
}

// TestRedisClustersApart: nodes of different clusters with names that look alike.
func TestRedisClustersApart(t *testing.T) {
	s := startRedis(t)
	client := func(t testing.TB) redis.UniversalClient { return s.client(t) }
	var all []*running
	for _, cluster := range []string{"one", "one:node", "one:all", "one%3Anode", "One", ""} {
		nodes := overRedis(client, cluster).start(t, "a", "node:a", "all")
		nodes["a"].send(t, "node:a", cluster)
		nodes["node:a"].awaits(t, "a:"+cluster)
		for _, r := range nodes {
			all = append(all, r)
		}
	}
	for _, r := range all {
		if s := r.Stats(); s.Peers != 2 || s.MessagesSent+s.MessagesReceived > 1 {
			t.Errorf("%+v", s)
		}
	}
}

// TestRedisGarbage: what others publish in the channels of a cluster touches nobody.
func TestRedisGarbage(t *testing.T) {
	s := startRedis(t)
	nodes := overRedis(func(t testing.TB) redis.UniversalClient { return s.client(t) }, "one").start(t, "a", "b")
	c := s.client(t)
	for _, channel := range []string{"deepstream:one:all", "deepstream:one:node:a"} {
		for _, garbage := range []string{"", "x", "\xd5", "\xd5\x01", "\xd5\x02\x01a", strings.Repeat("\xff", 1<<20)} {
			if n, err := c.Publish(t.Context(), channel, garbage).Result(); n == 0 || err != nil {
				t.Fatalf("%s: %d nodes hear, %v", channel, n, err)
			}
		}
	}
	nodes["b"].send(t, "a", "1")
	nodes["a"].awaits(t, "b:1")
	if s := nodes["a"].Stats(); s.Malformed != 12 || s.Peers != 1 || s.Gaps != 0 {
		t.Errorf("%+v", s)
	}
}

// TestRedisDenied: a node that may not go on the bus says why, and joins when it may.
func TestRedisDenied(t *testing.T) {
	s := startRedis(t, "--requirepass", "secret")
	c := s.client(t, func(o *redis.Options) { o.Password = "secret" })
	r := run(t, NewRedis(s.client(t), RedisConfig{Cluster: "one", Node: "a", Log: testLog(t)}))
	defer r.stop()
	log := &output{}
	denied := run(t, NewRedis(s.client(t), RedisConfig{Cluster: "one", Node: "b", Log: slog.New(slog.NewTextHandler(log, nil))}))
	defer denied.stop()
	eventually(t, "a reason", func() bool { return strings.Contains(log.String(), "NOAUTH") })
	if r.Connected() || denied.Connected() {
		t.Error("connected without a password")
	}
	if err := c.ConfigSet(t.Context(), "requirepass", "").Err(); err != nil {
		t.Fatal(err)
	}
	denied.awaits(t, "gap a")
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("logged %s", log)
	}
}

// TestRedisSentinel: the nodes follow to the server that takes over.
func TestRedisSentinel(t *testing.T) {
	t.Parallel()
	master := startRedis(t)
	replica := startRedis(t, "--replicaof", "127.0.0.1", fmt.Sprint(master.port), "--repl-diskless-sync-delay", "0")
	rc := replica.client(t)
	eventually(t, "the replica", func() bool {
		return strings.Contains(rc.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor main 127.0.0.1 %d 1\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n", master.port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := startRedis(t, conf, "--sentinel")
	sc := redis.NewSentinelClient(&redis.Options{Addr: sentinel.addr()})
	defer sc.Close()
	eventually(t, "the sentinel to know the replica", func() bool {
		found, err := sc.Replicas(t.Context(), "main").Result()
		return err == nil && len(found) == 1 && strings.Contains(found[0]["flags"], "slave") && !strings.Contains(found[0]["flags"], "down") &&
			found[0]["master-link-status"] == "ok"
	})
	nodes := overRedis(func(t testing.TB) redis.UniversalClient {
		c := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "main", SentinelAddrs: []string{sentinel.addr()}})
		t.Cleanup(func() { _ = c.Close() })
		return c
	}, "one").start(t, "a", "b")
	a, b := nodes["a"], nodes["b"]
	a.send(t, "b", "1")
	b.awaits(t, "a:1")
	master.kill()
	eventually(t, "the nodes to notice", func() bool { return !a.Connected() && !b.Connected() })
	eventually(t, "the nodes to be back", func() bool { return a.Connected() && b.Connected() })
	a.send(t, "b", "2")
	b.awaits(t, "a:2")
	if got := b.take(); slices.Contains(got, "left a") {
		t.Errorf("told %q", got)
	}
}

// TestRedisTrouble: Redis is killed, and stopped for longer than the patience of its
// clients. Nobody is declared gone, and what is delivered after the last gap is whole.
func TestRedisTrouble(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	nodes := overRedis(func(t testing.TB) redis.UniversalClient { return s.client(t) }, "one").start(t, "a", "b")
	a, b := nodes["a"], nodes["b"]
	f := func(what string, down, up func()) {
		t.Run(what, func(t *testing.T) {
			down()
			eventually(t, "the nodes to notice", func() bool {
				a.send(t, "b", "lost")
				time.Sleep(time.Millisecond)
				return !a.Connected() && !b.Connected()
			})
			dropped := a.runner.(*Redis).Stats().Dropped
			eventually(t, "some of it to be too old", func() bool {
				a.send(t, "b", "lost")
				return a.runner.(*Redis).Stats().Dropped > dropped
			})
			up()
			start := time.Now()
			eventually(t, "the nodes to be back", func() bool { return a.Connected() && b.Connected() })
			t.Logf("back after %v", time.Since(start))
			b.awaits(t, "gap a")
			a.send(t, "b", "fresh "+what)
			b.awaits(t, "a:fresh "+what)
			for _, l := range append(a.take(), b.take()...) {
				if l == "left a" || l == "left b" {
					t.Error(l)
				}
			}
		})
	}
	f("killed", s.kill, s.restart)
	f("stopped", func() { s.signal(syscall.SIGSTOP) }, func() { s.signal(syscall.SIGCONT) })
	if s := b.Stats(); s.Reconnects != 2 || s.Gaps == 0 || a.Stats().Dropped == 0 {
		t.Errorf("%+v", s)
	}
}

func testLog(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// slow is a receiver that can be held up.
type slow struct {
	*heard
	gate sync.Mutex
}

func (s *slow) Deliver(node string, payload []byte) {
	s.gate.Lock()
	defer s.gate.Unlock()
	s.heard.Deliver(node, payload[:min(len(payload), 10)])
}

// TestRedisSlow: Redis cuts off a node that does not read; it is told so and is whole
// again, and the sender notices nothing.
func TestRedisSlow(t *testing.T) {
	s := startRedis(t, "--client-output-buffer-limit", "pubsub 1mb 1mb 1")
	a := overRedis(func(t testing.TB) redis.UniversalClient { return s.client(t) }, "one").start(t, "a")["a"]
	b := &slow{heard: &heard{}}
	bus := NewRedis(s.client(t), RedisConfig{Cluster: "one", Node: "b"})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = bus.Run(ctx, b) })
	a.awaits(t, "gap b")
	b.gate.Lock()
	payload := strings.Repeat("x", 100_000)
	for range 500 {
		a.send(t, "b", payload)
	}
	eventually(t, "all to be published", func() bool { return a.Stats().Queued == 0 })
	b.gate.Unlock()
	eventually(t, "a gap", func() bool { return bus.Stats().Gaps > 0 })
	eventually(t, "what is sent then", func() bool { // it may be cut off again
		a.send(t, "b", "fresh")
		return slices.Contains(b.all(), "a:fresh")
	})
	if got := b.take(); slices.Contains(got, "left a") {
		t.Error("told that the sender left")
	}
	if got := a.take(); slices.Contains(got, "left b") {
		t.Errorf("the sender was told %q", got)
	}
}
