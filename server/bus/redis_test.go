package bus

import (
	"fmt"
	"log/slog"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// clusterOf starts nodes of one cluster, each with a client of its own, and waits
// until they know each other.
func clusterOf(t testing.TB, client func() redis.UniversalClient, cluster string, names ...string) map[string]*running {
	t.Helper()
	nodes := map[string]*running{}
	for _, name := range names {
		r := run(t, NewRedis(client(), RedisConfig{Cluster: cluster, Node: name}))
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

// awaits waits until the last line that r was told is want.
func (r *running) awaits(t testing.TB, want string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%q", want), func() bool { return slices.Contains(r.all(), want) })
}

// TestRedis: order, one receiver, clusters apart, leaving, coming back.
func TestRedis(t *testing.T) {
	s := startRedis(t)
	client := func() redis.UniversalClient { return s.client(t) }
	nodes := clusterOf(t, client, "one", "a", "b", "c")
	other := clusterOf(t, client, "one:node", "a", "b") // not all:node:a of one
	a, b := nodes["a"], nodes["b"]
	var want []string
	for i := range 1000 {
		a.send(t, "a b", fmt.Sprint(i))
		want = append(want, fmt.Sprintf("a:%d", i))
	}
	b.awaits(t, "a:999")
	if got := b.take(); !slices.Equal(got, want) {
		t.Errorf("b was told %q", got)
	}
	c := run(t, NewRedis(client(), RedisConfig{Cluster: "one", Node: "d"}))
	b.awaits(t, "gap d")
	c.awaits(t, "gap b")
	c.stop()
	b.awaits(t, "left d")
	for name, r := range map[string]*running{"c": nodes["c"], "a of another": other["a"], "b of another": other["b"]} {
		got := r.take()
		if name == "c" {
			got = slices.DeleteFunc(got, func(l string) bool { return l == "gap d" || l == "left d" })
		}
		if len(got) > 0 {
			t.Errorf("%s was told %q", name, got)
		}
	}
}

// TestRedisTrouble: Redis is killed, and stopped for longer than the patience of its
// clients. Nobody is declared gone, and what is delivered after the last gap is whole.
func TestRedisTrouble(t *testing.T) {
	s := startRedis(t)
	client := func() redis.UniversalClient { return s.client(t) }
	nodes := clusterOf(t, client, "one", "a", "b")
	a, b := nodes["a"], nodes["b"]
	f := func(what string, down, up func()) {
		t.Run(what, func(t *testing.T) {
			down()
			eventually(t, "the nodes to notice", func() bool {
				a.send(t, "b", "lost")
				time.Sleep(time.Millisecond)
				return !a.Connected() && !b.Connected()
			})
			time.Sleep(maxAge + time.Second) // so that some of it is too old
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
