package listen

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
)

// search is one name looking for a provider, on its coordinator. It ends when the
// name is seen to be provided for: no node says so to the coordinator alone.
type search struct {
	name    string
	asked   string   // the node that is; none while the search pauses
	waiting []string // nodes
	id      string   // of the question to another node
	local   []candidate
	// contested: a node refused because it sees a provider elsewhere, which this
	// one does not.
	contested bool
	timer     *time.Timer // for another node, or the pause
	step      int         // of the timer
}

func (s *search) stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.step++
}

// add has one more node asked. The one that is asked now is asked again if it refuses:
// the answer may be on its way.
func (s *search) add(node string) {
	if !slices.Contains(s.waiting, node) {
		s.waiting = append(s.waiting, node)
	}
}

// start looks for a provider of a name that has none.
func (r *Registry) start(name string) {
	if !r.due(name) {
		return
	}
	local, nodes := r.candidates(name, true)
	if len(nodes) == 0 {
		delete(r.failed, name)
		return
	}
	s := &search{name: strings.Clone(name), waiting: nodes, local: local}
	r.searches[s.name] = s
	r.next(s)
}

// due reports whether this node should be looking for a provider of a name.
func (r *Registry) due(name string) bool {
	return !r.closed && r.interest.Has(r.words.names, name) && !r.hasProvider(name) && r.coordinates(name)
}

// candidates returns the listeners of this node whose pattern a name matches, in no
// order, and the nodes that have such listeners, in the order in which they are to be
// asked. Without everywhere it looks only for those of this node.
func (r *Registry) candidates(name string, everywhere bool) (local []candidate, nodes []string) {
	for _, p := range r.patterns {
		if !everywhere && len(p.listeners) == 0 {
			continue
		}
		if !p.match(name) {
			r.bury(p)
			continue
		}
		for _, l := range p.listeners {
			local = append(local, candidate{provider{l.who, p.text}, l.seq})
		}
		nodes = append(nodes, r.nodesWith(p)...)
	}
	slices.Sort(nodes)
	nodes = slices.Compact(nodes)
	if len(local) > 0 {
		nodes = slices.Insert(nodes, 0, r.self)
	}
	if r.options.Shuffle {
		rand.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	}
	return local, nodes
}

// next asks the next node, or gives up.
func (r *Registry) next(s *search) {
	s.stop()
	local := s.local
	s.local = nil
	if !r.due(s.name) {
		delete(r.searches, s.name)
		return
	}
	if len(s.waiting) == 0 {
		r.inVain(s)
		return
	}
	s.asked, s.waiting = s.waiting[0], s.waiting[1:]
	if s.asked == r.self {
		if local == nil {
			local, _ = r.candidates(s.name, false)
		}
		r.inquire(asker{node: r.self}, s.name, local)
		return
	}
	s.id = strconv.FormatUint(rand.Uint64(), 36)
	r.arm(s)
	r.cluster.Send([]string{s.asked}, &message.Message{Topic: r.topic, Action: r.words.found,
		Subscription: s.name, CorrelationID: s.id})
}

func (r *Registry) inVain(s *search) {
	if s.contested {
		// One of the two nodes is about to hear what the other knows.
		s.contested, s.asked = false, ""
		r.arm(s)
		return
	}
	delete(r.searches, s.name)
	if r.options.RematchInterval > 0 {
		r.failed[s.name] = time.Now()
	}
}

// arm gives the node that is asked, or a pause, its time.
func (r *Registry) arm(s *search) {
	s.stop()
	step := s.step
	s.timer = time.AfterFunc(r.options.patience(), func() { r.impatient(s, step) })
}

func (r *Registry) impatient(s *search, step int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.searches[s.name] != s || s.step != step:
	case s.asked == "":
		delete(r.searches, s.name)
		r.consider(s.name, true)
	default:
		r.next(s)
	}
}

func (r *Registry) endSearch(name string) {
	if s := r.searches[name]; s != nil {
		s.stop()
		delete(r.searches, name)
	}
}

// refusedBy goes on after a node found nobody.
func (r *Registry) refusedBy(a asker, name string, contested bool) {
	s := r.searches[name]
	if s == nil || s.asked != a.node || a.node != r.self && s.id != a.id {
		return
	}
	s.contested = s.contested || contested
	r.next(s)
}

// progress has the search wait for a node that is asking its next listener.
func (r *Registry) progress(a asker, name string) {
	if s := r.searches[name]; s != nil && s.asked == a.node && s.id == a.id {
		r.arm(s)
	}
}

// offerNodes has the other nodes with a pattern asked about a name that matches it.
func (r *Registry) offerNodes(p *pattern, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch s := r.searches[name]; {
	case s == nil:
		r.start(name)
	default:
		for _, node := range r.nodesWith(p) {
			s.add(node)
		}
	}
}

// extend has the nodes asked that came to know a name's pattern since its search began.
func (r *Registry) extend(s *search) {
	_, nodes := r.candidates(s.name, true)
	for _, node := range nodes {
		s.add(node)
	}
}

// left passes over a node that is gone.
func (r *Registry) left(node string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range r.inquiries {
		q.by = slices.DeleteFunc(q.by, func(a asker) bool { return a.node == node })
	}
	for _, s := range r.searches {
		s.waiting = slices.DeleteFunc(s.waiting, func(n string) bool { return n == node })
		if s.asked == node {
			r.next(s)
		}
	}
}

// askAgain has a node asked again with which a question or an answer was lost.
func (r *Registry) askAgain(node string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.searches {
		if s.asked == node {
			s.waiting = append(s.waiting, node)
			r.next(s)
		}
	}
}
