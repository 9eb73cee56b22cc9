package listen

import (
	"slices"
	"strings"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
)

// maxPatterns bounds the patterns of one client, maxBacktracking those of them that
// backtrack, and maxPattern their length.
const (
	maxPatterns     = 1000
	maxBacktracking = 50
	maxPattern      = 1000
)

// count is how many patterns a session has.
type count struct{ all, backtracking int }

func (c count) plus(p *pattern, n int) count {
	c.all += n
	if p.back != nil {
		c.backtracking += n
	}
	return c
}

func (r *Registry) listen(s *session.Session, m *message.Message) {
	p, first := r.add(s, m)
	if p == nil {
		return
	}
	// The names are looked through without the lock: that takes long where there
	// are many, and the pattern is known to all searches that start meanwhile.
	r.eachName(func(name string) bool {
		if p.match(name) {
			r.offer(name)
		}
		return !p.dead.Load()
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bury(p)
	// The first is known to the others by the interest registry. Of one more they are
	// told only now: whatever this node said about its other listeners goes before.
	if !first && r.joined.Load() {
		r.spread(p)
	}
}

// add makes s a listener of the pattern in m, which may be the first here; nil says that
// it was refused or is one already.
func (r *Registry) add(s *session.Session, m *message.Message) (p *pattern, first bool) {
	if m.Name == "" || len(m.Name) > maxPattern {
		r.refuse(s, m, r.words.invalid)
		return nil, false
	}
	re, err := compile(m.Name)
	if err != nil {
		r.refuse(s, m, r.words.invalid)
		return nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p = r.patterns[m.Name]
	if p != nil && p.find(s) >= 0 {
		r.refuse(s, m, r.words.words.Multiple)
		if !s.PerName() {
			r.ack(s, m)
		}
		return nil, false
	}
	n := r.counts[s]
	switch {
	case s.Gone():
		return nil, false
	case n.all >= maxPatterns, re.back != nil && n.backtracking >= maxBacktracking:
		s.Hit(session.LimitPatterns)
		r.refuse(s, m, r.words.invalid)
		return nil, false
	case p != nil && p.dead.Load():
		r.refuse(s, m, r.words.invalid)
		return nil, false
	}
	if p == nil {
		p = &pattern{text: strings.Clone(m.Name), matcher: re}
		r.setPattern(p)
	}
	r.seq++
	p.listeners = append(p.listeners, listener{s, r.seq})
	r.counts[s] = n.plus(p, 1)
	r.interest.Add(r.words.patterns, p.text)
	r.ack(s, m)
	return p, len(p.listeners) == 1
}

func (r *Registry) setPattern(p *pattern) {
	r.patterns[p.text] = p
	r.known.Store(int64(len(r.patterns)))
}

// offer has a new listener asked about a name that has no provider.
func (r *Registry) offer(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hasProvider(name) {
		return
	}
	q, s := r.inquiries[name], r.searches[name]
	switch {
	case q != nil:
		q.newer = true
	case s != nil:
		s.add(r.self)
	default:
		r.start(name)
	}
}

// bury tells the listeners of a pattern that took too long that it is of no use.
func (r *Registry) bury(p *pattern) {
	if !p.dead.Load() || p.refused {
		return
	}
	p.refused = true
	for _, l := range p.listeners {
		l.who.Hit(session.LimitPatterns)
		l.who.Send(&message.Message{Topic: r.topic, Action: r.words.invalid, OriginalAction: r.words.listen,
			Name: p.text, IsError: true})
	}
	if nodes := r.nodesWith(p); len(nodes) > 0 {
		r.cluster.Send(nodes, &message.Message{Topic: r.topic, Action: r.words.invalid, Name: p.text})
	}
}

func (r *Registry) ack(s *session.Session, m *message.Message) {
	s.Send(&message.Message{Topic: r.topic, Action: m.Action, Name: m.Name, CorrelationID: m.CorrelationID, IsAck: true})
}

func (r *Registry) refuse(s *session.Session, m *message.Message, why message.Action) {
	s.Send(&message.Message{Topic: r.topic, Action: why, OriginalAction: m.Action, Name: m.Name,
		CorrelationID: m.CorrelationID, IsError: true, Raw: m.Raw})
}

func (r *Registry) unlisten(s *session.Session, m *message.Message) {
	r.reconsider(r.end(s, m))
}

// end makes s no longer a listener of the pattern in m, and returns the names that
// lost their provider by it.
func (r *Registry) end(s *session.Session, m *message.Message) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.patterns[m.Name]
	if p == nil || p.find(s) < 0 {
		r.refuse(s, m, r.words.words.NotSubscribed)
		return nil
	}
	r.ack(s, m)
	r.drop(p, s)
	return r.withdraw(s, func(of string) bool { return of == p.text })
}

// drop takes a listener out of a pattern.
func (r *Registry) drop(p *pattern, s *session.Session) {
	i := p.find(s)
	p.listeners = slices.Delete(p.listeners, i, i+1)
	if len(p.listeners) == 0 {
		r.interest.Remove(r.words.patterns, p.text)
		r.dropPattern(p)
	}
	if n := r.counts[s].plus(p, -1); n.all == 0 {
		delete(r.counts, s)
	} else {
		r.counts[s] = n
	}
}

// dropPattern forgets a pattern without listeners here, unless another node has one.
func (r *Registry) dropPattern(p *pattern) {
	if len(p.listeners) == 0 && !r.interest.Has(r.words.patterns, p.text) {
		delete(r.patterns, p.text)
		r.known.Store(int64(len(r.patterns)))
	}
}

// Closed forgets a listener and looks for others in its place.
func (r *Registry) Closed(s *session.Session) {
	r.reconsider(r.forgetListener(s))
}

func (r *Registry) forgetListener(s *session.Session) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts[s].all == 0 {
		return nil
	}
	for _, p := range r.patterns {
		if p.find(s) >= 0 {
			r.drop(p, s)
		}
	}
	return r.withdraw(s, func(string) bool { return true })
}

// withdraw ends what a listener does or may come to do for some of its patterns.
func (r *Registry) withdraw(s *session.Session, of func(pattern string) bool) (lost []string) {
	mine := func(p provider) bool { return p.who == s && of(p.pattern) }
	for _, q := range r.inquiries {
		q.waiting = slices.DeleteFunc(q.waiting, mine)
		if mine(q.asked) {
			r.ask(q)
		}
	}
	for name, p := range r.provided {
		if mine(p.provider) {
			r.unprovide(name)
			r.announce(name)
			lost = append(lost, name)
		}
	}
	return lost
}
