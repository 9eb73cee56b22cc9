package listen

import "sync"

// notices is what there is to look at, put down by those who may not do it at once:
// the interest registry, under its locks, and the bus. One goroutine looks at names,
// in the order of the notices; another does what takes long, where all names have to
// be gone through. Both live while there is something to do.
type notices struct {
	r *Registry

	mu        sync.Mutex
	closed    bool            // guarded by mu
	names     []string        // guarded by mu
	again     map[string]bool // guarded by mu: the same names, and whether to search again
	questions []question      // guarded by mu
	left      []string        // guarded by mu: nodes
	looking   bool            // guarded by mu

	all       bool                // guarded by mu: all names are to be looked at
	patterns  map[string]struct{} // guarded by mu: came, went, or have one more listener
	unsettled batch               // guarded by mu: this node's, which others may not know
	settled   []string            // guarded by mu: patterns that they know
	walking   bool                // guarded by mu
}

type question struct {
	by   asker
	name string
}

// batch is what this node told the registry.
type batch struct{ names, patterns []string }

// maxNotices bounds the names, and the questions, that wait. With more, all names are
// looked at; a question too many is one that was not heard.
const maxNotices = 100_000

func newNotices(r *Registry) *notices {
	return &notices{r: r, again: make(map[string]bool), patterns: make(map[string]struct{})}
}

// watch has the registry of the cluster give notice.
func (n *notices) watch() {
	r := n.r
	r.interest.Watch(r.words.names, func(name string, wanted bool) {
		// Without patterns there is nothing to do; one that comes has all the
		// names gone through.
		if r.known.Load() > 0 && r.joined.Load() {
			n.name(name, wanted)
		}
	})
	r.interest.Watch(r.words.providers, func(name string, provided bool) {
		if r.joined.Load() {
			n.name(name, !provided)
		}
	})
	r.interest.Watch(r.words.patterns, func(text string, _ bool) {
		if r.joined.Load() {
			n.pattern(text)
		}
	})
	r.interest.WatchNodes(func(node string, joined bool) {
		r.joined.Store(true)
		if !joined {
			n.gone(node)
		}
		n.everything()
	})
	if len(r.interest.Nodes()) > 1 {
		r.joined.Store(true)
		n.everything()
	}
}

// name has a name looked at.
func (n *notices) name(name string, again bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	was, there := n.again[name]
	if !there && len(n.names) >= maxNotices {
		n.all = true
		n.walk()
		return
	}
	if !there {
		n.names = append(n.names, name)
	}
	n.again[name] = was || again
	n.look()
}

func (n *notices) question(by asker, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.questions) < maxNotices {
		n.questions = append(n.questions, question{by, name})
		n.look()
	}
}

func (n *notices) gone(node string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.left = append(n.left, node)
	n.look()
}

// everything has all names looked at.
func (n *notices) everything() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = true
	n.walk()
}

// pattern has the names looked at that match a pattern, of other nodes.
func (n *notices) pattern(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.patterns[text] = struct{}{}
	n.walk()
}

// provided has a name looked at again when all nodes know that it is provided here.
func (n *notices) provided(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unsettled.names = append(n.unsettled.names, name)
	n.walk()
}

// listened has the other nodes told that a pattern has one more listener.
func (n *notices) listened(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unsettled.patterns = append(n.unsettled.patterns, text)
	n.walk()
}

func (n *notices) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
}

// look and walk are called with mu held.
func (n *notices) look() {
	if !n.looking && !n.closed {
		n.looking = true
		go n.lookOn()
	}
}

func (n *notices) walk() {
	if !n.walking && !n.closed {
		n.walking = true
		go n.walkOn()
	}
}

func (n *notices) lookOn() {
	for {
		n.mu.Lock()
		names, again, questions, left := n.names, n.again, n.questions, n.left
		if n.closed || len(names)+len(questions)+len(left) == 0 {
			n.looking = false
			n.mu.Unlock()
			return
		}
		n.names, n.again, n.questions, n.left = nil, make(map[string]bool), nil, nil
		n.mu.Unlock()
		for _, node := range left {
			n.r.left(node)
		}
		for _, name := range names {
			n.r.look(name, again[name])
		}
		for _, q := range questions {
			n.r.asks(q.by, q.name)
		}
	}
}

func (n *notices) walkOn() {
	for {
		n.mu.Lock()
		all, patterns, unsettled, settled := n.all, n.patterns, n.unsettled, n.settled
		if n.closed || !all && len(patterns)+len(unsettled.names)+len(unsettled.patterns)+len(settled) == 0 {
			n.walking = false
			n.mu.Unlock()
			return
		}
		n.all, n.patterns, n.unsettled, n.settled = false, make(map[string]struct{}), batch{}, nil
		n.mu.Unlock()
		if len(unsettled.names)+len(unsettled.patterns) > 0 {
			n.r.interest.Settle(func() { n.settle(unsettled) })
		}
		n.r.spread(settled)
		if all {
			n.r.examine(patterns)
		} else {
			n.r.matchAll(patterns)
		}
	}
}

// settle is called when the other nodes know what this one added.
func (n *notices) settle(b batch) {
	for _, name := range b.names {
		n.name(name, false)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.settled = append(n.settled, b.patterns...)
	n.walk()
}
