//go:build e2e && linux

package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// parted is a fleet of which each part has a host of its own, and its sessions.
type parted struct {
	*fleet
	lan        *lan
	redisHost  *host
	nodeHosts  []*host
	proxyHosts []*host
	clients    *host
	crowd      *crowd
}

const partedSessions = 24

func startParted(t *testing.T) *parted {
	t.Helper()
	l := newLAN(t)
	f := &parted{lan: l, fleet: &fleet{edge: &edge{}}, redisHost: l.host(t, "redis", 2), clients: l.host(t, "clients", 100)}
	var join []string
	for i := range 3 {
		h := l.host(t, "node"+strconv.Itoa(i+1), 11+i)
		f.nodeHosts = append(f.nodeHosts, h)
		join = append(join, h.gossips+":7946")
	}
	f.redis = &redisServer{at: f.redisHost.place, addr: f.redisHost.ip + ":6379", dir: t.TempDir()}
	f.redis.start(t)
	for i, h := range f.nodeHosts {
		n := &realtimeNode{at: h.place, addr: h.ip + ":6020", admin: "127.0.0.1:9120", gossips: h.gossips + ":7946",
			flags: []string{"--name", "node-" + strconv.Itoa(i+1), "--redis", f.redis.addr, "--public", h.ip + ":6020", "--advertise", h.gossips}}
		n.start(t, strings.Join(join, ","))
		f.nodes = append(f.nodes, n)
	}
	var targets []string
	for i := range 2 {
		h := l.host(t, "proxy"+strconv.Itoa(i+1), 21+i)
		f.proxyHosts = append(f.proxyHosts, h)
		r := startReplicaAt(t, h.place, fmt.Sprintf("dsproxy %d", i+1), "--join", strings.Join(join, ","), "--bind", h.gossips+":7946",
			"--gossip-key", fleetKey, "--redis", f.redis.addr, "--drain-delay", "0s", "--drain-timeout", "2s")
		f.edge.replicas = append(f.edge.replicas, r)
		targets = append(targets, r.http)
	}
	f.edge.splitter = startSplitterAt(t, f.clients.place, targets...)
	t.Cleanup(func() { f.edge.stop(t) })
	f.whole(t)
	f.crowd = gatherAt(t, f.clients.place, f.edge.URL, partedSessions, "", "quick")
	f.sound(t, "at first")
	return f
}

// metric returns one without labels that a node shows.
func (n *realtimeNode) metric(name string) (int, error) {
	page, err := get(n.at.client(), "http://"+n.admin+"/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(page) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			value, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			return int(value), err
		}
	}
	return 0, fmt.Errorf("%s has no metric %s", n.name(), name)
}

// whole returns when all nodes hear each other and all proxies have all nodes.
func (f *parted) whole(t *testing.T) {
	t.Helper()
	await(t, recoveryLimit, "the fleet is whole", func() error {
		for _, n := range f.nodes {
			if peers, err := n.metric("deepstream_bus_peers"); err != nil || peers != len(f.nodes)-1 {
				return fmt.Errorf("%s hears %d nodes, %v", n.name(), peers, err)
			}
		}
		return f.found(len(f.nodes))
	})
}

// sound is what it is to a crowd; and everybody is there, as all see it.
func (f *parted) sound(t *testing.T, when string) {
	t.Helper()
	f.crowd.sound(t, when)
	await(t, recoveryLimit, when+": all see all", func() error {
		if a := f.crowd.say(t, "present"); !slices.Equal(a.Users, []int{partedSessions - 1, partedSessions - 1}) {
			return fmt.Errorf("between %v users are seen, want %d", a.Users, partedSessions-1)
		}
		return nil
	})
}

// TestPartition cuts hosts of a fleet off from each other, in one way after another.
func TestPartition(t *testing.T) {
	f := startParted(t)
	for _, p := range []struct {
		name string
		part func(t *testing.T)
	}{
		{"gossip of a node", f.gossipOfNode},
		{"gossip of a proxy", f.gossipOfProxy},
		{"a node and Redis", f.nodeAndRedis},
		{"a node and all", f.nodeAndAll},
	} {
		if !t.Run(p.name, p.part) {
			return
		}
	}
}

// backends awaits that the page of the backends of each given proxy has a text in it
// so many times.
func (f *parted) backends(t *testing.T, what, text string, times int, proxies ...*replica) {
	t.Helper()
	for _, r := range proxies {
		await(t, recoveryLimit, what+", as "+r.name+" sees it", func() error {
			page, err := r.get("/backends")
			if err != nil {
				return err
			}
			if n := strings.Count(page, text); n != times {
				return fmt.Errorf("%q is there %d times: %s", text, n, page)
			}
			return nil
		})
	}
}

// undisturbed runs f, during which no session may lose its connection.
func (f *parted) undisturbed(t *testing.T, c *crowd, during func()) {
	t.Helper()
	before := c.say(t, "state")
	during()
	if after := c.say(t, "state"); after.Reconnects != before.Reconnects || after.Open != c.size {
		t.Errorf("%d of %d are open after %d reconnects", after.Open, c.size, after.Reconnects-before.Reconnects)
	}
}

// gossipOfNode: a node that no other member of the gossip reaches, but which reaches
// Redis, is not gone for the other nodes, and its sessions go on.
func (f *parted) gossipOfNode(t *testing.T) {
	n1 := f.nodeHosts[0]
	f.undisturbed(t, f.crowd, func() {
		f.lan.cut(t, n1, gossip, f.lan.but(n1)...)
		f.backends(t, "gossip takes the node for dead", `"draining"`, 1, f.edge.replicas...)
		for range 3 {
			f.sound(t, "with the gossip of a node cut off")
			for _, n := range f.nodes {
				if peers, err := n.metric("deepstream_bus_peers"); err != nil || peers != 2 {
					t.Errorf("with the gossip of node 1 cut off, %s hears %d nodes, %v", n.name(), peers, err)
				}
			}
		}
		f.lan.heal(t)
		f.whole(t)
		f.sound(t, "with the gossip whole again")
	})
}

// gossipOfProxy: a proxy that hears no node by gossip any more keeps those it knew,
// and serves old and new sessions.
func (f *parted) gossipOfProxy(t *testing.T) {
	p1, r := f.proxyHosts[0], f.edge.replicas[0]
	f.undisturbed(t, f.crowd, func() {
		f.lan.cut(t, p1, gossip, f.lan.but(p1)...)
		f.backends(t, "the proxy says that it hears nobody", "no node is heard", 1, r)
		f.backends(t, "it keeps its backends", `"up"`, 3, r)
		f.sound(t, "with the gossip of a proxy cut off")
		c := gatherAt(t, f.clients.place, f.edge.URL, 12, "late/", "quick")
		c.sound(t, "those who came while the gossip of a proxy was cut off")
		c.kill()
		f.lan.heal(t)
		f.whole(t)
		f.sound(t, "with the gossip whole again")
	})
}

// nodeAndRedis: a node that does not reach Redis keeps its clients, who go on talking
// to each other; what they write is refused, and nothing is left of it in the end.
func (f *parted) nodeAndRedis(t *testing.T) {
	n1 := f.nodeHosts[0]
	c := gatherAt(t, f.clients.place, "http://"+f.nodes[0].addr, 9, "near/", "quick") // all of them on that node
	c.sound(t, "at first")
	connected := func(want int) {
		t.Helper()
		await(t, recoveryLimit, fmt.Sprintf("the bus of the node is %d", want), func() error {
			if is, err := f.nodes[0].metric("deepstream_bus_connected"); err != nil || is != want {
				return fmt.Errorf("it is %d, %v", is, err)
			}
			return nil
		})
	}
	f.undisturbed(t, f.crowd, func() {
		f.undisturbed(t, c, func() {
			f.lan.cut(t, n1, services, f.redisHost)
			connected(0)
			for began := time.Now(); time.Since(began) < 10*time.Second; {
				if a := c.say(t, "talk"); a.Failed != 0 {
					t.Errorf("clients of a node that does not reach Redis: %v", a)
				}
				if a := c.say(t, "write"); a.Acknowledged != 0 || a.Refused != 6 {
					t.Errorf("of 6 writes %d were acknowledged, %d refused, %d not answered", a.Acknowledged, a.Refused, a.Unanswered)
				}
			}
			f.lan.heal(t)
			connected(1)
			f.whole(t)
			c.sound(t, "with Redis in reach again")
		})
		c.kill()
		f.sound(t, "with Redis in reach of all")
	})
}

// nodeAndAll: the sessions of a node that nobody reaches go on at other nodes, and
// the node takes part again when it is back.
func (f *parted) nodeAndAll(t *testing.T) {
	n1 := f.nodeHosts[0]
	for _, what := range []traffic{services, gossip} {
		f.lan.cut(t, n1, what, f.lan.but(n1)...)
	}
	began := time.Now()
	f.backends(t, "the node is away", `"up"`, 2, f.edge.replicas...)
	t.Logf("the proxies do without the node %v after it was cut off", time.Since(began).Round(time.Millisecond))
	await(t, recoveryLimit, "the sessions of the node are elsewhere", func() error {
		if a := f.crowd.say(t, "state"); a.Open != partedSessions {
			return fmt.Errorf("%d of %d are open", a.Open, partedSessions)
		}
		if a := f.crowd.say(t, "talk"); a.Failed != 0 {
			return fmt.Errorf("%v", a)
		}
		return nil
	})
	t.Logf("all sessions talk again %v after it was cut off", time.Since(began).Round(time.Millisecond))
	f.sound(t, "with a node cut off")
	f.lan.heal(t)
	f.whole(t)
	f.sound(t, "with the node back")
	c := gatherAt(t, f.clients.place, "http://"+f.nodes[0].addr, 6, "back/", "quick")
	c.sound(t, "on the node that is back")
	c.kill()
}
