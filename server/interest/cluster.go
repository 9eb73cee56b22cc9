package interest

import (
	"hash/maphash"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Cluster is the Registry of nodes that are joined by a bus. Each node tells the
// others what it wants: all of it when it is first heard or was not heard for a
// while, then what changes. What is known of a node stays in force while it is in
// doubt, until the node has said all again.
//
// Watchers are told of this node's own changes before Add and Remove return.
type Cluster struct {
	// Log may be set before Run.
	Log *slog.Logger

	self   member
	send   func(nodes []string, payload []byte) error
	wake   chan struct{} // something is to be told
	sets   sets
	tables [kinds]table
	nodes  atomic.Pointer[[]string]
	count  counters

	// Set before Run and before the first Add.
	watch [kinds][]func(name string, wanted bool)
	more  [kinds][]func(name string)
	heed  []func(node string, joined bool)
	knew  []func(node string)

	mu       sync.Mutex
	peers    map[string]*peer  // guarded by mu: the others that are heard
	told     []string          // guarded by mu: those that are told of changes; replaced, not changed
	number   uint64            // guarded by mu: of the next change that is sent
	pending  []change          // guarded by mu: to be sent
	requests map[string]uint64 // guarded by mu: nonces, by the node that asks
	unsent   []func()          // guarded by mu: calls of Settle that wait for the next flush
	rounds   []round           // guarded by mu: calls that wait for acknowledgements, in order
	round    uint64            // guarded by mu: the ordinal of the next
	ended    bool              // guarded by mu: Run is over
	calls    sync.WaitGroup
}

// NewCluster makes the registry of the node self; send queues a frame for other
// nodes, and must not block or keep it. A node that has no others needs neither Run
// nor send.
func NewCluster(self string, send func(nodes []string, payload []byte) error) *Cluster {
	c := &Cluster{
		Log: slog.Default(), send: send, wake: make(chan struct{}, 1), sets: newSets(),
		peers: make(map[string]*peer), number: 1, requests: make(map[string]uint64),
	}
	c.self = c.sets.member(self, true)
	seed := maphash.MakeSeed()
	for k := range c.tables {
		c.tables[k].init(seed)
	}
	c.nodes.Store(&[]string{self})
	return c
}

// Self implements Registry.
func (c *Cluster) Self() string { return c.self.name }

// Add implements Registry. A name of more than 16 MiB is known to this node only.
func (c *Cluster) Add(k Kind, name string) { c.change(k, name, &c.self, true) }

// Remove implements Registry.
func (c *Cluster) Remove(k Kind, name string) { c.change(k, name, &c.self, false) }

// Others implements Registry. It does not allocate.
func (c *Cluster) Others(k Kind, name string) []string {
	if s := c.tables[k].get(name); s != nil {
		return s.others
	}
	return nil
}

// Has implements Registry.
func (c *Cluster) Has(k Kind, name string) bool { return c.tables[k].get(name) != nil }

// Names implements Registry. Names that come or go meanwhile may be missed.
func (c *Cluster) Names(k Kind) []string {
	t := &c.tables[k]
	names := make([]string, 0, t.len())
	for i := range t.shards {
		names = t.shards[i].append(names, false)
	}
	return names
}

// Watch implements Registry.
func (c *Cluster) Watch(k Kind, f func(name string, wanted bool)) { c.watch[k] = append(c.watch[k], f) }

// WatchOthers implements Registry.
func (c *Cluster) WatchOthers(k Kind, f func(name string)) { c.more[k] = append(c.more[k], f) }

// Nodes implements Registry.
func (c *Cluster) Nodes() []string { return *c.nodes.Load() }

// WatchKnown implements Registry.
func (c *Cluster) WatchKnown(f func(node string)) { c.knew = append(c.knew, f) }

// WatchNodes implements Registry.
func (c *Cluster) WatchNodes(f func(node string, joined bool)) { c.heed = append(c.heed, f) }

// change has a node want a name, or no longer.
func (c *Cluster) change(k Kind, name string, m *member, add bool) {
	sh := c.tables[k].shard(name)
	sh.change.Lock()
	defer sh.change.Unlock()
	c.changeIn(sh, k, name, m, add)
}

// changeIn is called with sh.change held. It keeps a copy of the name.
func (c *Cluster) changeIn(sh *shard, k Kind, name string, m *member, add bool) {
	was := sh.names[name]
	if was.has(m) == add {
		return
	}
	now := c.sets.toggle(was, m)
	// A map takes the new key with a new value: it must not be a part of something
	// larger.
	name = strings.Clone(name)
	sh.put(name, now)
	if m.self {
		c.tell(change{k, add, name})
	}
	if was == nil || now == nil {
		for _, f := range c.watch[k] {
			f(name, add)
		}
	}
	if add && !m.self {
		for _, f := range c.more[k] {
			f(name)
		}
	}
}

// names are those of a node, by kind and shard.
type names [kinds][shards][]string

// replace has a node want exactly the given names; nil are none. What it wanted
// already and still wants is not touched. Before is whether it may have wanted any.
func (c *Cluster) replace(m *member, wanted *names, before bool) {
	for k := range kinds {
		t := &c.tables[k]
		for i := range t.shards {
			var list []string
			if wanted != nil {
				list = wanted[k][i]
			}
			if before || len(list) > 0 {
				c.replaceIn(&t.shards[i], k, m, list, before)
			}
		}
	}
}

func (c *Cluster) replaceIn(sh *shard, k Kind, m *member, wanted []string, before bool) {
	sh.change.Lock()
	defer sh.change.Unlock()
	for _, name := range wanted {
		c.changeIn(sh, k, name, m, true)
	}
	if !before {
		return
	}
	keep := make(map[string]struct{}, len(wanted))
	for _, name := range wanted {
		keep[name] = struct{}{}
	}
	var gone []string
	for name, s := range sh.names {
		if _, ok := keep[name]; !ok && s.has(m) {
			gone = append(gone, name)
		}
	}
	for _, name := range gone {
		c.changeIn(sh, k, name, m, false)
	}
}

// setNode has a node among Nodes, or not.
func (c *Cluster) setNode(node string, joined bool) {
	nodes := slices.DeleteFunc(slices.Clone(c.Nodes()), func(n string) bool { return n == node })
	if joined {
		nodes = append(nodes, node)
		slices.Sort(nodes)
	}
	c.nodes.Store(&nodes)
}

func (c *Cluster) tellNodes(node string, joined bool) {
	for _, f := range c.heed {
		f(node, joined)
	}
}
