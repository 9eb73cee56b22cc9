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
	doubtful  []string        // guarded by mu: nodes that are to be asked again
	looking   bool            // guarded by mu

	all       bool                // guarded by mu: all names are to be looked at
	joined    []string            // guarded by mu: nodes
	patterns  map[string]struct{} // guarded by mu: came, went, or have one more listener
	unsettled batch               // guarded by mu: this node's, which others may not know
	settled   []string            // guarded by mu: nodes to tell, for the others know what this one has
	walking   bool                // guarded by mu
}

type question struct {
	by   asker
	name string
}

// batch is names that this node provides for, and nodes that are to be told of all that
// there is.
type batch struct{ names, nodes []string }

func (b *batch) empty() bool { return len(b.names)+len(b.nodes) == 0 }

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
	r.interest.Watch(r.words.patterns, func(text string, wanted bool) {
		if !wanted && r.joined.Load() {
			n.pattern(text)
		}
	})
	r.interest.WatchOthers(r.words.patterns, func(text string) {
		if r.joined.Load() {
			n.pattern(text)
		}
	})
	r.interest.WatchNodes(func(node string, joined bool) {
		if joined {
			n.came(node)
			return
		}
		n.gone(node)
		n.everything()
	})
	for _, node := range r.interest.Nodes() {
		if node != r.self {
			n.came(node)
		}
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

// came has a node that joined look at everything, once it knows all that is new here:
// until now this node did not tell what that is. It does the same for this one.
func (n *notices) came(node string) {
	n.r.joined.Store(true)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.joined = append(n.joined, node)
	n.walk()
}

func (n *notices) gone(node string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.left = append(n.left, node)
	n.look()
}

// doubt has all names looked at, and what a node was asked asked again.
func (n *notices) doubt(node string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.doubtful = append(n.doubtful, node)
	n.look()
	n.all = true
	n.walk()
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
		names, again, questions, left, doubtful := n.names, n.again, n.questions, n.left, n.doubtful
		if n.closed || len(names)+len(questions)+len(left)+len(doubtful) == 0 {
			n.looking = false
			n.mu.Unlock()
			return
		}
		n.names, n.again, n.questions, n.left, n.doubtful = nil, make(map[string]bool), nil, nil, nil
		n.mu.Unlock()
		for _, node := range left {
			n.r.left(node)
		}
		for _, node := range doubtful {
			n.r.askAgain(node)
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
		all, joined, patterns, unsettled, settled := n.all, n.joined, n.patterns, n.unsettled, n.settled
		if n.closed || !all && len(joined)+len(patterns) == 0 && unsettled.empty() && len(settled) == 0 {
			n.walking = false
			n.mu.Unlock()
			return
		}
		n.all, n.joined, n.patterns, n.unsettled, n.settled = false, nil, make(map[string]struct{}), batch{}, nil
		n.mu.Unlock()
		unsettled.nodes = joined
		if !unsettled.empty() {
			n.r.interest.Settle(func() { n.settle(unsettled) })
		}
		n.r.greet(settled)
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
	n.settled = append(n.settled, b.nodes...)
	n.walk()
}
