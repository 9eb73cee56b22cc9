package listen

import (
	"strings"

	"github.com/dsproxy/dsproxy/server/message"
)

// eachName calls f with each name that this node coordinates or asks about, until it
// returns false. Names that come or go meanwhile may be missed.
func (r *Registry) eachName(f func(name string) bool) {
	if !r.joined.Load() {
		r.subs.All(f)
		return
	}
	r.mu.Lock()
	asked := make([]string, 0, len(r.inquiries))
	for name := range r.inquiries {
		asked = append(asked, name)
	}
	r.mu.Unlock()
	for _, name := range asked {
		if !f(name) {
			return
		}
	}
	for _, name := range r.interest.Names(r.words.names) {
		if r.coordinates(name) && !f(name) {
			return
		}
	}
}

// learn compares a pattern with what the cluster listens to, and returns it if other
// nodes have listeners of it.
func (r *Registry) learn(text string) *pattern {
	r.mu.Lock()
	p := r.patterns[text]
	has := r.interest.Has(r.words.patterns, text)
	if !has && p != nil {
		r.dropPattern(p)
	}
	r.mu.Unlock()
	if !has {
		return nil
	}
	var fresh *matcher
	if p == nil {
		var err error
		if fresh, err = compile(text); err != nil {
			r.cluster.Log.Warn("another node listens to a pattern that is none here", "pattern", text, "err", err)
			return nil
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch p = r.patterns[text]; {
	case !r.interest.Has(r.words.patterns, text):
		return nil
	case p == nil && fresh == nil:
		return nil // it went and came meanwhile, which is another notice
	case p == nil:
		p = &pattern{text: strings.Clone(text), matcher: fresh}
		r.setPattern(p)
	}
	if p.dead.Load() {
		p.refused = false // not all who listen now have heard it
		r.bury(p)
		return nil
	}
	if len(r.nodesWith(p)) == 0 {
		return nil
	}
	return p
}

// matchAll goes through the names for patterns of other nodes.
func (r *Registry) matchAll(texts map[string]struct{}) {
	var patterns []*pattern
	for text := range texts {
		if p := r.learn(text); p != nil {
			patterns = append(patterns, p)
		}
	}
	if len(patterns) == 0 {
		return
	}
	for _, name := range r.interest.Names(r.words.names) {
		if !r.coordinates(name) {
			continue
		}
		for _, p := range patterns {
			if p.match(name) {
				r.offerNodes(p, name)
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range patterns {
		r.bury(p)
	}
}

// greet has nodes that joined look at everything.
func (r *Registry) greet(nodes []string) {
	if len(nodes) > 0 {
		r.cluster.Send(nodes, &message.Message{Topic: r.topic, Action: r.words.listen})
	}
}

// examine looks at everything, when other nodes came or went or were not heard for a
// while. The patterns given may be gone.
func (r *Registry) examine(texts map[string]struct{}) {
	for text := range texts {
		r.learn(text)
	}
	for _, text := range r.interest.Names(r.words.patterns) {
		if _, done := texts[text]; !done {
			r.learn(text)
		}
	}
	done := r.inHand()
	for name := range done {
		r.look(name, true)
	}
	for _, name := range r.interest.Names(r.words.names) {
		if _, ok := done[name]; !ok && r.coordinates(name) {
			r.look(name, true)
		}
	}
	if r.words.hasProvider != 0 {
		r.subs.All(func(name string) bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.announce(name)
			return true
		})
	}
}

// inHand returns the names for which something is being done here.
func (r *Registry) inHand() map[string]struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	set := make(map[string]struct{}, len(r.provided)+len(r.searches)+len(r.told))
	for name := range r.provided {
		set[name] = struct{}{}
	}
	for name := range r.searches {
		set[name] = struct{}{}
	}
	for name := range r.inquiries {
		set[name] = struct{}{}
	}
	for name := range r.failed {
		set[name] = struct{}{}
	}
	for name := range r.told {
		set[name] = struct{}{}
	}
	return set
}

// spread tells the other nodes that a pattern has one more listener here.
func (r *Registry) spread(p *pattern) {
	if nodes := r.peers(); len(nodes) > 0 {
		r.cluster.Send(nodes, &message.Message{Topic: r.topic, Action: r.words.listen, Name: p.text})
	}
}

// peers returns the other nodes.
func (r *Registry) peers() []string {
	var nodes []string
	for _, node := range r.interest.Nodes() {
		if node != r.self {
			nodes = append(nodes, node)
		}
	}
	return nodes
}
