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

// inquiry asks the listeners of this node about one name, for its coordinator, which
// may be this node itself.
type inquiry struct {
	name    string
	by      []asker // more than one while nodes disagree on the coordinator
	asked   provider
	waiting []provider
	timer   *time.Timer

	// What waits is the next few of those that matched when the inquiry began, or
	// the ones after them that came meanwhile.
	salt         uint64 // of the order; 0 is that of their coming
	after, until uint64 // the listeners that came after one and not after the other
	last         uint64 // the rank of the last that was made to wait
	more         bool   // there are more of them
	newer        bool   // some came after them
}

// maxWaiting bounds the listeners that wait for their turn: with many names and many
// listeners each name would hold them all.
const maxWaiting = 16

// candidate is a listener that may be asked, and when it came in the order of all.
type candidate struct {
	provider
	seq uint64
}

// rank is the place of a listener in the order in which they are asked.
func (q *inquiry) rank(c candidate) uint64 {
	if q.salt == 0 {
		return c.seq
	}
	return mix(c.seq ^ q.salt)
}

// wait has the next of a list of candidates wait for their turn.
func (q *inquiry) wait(list []candidate) {
	list = slices.DeleteFunc(list, func(c candidate) bool {
		return c.seq <= q.after || c.seq > q.until || q.rank(c) <= q.last
	})
	slices.SortFunc(list, func(a, b candidate) int { return cmp.Compare(q.rank(a), q.rank(b)) })
	q.more = len(list) > maxWaiting
	list = list[:min(len(list), maxWaiting)]
	for _, c := range list {
		q.waiting = append(q.waiting, c.provider)
		q.last = q.rank(c)
	}
}

// refill has the next ones wait when all had their turn.
func (r *Registry) refill(q *inquiry) {
	if q.more {
		list, _ := r.candidates(q.name, false)
		q.wait(list)
	}
	if len(q.waiting) == 0 && q.newer {
		q.newer = false
		q.after, q.until, q.last = q.until, r.seq, 0
		list, _ := r.candidates(q.name, false)
		q.wait(list)
	}
}

// asker is a coordinator, and the id of its question unless it is this node.
type asker struct{ node, id string }

// asks is called for the question of another node.
func (r *Registry) asks(a asker, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.elsewhere(name, a) {
		r.answer(a, name, r.words.reject, true)
		return
	}
	local, _ := r.candidates(name, false)
	r.inquire(a, name, local)
}

// elsewhere reports whether a node provides for a name that is none of those who ask for
// a provider: that one of them did so itself is over, though the word of it may come
// after the question.
func (r *Registry) elsewhere(name string, by ...asker) bool {
	return slices.ContainsFunc(r.others(name), func(node string) bool {
		return !slices.ContainsFunc(by, func(a asker) bool { return a.node == node })
	})
}

// inquire begins to ask, unless the name is being asked about already. Where it is
// provided for there is nothing to say: all nodes hear that.
func (r *Registry) inquire(a asker, name string, local []candidate) {
	if _, ok := r.provided[name]; ok || r.closed {
		return
	}
	if q := r.inquiries[name]; q != nil {
		q.by = append(slices.DeleteFunc(q.by, func(b asker) bool { return b.node == a.node }), a)
		return
	}
	if len(local) == 0 {
		r.answer(a, name, r.words.reject, false)
		return
	}
	q := &inquiry{name: strings.Clone(name), by: []asker{a}, until: r.seq}
	if r.options.Shuffle {
		q.salt = rand.Uint64()
	}
	q.wait(local)
	r.inquiries[q.name] = q
	r.ask(q)
}

// ask goes on to the next listener, or gives up.
func (r *Registry) ask(q *inquiry) {
	if q.timer != nil {
		q.timer.Stop()
	}
	if len(q.waiting) == 0 && !r.closed {
		r.refill(q)
	}
	if len(q.waiting) == 0 || r.closed {
		delete(r.inquiries, q.name)
		r.answerAll(q, r.words.reject, false)
		return
	}
	if q.timer != nil {
		r.answerAll(q, r.words.timeout, false)
	}
	asked := q.waiting[0]
	q.asked, q.waiting = asked, q.waiting[1:]
	q.timer = time.AfterFunc(r.options.ResponseTimeout, func() { r.overdue(q, asked) })
	asked.who.Send(&message.Message{Topic: r.topic, Action: r.words.found, Name: asked.pattern, Subscription: q.name})
}

// overdue passes over a listener that did not answer.
func (r *Registry) overdue(q *inquiry, asked provider) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inquiries[q.name] != q || q.asked != asked {
		return
	}
	asked.who.Send(&message.Message{Topic: r.topic, Action: r.words.timeout, Name: asked.pattern, Subscription: q.name})
	r.ask(q)
}

// accept takes the answer of the listener that was asked and of nobody else. One
// that comes too late is told that it need not provide.
func (r *Registry) accept(s *session.Session, pattern, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	who := provider{s, pattern}
	q := r.inquiries[name]
	if q == nil || q.asked != who {
		if p := r.patterns[pattern]; p != nil && p.find(s) >= 0 && r.provided[name].provider != who {
			r.release(who, name)
		}
		return
	}
	if r.elsewhere(name, q.by...) {
		r.endSearch(name)
		r.endInquiry(name)
		r.release(who, name)
		return
	}
	q.timer.Stop()
	delete(r.inquiries, q.name)
	r.provide(q.asked, q.name)
}

func (r *Registry) reject(s *session.Session, pattern, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q := r.inquiries[name]; q != nil && q.asked == (provider{s, pattern}) {
		r.ask(q)
	}
}

// endInquiry ends an inquiry because of what is known here; a coordinator may know
// better and ask again.
func (r *Registry) endInquiry(name string) {
	if q := r.inquiries[name]; q != nil {
		q.timer.Stop()
		delete(r.inquiries, name)
		r.answerAll(q, r.words.reject, true)
	}
}

func (r *Registry) answerAll(q *inquiry, action message.Action, contested bool) {
	for _, a := range slices.Clone(q.by) {
		r.answer(a, q.name, action, contested)
	}
}

func (r *Registry) answer(a asker, name string, action message.Action, contested bool) {
	switch {
	case a.node != r.self:
		r.cluster.Send([]string{a.node}, &message.Message{Topic: r.topic, Action: action,
			Subscription: name, CorrelationID: a.id, IsError: contested})
	case action == r.words.reject:
		r.refusedBy(a, name, contested)
	}
}
