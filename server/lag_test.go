package server

import (
	"slices"
	"sync"
	"time"

	"github.com/dsproxy/dsproxy/server/interest"
)

// lagging joins registries of interest that hear of each other late, each other node
// with a delay of its own; what a node says keeps its order.
type lagging struct {
	delay func() time.Duration

	mu    sync.Mutex
	nodes map[string]*lagNode              // guarded by mu
	last  map[[2]string]time.Time          // guarded by mu: the last arrival
	sets  map[string]map[lagKey]struct{}   // guarded by mu: what a node wants
	waits map[string]map[*lagWait]struct{} // guarded by mu: for a node
}

type lagKey struct {
	kind interest.Kind
	name string
}

type lagWait struct {
	left int
	f    func()
}

func newLagging(delay func() time.Duration) *lagging {
	return &lagging{delay: delay, nodes: make(map[string]*lagNode), last: make(map[[2]string]time.Time),
		sets: make(map[string]map[lagKey]struct{}), waits: make(map[string]map[*lagWait]struct{})}
}

// lagNode is one node's view.
type lagNode struct {
	*lagging
	self string

	known sync.Mutex
	views map[string]map[lagKey]struct{} // guarded by known: by node
	watch map[interest.Kind][]func(name string, wanted bool)
	more  map[interest.Kind][]func(name string)
	heed  []func(node string, joined bool)
}

// node makes a view of nothing.
func (l *lagging) node(name string) *lagNode {
	return &lagNode{lagging: l, self: name, watch: make(map[interest.Kind][]func(string, bool)), more: make(map[interest.Kind][]func(string)),
		views: map[string]map[lagKey]struct{}{name: {}}}
}

// join has a node and the others hear of each other from now on.
func (l *lagging) join(n *lagNode) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes[n.self] = n
	l.sets[n.self] = make(map[lagKey]struct{})
	n.known.Lock()
	for k := range n.views[n.self] {
		l.sets[n.self][k] = struct{}{}
	}
	n.known.Unlock()
	for other := range l.nodes {
		if other != n.self {
			l.greet(n.self, other)
			l.greet(other, n.self)
		}
	}
}

// greet has a node hear all of another for the first time.
func (l *lagging) greet(from, to string) {
	set := make(map[lagKey]struct{}, len(l.sets[from]))
	for k := range l.sets[from] {
		set[k] = struct{}{}
	}
	l.carry(from, to, func(n *lagNode) {
		n.views[from] = make(map[lagKey]struct{})
		for k := range set {
			n.apply(from, k, true)
		}
		for _, f := range n.heed {
			f(from, true)
		}
	})
}

// carry has f called on another node; l.mu is held.
func (l *lagging) carry(from, to string, f func(n *lagNode)) {
	way := [2]string{from, to}
	at := time.Now().Add(l.delay())
	if !at.After(l.last[way]) {
		at = l.last[way].Add(time.Nanosecond)
	}
	l.last[way] = at
	time.AfterFunc(time.Until(at), func() {
		l.mu.Lock()
		n := l.nodes[to]
		l.mu.Unlock()
		if n == nil {
			return
		}
		n.known.Lock()
		defer n.known.Unlock()
		f(n)
	})
}

func (l *lagging) leave(name string) {
	l.mu.Lock()
	delete(l.nodes, name)
	delete(l.sets, name)
	for other := range l.nodes {
		l.carry(name, other, func(n *lagNode) {
			for k := range n.views[name] {
				n.apply(name, k, false)
			}
			delete(n.views, name)
			for _, f := range n.heed {
				f(name, false)
			}
		})
	}
	waits := l.waits[name]
	delete(l.waits, name)
	l.mu.Unlock()
	for w := range waits {
		l.arrived(w)
	}
}

func (l *lagging) arrived(w *lagWait) {
	l.mu.Lock()
	w.left--
	done := w.left == 0
	l.mu.Unlock()
	if done {
		go w.f()
	}
}

// apply changes a view; known is held.
func (n *lagNode) apply(node string, k lagKey, wanted bool) {
	before := n.has(k)
	_, had := n.views[node][k]
	if wanted {
		n.views[node][k] = struct{}{}
	} else {
		delete(n.views[node], k)
	}
	if after := n.has(k); before != after {
		for _, f := range n.watch[k.kind] {
			f(k.name, after)
		}
	}
	if wanted && !had && node != n.self {
		for _, f := range n.more[k.kind] {
			f(k.name)
		}
	}
}

func (n *lagNode) has(k lagKey) bool {
	for _, set := range n.views {
		if _, ok := set[k]; ok {
			return true
		}
	}
	return false
}

func (n *lagNode) change(k lagKey, wanted bool) {
	n.known.Lock()
	defer n.known.Unlock()
	if _, ok := n.views[n.self][k]; ok == wanted {
		return
	}
	n.apply(n.self, k, wanted)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.nodes[n.self] != n {
		return
	}
	if wanted {
		n.sets[n.self][k] = struct{}{}
	} else {
		delete(n.sets[n.self], k)
	}
	for other := range n.nodes {
		if other != n.self {
			n.carry(n.self, other, func(to *lagNode) { to.apply(n.self, k, wanted) })
		}
	}
}

// Self implements interest.Registry.
func (n *lagNode) Self() string { return n.self }

// Add implements interest.Registry.
func (n *lagNode) Add(k interest.Kind, name string) { n.change(lagKey{k, name}, true) }

// Remove implements interest.Registry.
func (n *lagNode) Remove(k interest.Kind, name string) { n.change(lagKey{k, name}, false) }

// Others implements interest.Registry.
func (n *lagNode) Others(k interest.Kind, name string) (nodes []string) {
	n.known.Lock()
	defer n.known.Unlock()
	for node, set := range n.views {
		if _, ok := set[lagKey{k, name}]; ok && node != n.self {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// Has implements interest.Registry.
func (n *lagNode) Has(k interest.Kind, name string) bool {
	n.known.Lock()
	defer n.known.Unlock()
	return n.has(lagKey{k, name})
}

// Names implements interest.Registry.
func (n *lagNode) Names(k interest.Kind) (names []string) {
	n.known.Lock()
	defer n.known.Unlock()
	for _, set := range n.views {
		for key := range set {
			if key.kind == k {
				names = append(names, key.name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Watch implements interest.Registry.
func (n *lagNode) Watch(k interest.Kind, f func(name string, wanted bool)) {
	n.watch[k] = append(n.watch[k], f)
}

// WatchOthers implements interest.Registry.
func (n *lagNode) WatchOthers(k interest.Kind, f func(name string)) { n.more[k] = append(n.more[k], f) }

// WatchKnown implements interest.Registry: these tests lose no records.
func (n *lagNode) WatchKnown(func(node string)) {}

// Nodes implements interest.Registry.
func (n *lagNode) Nodes() (nodes []string) {
	n.known.Lock()
	defer n.known.Unlock()
	for node := range n.views {
		nodes = append(nodes, node)
	}
	slices.Sort(nodes)
	return nodes
}

// WatchNodes implements interest.Registry.
func (n *lagNode) WatchNodes(f func(node string, joined bool)) { n.heed = append(n.heed, f) }

// Settle implements interest.Registry.
func (n *lagNode) Settle(f func()) {
	n.known.Lock() // what was added is on its way
	defer n.known.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	w := &lagWait{left: len(n.nodes), f: f}
	for other := range n.nodes {
		if other == n.self {
			continue
		}
		if n.waits[other] == nil {
			n.waits[other] = make(map[*lagWait]struct{})
		}
		n.waits[other][w] = struct{}{}
		n.carry(n.self, other, func(*lagNode) {
			n.mu.Lock()
			_, waiting := n.waits[other][w]
			delete(n.waits[other], w)
			n.mu.Unlock()
			if waiting {
				n.arrived(w)
			}
		})
	}
	go n.arrived(w)
}
