package interest

import (
	"slices"
	"strings"
	"sync"
)

// Memory is the registry of nodes in one process, for tests: what one of them wants
// is known to the others at once.
type Memory struct {
	mu    sync.Mutex
	sets  [kinds]map[string][]string // guarded by mu: nodes by name
	watch [kinds][]watcher           // guarded by mu
	more  [kinds][]watcher           // guarded by mu: told when other nodes want a name
	nodes []string                   // guarded by mu: sorted; replaced, not changed
	heed  []nodeWatcher              // guarded by mu
}

type nodeWatcher struct {
	node string
	f    func(node string, joined bool)
}

type watcher struct {
	node string
	f    func(name string, wanted bool)
}

// NewMemory makes an empty registry.
func NewMemory() *Memory {
	m := &Memory{}
	for k := range m.sets {
		m.sets[k] = make(map[string][]string)
	}
	return m
}

// Node adds a node and returns its view.
func (m *Memory) Node(name string) *Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.nodes, name) {
		m.nodes = append(slices.Clip(m.nodes), name)
		slices.Sort(m.nodes)
		m.tellNodes(name, true)
	}
	return &Node{m, name}
}

func (m *Memory) tellNodes(node string, joined bool) {
	for _, w := range m.heed {
		if w.node != node {
			w.f(node, joined)
		}
	}
}

// Node is a Registry on a Memory.
type Node struct {
	memory *Memory
	name   string
}

// Self implements Registry.
func (n *Node) Self() string { return n.name }

// Nodes implements Registry.
func (n *Node) Nodes() []string {
	m := n.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nodes
}

// WatchKnown implements Registry: in one process nothing is ever unknown.
func (n *Node) WatchKnown(func(node string)) {}

// WatchNodes implements Registry.
func (n *Node) WatchNodes(f func(node string, joined bool)) {
	m := n.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heed = append(m.heed, nodeWatcher{n.name, f})
}

// Settle implements Registry: in one process all know everything at once.
func (n *Node) Settle(f func()) { go f() }

// Add implements Registry.
func (n *Node) Add(k Kind, name string) {
	m := n.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	nodes := m.sets[k][name]
	if slices.Contains(nodes, n.name) {
		return
	}
	// A new slice each time: Others hands it out.
	m.sets[k][strings.Clone(name)] = append(slices.Clip(nodes), n.name)
	if len(nodes) == 0 {
		m.tell(k, name, true)
	}
	for _, w := range m.more[k] {
		if w.node != n.name {
			w.f(name, true)
		}
	}
}

// Remove implements Registry.
func (n *Node) Remove(k Kind, name string) {
	m := n.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(k, name, n.name)
}

func (m *Memory) remove(k Kind, name, node string) {
	nodes := m.sets[k][name]
	i := slices.Index(nodes, node)
	if i < 0 {
		return
	}
	if len(nodes) == 1 {
		delete(m.sets[k], name)
		m.tell(k, name, false)
		return
	}
	m.sets[k][name] = slices.Concat(nodes[:i], nodes[i+1:])
}

func (m *Memory) tell(k Kind, name string, wanted bool) {
	for _, w := range m.watch[k] {
		w.f(name, wanted)
	}
}

// Others implements Registry.
func (n *Node) Others(k Kind, name string) []string {
	m := n.memory
	m.mu.Lock()
	nodes := m.sets[k][name]
	m.mu.Unlock()
	i := slices.Index(nodes, n.name)
	switch {
	case i < 0:
		return nodes
	case len(nodes) == 1:
		return nil
	}
	return slices.Concat(nodes[:i], nodes[i+1:])
}

// Has implements Registry.
func (n *Node) Has(k Kind, name string) bool {
	m := n.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.sets[k][name]) > 0
}

// Names implements Registry.
func (n *Node) Names(k Kind) []string {
	m := n.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	names := make([]string, 0, len(m.sets[k]))
	for name := range m.sets[k] {
		names = append(names, name)
	}
	return names
}

// Watch implements Registry.
func (n *Node) Watch(k Kind, f func(name string, wanted bool)) {
	m := n.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watch[k] = append(m.watch[k], watcher{n.name, f})
}

// WatchOthers implements Registry.
func (n *Node) WatchOthers(k Kind, f func(name string)) {
	m := n.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	m.more[k] = append(m.more[k], watcher{n.name, func(name string, _ bool) { f(name) }})
}

// Leave removes a node and all that it wanted.
func (n *Node) Leave() {
	m := n.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heed = slices.DeleteFunc(m.heed, func(w nodeWatcher) bool { return w.node == n.name })
	m.nodes = slices.DeleteFunc(slices.Clone(m.nodes), func(node string) bool { return node == n.name })
	for k := range m.sets {
		m.watch[k] = slices.DeleteFunc(m.watch[k], func(w watcher) bool { return w.node == n.name })
		m.more[k] = slices.DeleteFunc(m.more[k], func(w watcher) bool { return w.node == n.name })
		for name, nodes := range m.sets[k] {
			if slices.Contains(nodes, n.name) {
				m.remove(Kind(k), name, n.name)
			}
		}
	}
	m.tellNodes(n.name, false)
}
