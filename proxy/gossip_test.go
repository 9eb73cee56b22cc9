package proxy

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dsproxy/dsproxy/backend"
	"github.com/dsproxy/dsproxy/backend/gossip"
)

// member is a node of the gossip that announces a backend.
type member struct {
	*gossip.Fleet
	leave func() // says goodbye and waits
}

func newMember(t testing.TB, name, addr string, join ...string) *member {
	t.Helper()
	f, err := gossip.New(gossip.Config{
		Name: name, Role: gossip.Node, Cluster: gossip.DefaultCluster, Bind: "127.0.0.1:0", Join: join,
		Announcement: gossip.Announcement{Addr: addr, Zone: "zone-" + name, Weight: 2, Version: "1.2.3"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := f.Run(ctx); err != nil {
			t.Errorf("gossip of %s: %v", name, err)
		}
	})
	leave := func() { cancel(); running.Wait() }
	t.Cleanup(leave)
	return &member{f, leave}
}

func (m *member) drains(t testing.TB, draining bool) {
	t.Helper()
	var a gossip.Announcement
	for _, o := range m.Members() {
		if o.Name == m.Name() {
			a = o.Announcement
		}
	}
	a.Draining = draining
	if err := m.Announce(t.Context(), a); err != nil {
		t.Fatal(err)
	}
}

// awaitBackend waits until a backend is in a state, Gone for none, for a reason.
func (p *running) awaitBackend(t testing.TB, id string, want backend.State, reason string) backend.Status {
	t.Helper()
	var got backend.Status
	eventually(t, id+" is "+want.String(), func() bool {
		got = backend.Status{}
		for _, b := range p.pool.Snapshot() {
			if b.ID == id {
				got = b
			}
		}
		return got.State == want && strings.Contains(got.Reason, reason)
	})
	return got
}

// session opens a session on the backend that is named.
func (p *running) session(t testing.TB, on string) (sid string) {
	t.Helper()
	eventually(t, "a session on "+on, func() bool {
		_, open, _ := get(t, p.url(polling))
		sid = sidOf(t, open)
		return strings.HasPrefix(sid, on+"-")
	})
	return sid
}

// newOnly sees that new sessions are all on one backend.
func (p *running) newOnly(t testing.TB, on string) {
	t.Helper()
	for range 20 {
		if _, open, _ := get(t, p.url(polling)); !strings.HasPrefix(sidOf(t, open), on+"-") {
			t.Fatalf("a new session is %s, want all on %s", sidOf(t, open), on)
		}
	}
}

func (p *running) served(t testing.TB, sid string) {
	t.Helper()
	name, _, _ := strings.Cut(sid, "-")
	if status, body, _ := get(t, p.url(polling+"&sid="+sid)); status != 200 || body != "4"+name {
		t.Errorf("session %s was answered %d %s", sid, status, body)
	}
}

// settle waits at the end of a test for the goroutines that it began: a question
// that memberlist has under way ends with its time-out.
func settle(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { eventually(t, "the goroutines have ended", func() bool { return goleak.Find(before) == nil }) })
}

// TestGossip has a proxy that is told of one member only meet a fleet that grows,
// drains, is cut off and dies.
func TestGossip(t *testing.T) {
	settle(t)
	a, b := httptest.NewServer(engine("a")), httptest.NewServer(engine("b"))
	t.Cleanup(a.Close)
	t.Cleanup(b.Close)
	addr := func(s *httptest.Server) string { return s.Listener.Addr().String() }
	nodeA := newMember(t, "node-a", addr(a))
	p := start(t, func(c *Config) {
		c.Gossip.Bind, c.Gossip.Join = "127.0.0.1:0", []string{nodeA.Addr()}
		c.Health.Interval = 100 * time.Millisecond
		c.Health.SlowStart = 0
	})
	got := p.awaitBackend(t, "node-a", backend.Up, "")
	if got.Addr != addr(a) || got.Zone != "zone-node-a" || got.Weight != 2 || got.Version != "1.2.3" {
		t.Errorf("node-a is shown as %+v", got)
	}
	sidA := p.session(t, "a")
	nodeB := newMember(t, "node-b", addr(b), nodeA.Addr())
	sidB := p.session(t, "b")

	nodeA.drains(t, true)
	p.awaitBackend(t, "node-a", backend.Draining, "drained by its source")
	p.newOnly(t, "b")
	p.served(t, sidA)
	nodeA.drains(t, false)
	p.awaitBackend(t, "node-a", backend.Up, "")

	// What gossip takes for dead and yet serves keeps its sessions.
	nodeB.Close()
	p.awaitBackend(t, "node-b", backend.Draining, "gossip has not heard of it")
	p.newOnly(t, "a")
	p.served(t, sidB)
	_, shown := p.admin(t, "GET", "/backends")
	contains(t, shown, "gossip has not heard of it", `"name": "gossip"`)
	if n := p.metric(t, "dsproxy_gossip_members", "role=node", "state=dead"); n != 1 {
		t.Errorf("%v nodes are dead by the metrics", n)
	}

	nodeB = newMember(t, "node-b", addr(b), nodeA.Addr())
	p.awaitBackend(t, "node-b", backend.Up, "")
	p.served(t, sidB)
	p.session(t, "b")

	nodeB.Close()
	b.Close()
	p.awaitBackend(t, "node-b", backend.Down, "checks failed")
	p.newOnly(t, "a")
	p.served(t, sidA)

	nodeA.leave()
	p.awaitBackend(t, "node-a", backend.Gone, "")
	if n := p.metric(t, "dsproxy_gossip_members", "role=node", "state=left"); n != 1 {
		t.Errorf("%v nodes have left by the metrics", n)
	}
}

// TestGossipReload sees that the membership outlives a reload.
func TestGossipReload(t *testing.T) {
	settle(t)
	nodeA := newMember(t, "node-a", sessions(t, "a"))
	nodeB := newMember(t, "node-b", sessions(t, "b"))
	static := sessions(t, "c")
	p := start(t, func(c *Config) {
		c.Gossip.Bind, c.Gossip.Join = "127.0.0.1:0", []string{nodeA.Addr()}
	}, static)
	p.awaitBackend(t, "node-a", backend.Up, "")
	p.awaitBackend(t, static, backend.Up, "")
	p.awaitBackend(t, "node-b", backend.Gone, "")

	c := p.cfg
	c.Backends = nil
	c.Gossip.Join = []string{nodeA.Addr(), nodeB.Addr()}
	if err := p.Reload(c); err != nil {
		t.Fatal(err)
	}
	p.awaitBackend(t, "node-b", backend.Up, "")
	p.awaitBackend(t, "node-a", backend.Up, "")
	p.awaitBackend(t, static, backend.Gone, "")

	f := func(want string, change func(g *Gossip)) {
		t.Helper()
		bad := c
		change(&bad.Gossip)
		if err := p.Reload(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("reload: %v, want %q", err, want)
		}
	}
	f("gossip.bind: cannot be changed by a reload", func(g *Gossip) { g.Bind = "127.0.0.1:1" })
	f("gossip.cluster, gossip.key: cannot be", func(g *Gossip) { g.Cluster, g.Key = "x", "MDEyMzQ1Njc4OWFiY2RlZg==" })
	f(`--join: "a:b:c"`, func(g *Gossip) { g.Join = []string{"a:b:c"} })
	f("gossip.join, gossip.bind: cannot be", func(g *Gossip) { g.Join, g.Bind = nil, "" })
	p.awaitBackend(t, "node-a", backend.Up, "")
}
