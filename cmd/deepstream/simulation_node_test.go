package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/dsproxy/dsproxy/backend"
	"github.com/dsproxy/dsproxy/backend/gossip"
	"github.com/dsproxy/dsproxy/server/bus"
	"github.com/dsproxy/dsproxy/server/config"
)

// simulatedNode is one run of a node: all of the program but its flags and signals.
type simulatedNode struct {
	*process
	s    *simulation
	name string
	host *host
	bus  *heardBus
	stop context.CancelFunc
	done chan struct{}
	born time.Time
}

const (
	gossipPort = 7946
	clientPort = 6020
)

// startNode starts a node on a host of its own.
func (s *simulation) startNode(name string, ip netip.Addr) *simulatedNode {
	n := &simulatedNode{s: s, name: name, host: s.wires.host(name, ip), done: make(chan struct{}), born: time.Now()}
	n.bus = &heardBus{Memory: s.bus.Join(name), s: s, node: name,
		dead: make(map[string]time.Time), known: make(map[string]bool), sent: make(map[string]int)}
	o := config.Default()
	o.Node.Name, o.Node.AdminAddr = name, ""
	o.Cluster.Bind = netip.AddrPortFrom(ip, gossipPort).String()
	o.Cluster.Join = s.join
	o.Cluster.Zone, o.Cluster.Weight, o.Cluster.Key = "z", 2, s.key
	c, err := o.Open(slog.New(slog.NewTextHandler(&noteWriter{s, name}, &slog.HandlerOptions{ReplaceAttr: untimed})))
	if err != nil {
		s.t.Fatal(err)
	}
	c.Cache, c.Bus = s.cache, n.bus
	c.Listener = n.host.door(clientPort, func() { s.doorCloses(n) })
	c.DrainTimeout = 2 * time.Second
	if n.process, err = open(o, c, n.host); err != nil {
		s.t.Fatal(err)
	}
	s.forgetJoin(n.member.fleet)
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	s.running.Go(func() {
		defer close(n.done)
		if err := n.serve(ctx, nil); err != nil {
			s.wrong("%s ended: %v", name, err)
		}
	})
	return n
}

// forgetJoin has a member, in one of two lives, lose its join list when it has found
// others, as one does whose names in DNS are gone. It knows where they were.
func (s *simulation) forgetJoin(f *gossip.Fleet) {
	if s.seed%2 == 0 {
		return
	}
	s.due = append(s.due, happening{time.Now().Add(30 * time.Second), func() {
		alive := 0
		for _, m := range f.Members() {
			if m.State == gossip.Alive {
				alive++
			}
		}
		if alive < 3 {
			return
		}
		s.note("%s has no join list any more", f.Name())
		if err := f.SetJoin(nil); err != nil {
			s.wrong("the join list of %s: %v", f.Name(), err)
		}
	}})
}

func (n *simulatedNode) addr() string { return netip.AddrPortFrom(n.host.ip, clientPort).String() }

// heardBus is the bus of a node, and looks at what the node does with it.
type heardBus struct {
	*bus.Memory
	s    *simulation
	node string

	mu    sync.Mutex
	dead  map[string]time.Time // guarded by mu: those of the last verdict, and its time
	known map[string]bool      // guarded by mu: the nodes that are there, for the receiver
	sent  map[string]int       // guarded by mu: payloads to each node
}

// Verdict is told by the gossip.
func (b *heardBus) Verdict(node string, alive bool) {
	b.s.note("%s takes %s for alive: %v", b.node, node, alive)
	if node == b.node {
		b.s.wrong("%s is told a verdict of itself", node)
	}
	b.mu.Lock()
	if _, was := b.dead[node]; alive {
		delete(b.dead, node)
	} else if !was {
		b.dead[node] = time.Now()
	}
	b.mu.Unlock()
	b.Memory.Verdict(node, alive)
}

func (b *heardBus) Send(nodes []string, payload []byte) error {
	b.mu.Lock()
	for _, n := range nodes {
		b.sent[n]++
	}
	b.mu.Unlock()
	return b.Memory.Send(nodes, payload)
}

func (b *heardBus) Run(ctx context.Context, r bus.Receiver) error {
	return b.Memory.Run(ctx, &heardReceiver{r, b})
}

func (b *heardBus) knows(node string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known[node]
}

func (b *heardBus) sentTo(node string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent[node]
}

func (b *heardBus) deadSince(node string) (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, ok := b.dead[node]
	return at, ok
}

// heardReceiver is a node that hears the others.
type heardReceiver struct {
	bus.Receiver
	bus *heardBus
}

func (r *heardReceiver) Gap(node string) {
	r.set(node, true)
	r.Receiver.Gap(node)
}

func (r *heardReceiver) Left(node string) {
	r.Receiver.Left(node)
	r.set(node, false)
}

func (r *heardReceiver) set(node string, known bool) {
	r.bus.s.note("%s hears %s on the bus: %v", r.bus.node, node, known)
	r.bus.mu.Lock()
	defer r.bus.mu.Unlock()
	r.bus.known[node] = known
}

// simulatedProxy is the part of a dsproxy that finds the nodes.
type simulatedProxy struct {
	name  string
	host  *host
	fleet *gossip.Fleet
	stop  context.CancelFunc

	mu   sync.Mutex
	list []backend.Backend // guarded by mu
}

func (s *simulation) startProxy(name string, ip netip.Addr) *simulatedProxy {
	p := &simulatedProxy{name: name, host: s.wires.host(name, ip)}
	fleet, err := gossip.New(gossip.Config{
		Name: name, Role: gossip.Proxy, Cluster: gossip.DefaultCluster, Bind: netip.AddrPortFrom(ip, gossipPort).String(),
		Join: s.join, Key: s.key, Network: p.host,
		Log: slog.New(slog.NewTextHandler(&noteWriter{s, name}, &slog.HandlerOptions{ReplaceAttr: untimed})),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	p.fleet = fleet
	s.forgetJoin(fleet)
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	s.running.Go(func() { _ = fleet.Run(ctx) })
	s.running.Go(func() { _ = fleet.Source().Run(ctx, func(l []backend.Backend) { s.sourceSets(p, l) }) })
	return p
}

func (s *simulation) sourceSets(p *simulatedProxy, l []backend.Backend) {
	text := ""
	for _, b := range l {
		text += fmt.Sprintf(" %s=%s draining=%v doubt=%v", b.ID, b.Addr, b.Draining, b.Doubt != "")
	}
	s.note("%s has%s", p.name, text)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = slices.Clone(l)
}

func (p *simulatedProxy) backends() []backend.Backend {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.list)
}

// noteWriter takes the log of a program into that of the simulation.
type noteWriter struct {
	s    *simulation
	name string
}

func (w *noteWriter) Write(b []byte) (int, error) {
	w.s.note("%s: %s", w.name, b[:max(len(b)-1, 0)])
	return len(b), nil
}

func untimed(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
