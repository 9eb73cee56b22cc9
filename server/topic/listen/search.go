package listen

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
)

// Subscribed is called after a session subscribed to a name; first says that it
// was the first to want it.
func (r *Registry) Subscribed(s *session.Session, name string, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.provided[name]; ok {
		if a := r.words.hasProvider; a != 0 {
			s.Send(&message.Message{Topic: r.topic, Action: a, Name: name})
		}
		return
	}
	if first && len(r.patterns) > 0 && r.searches[name] == nil && r.subs.Has(name) {
		r.start(name)
	}
}

// Unwanted is called after the last subscription of a name went.
func (r *Registry) Unwanted(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.subs.Has(name) {
		return
	}
	delete(r.failed, name)
	if running := r.searches[name]; running != nil {
		// The one being asked is released when it accepts.
		running.timer.Stop()
		delete(r.searches, name)
	}
	if p, ok := r.provided[name]; ok {
		delete(r.provided, name)
		r.release(p, name)
	}
}

// release tells a provider, or one that accepts too late, that it need not.
func (r *Registry) release(p provider, name string) {
	p.who.Send(&message.Message{Topic: r.topic, Action: r.words.removed, Name: p.pattern, Subscription: name})
}

// start looks for a provider of a name that has none.
func (r *Registry) start(name string) {
	if r.closed || !r.subs.Has(name) {
		return
	}
	candidates := r.candidates(name)
	if len(candidates) == 0 {
		return
	}
	running := &search{name: strings.Clone(name), waiting: candidates}
	r.searches[running.name] = running
	r.next(running)
}

// candidates returns the listeners whose pattern a name matches, in the order in
// which they are to be asked.
func (r *Registry) candidates(name string) []provider {
	type candidate struct {
		provider
		seq uint64
	}
	var list []candidate
	for _, p := range r.patterns {
		if !p.match(name) {
			r.bury(p)
			continue
		}
		for _, l := range p.listeners {
			list = append(list, candidate{provider{l.who, p.text}, l.seq})
		}
	}
	if r.options.Shuffle {
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	} else {
		slices.SortFunc(list, func(a, b candidate) int { return cmp.Compare(a.seq, b.seq) })
	}
	providers := make([]provider, len(list))
	for i, c := range list {
		providers[i] = c.provider
	}
	return providers
}

// next asks the next candidate, or gives up.
func (r *Registry) next(running *search) {
	if running.timer != nil {
		running.timer.Stop()
	}
	if len(running.waiting) == 0 || r.closed {
		delete(r.searches, running.name)
		if r.options.RematchInterval > 0 {
			r.failed[running.name] = time.Now()
		}
		return
	}
	running.asked = running.waiting[0]
	running.waiting = running.waiting[1:]
	asked := running.asked
	running.timer = time.AfterFunc(r.options.ResponseTimeout, func() { r.overdue(running, asked) })
	asked.who.Send(&message.Message{Topic: r.topic, Action: r.words.found, Name: asked.pattern, Subscription: running.name})
}

// overdue passes over a candidate that did not answer.
func (r *Registry) overdue(running *search, asked provider) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.searches[running.name] != running || running.asked != asked {
		return
	}
	asked.who.Send(&message.Message{Topic: r.topic, Action: r.words.timeout, Name: asked.pattern, Subscription: running.name})
	r.next(running)
}

// accept takes the answer of the candidate that was asked and of nobody else.
// One that comes too late is told that it need not provide.
func (r *Registry) accept(s *session.Session, pattern, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	who := provider{s, pattern}
	running := r.searches[name]
	if running == nil || running.asked != who {
		if p := r.patterns[pattern]; p != nil && p.find(s) >= 0 && r.provided[name] != who {
			r.release(who, name)
		}
		return
	}
	running.timer.Stop()
	delete(r.searches, running.name)
	delete(r.failed, running.name)
	r.provided[running.name] = running.asked
	r.tell(running.name, r.words.hasProvider)
}

func (r *Registry) reject(s *session.Session, pattern, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	running := r.searches[name]
	if running != nil && running.asked == (provider{s, pattern}) {
		r.next(running)
	}
}

// HasProvider reports whether a name is being provided for.
func (r *Registry) HasProvider(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.provided[name]
	return ok
}

// rematchAll tries the names again whose search was in vain.
func (r *Registry) rematchAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	for name, at := range r.failed {
		if !r.subs.Has(name) {
			delete(r.failed, name)
			continue
		}
		if time.Since(at) >= r.options.MatchCooldown && r.searches[name] == nil {
			r.start(name)
		}
	}
	r.rematch.Reset(r.options.RematchInterval)
}
