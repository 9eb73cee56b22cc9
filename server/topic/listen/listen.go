// Package listen finds active providers: clients that listen to a pattern are
// asked, one at a time, to provide for each name that is subscribed to and
// matches.
//
// A name goes through: unwanted -> searching (a candidate has been asked and has
// Options.ResponseTimeout to answer) -> provided, or searched in vain until a
// listener comes or the next rematch. The registry looks at the subscriptions
// themselves whenever a name is said to have come or gone, so it does not matter
// in which order two such notices arrive.
//
// Lock order: Registry.mu, then the locks of the hub and the sessions.
package listen

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/topic"
)

// Options are the settings of the original's listen section.
type Options struct {
	// Shuffle asks the listeners in random order, not in that of their coming.
	Shuffle bool
	// ResponseTimeout is how long a listener has to accept or reject.
	ResponseTimeout time.Duration
	// RematchInterval is how often names without a provider are tried again;
	// MatchCooldown is how long such a name is left alone after a search.
	RematchInterval time.Duration
	MatchCooldown   time.Duration
}

// maxPatterns bounds the patterns of one client, maxBacktracking those of them that
// backtrack, and maxPattern their length.
const (
	maxPatterns     = 1000
	maxBacktracking = 50
	maxPattern      = 1000
)

// Subscriptions is the view of the hub that the registry needs.
type Subscriptions interface {
	Has(name string) bool
	All(f func(name string) bool)
	Publish(name string, m *message.Message, except *session.Session) int
}

// Registry serves the listen actions of one topic.
type Registry struct {
	topic   message.Topic
	words   *actions
	subs    Subscriptions
	options Options
	rematch *time.Timer

	mu       sync.Mutex
	patterns map[string]*pattern        // guarded by mu
	counts   map[*session.Session]count // guarded by mu
	searches map[string]*search         // guarded by mu, by name
	provided map[string]provider        // guarded by mu, by name
	failed   map[string]time.Time       // guarded by mu: searches in vain
	seq      uint64                     // guarded by mu: of the last listener
	closed   bool                       // guarded by mu
}

type pattern struct {
	text string
	*matcher
	listeners []listener // guarded by Registry.mu
	refused   bool       // guarded by Registry.mu: the listeners know that it is dead
}

// count is how many patterns a session has.
type count struct{ all, backtracking int }

// listener is a session that listens, and when it came in the order of all.
type listener struct {
	who *session.Session
	seq uint64
}

func (p *pattern) find(s *session.Session) int {
	return slices.IndexFunc(p.listeners, func(l listener) bool { return l.who == s })
}

type provider struct {
	who     *session.Session
	pattern string
}

// search is one name looking for a provider.
type search struct {
	name    string
	asked   provider
	waiting []provider
	timer   *time.Timer
}

// actions are the words of a topic.
type actions struct {
	listen, unlisten, accept, reject message.Action
	found, removed                   message.Action
	hasProvider, hasNoProvider       message.Action
	invalid, timeout                 message.Action
	words                            topic.Words
}

var actionsOf = map[message.Topic]*actions{
	message.Event: {
		listen: message.EventListen, unlisten: message.EventUnlisten,
		accept: message.EventListenAccept, reject: message.EventListenReject,
		found: message.EventSubscriptionForPatternFound, removed: message.EventSubscriptionForPatternRemoved,
		invalid: message.EventInvalidListenRegex, timeout: message.EventListenResponseTimeout,
		words: topic.Words{Multiple: message.EventMultipleSubscriptions, NotSubscribed: message.EventNotSubscribed},
	},
	message.Record: {
		listen: message.RecordListen, unlisten: message.RecordUnlisten,
		accept: message.RecordListenAccept, reject: message.RecordListenReject,
		found: message.RecordSubscriptionForPatternFound, removed: message.RecordSubscriptionForPatternRemoved,
		hasProvider: message.RecordSubscriptionHasProvider, hasNoProvider: message.RecordSubscriptionHasNoProvider,
		invalid: message.RecordInvalidListenRegex, timeout: message.RecordListenResponseTimeout,
		words: topic.Words{Multiple: message.RecordMultipleSubscriptions, NotSubscribed: message.RecordNotSubscribed},
	},
}

// New makes the registry of a topic, which is Event or Record.
func New(t message.Topic, subs Subscriptions, o Options) *Registry {
	r := &Registry{
		topic: t, words: actionsOf[t], subs: subs, options: o,
		patterns: make(map[string]*pattern), counts: make(map[*session.Session]count),
		searches: make(map[string]*search), provided: make(map[string]provider),
		failed: make(map[string]time.Time),
	}
	if o.RematchInterval > 0 {
		r.rematch = time.AfterFunc(o.RematchInterval, r.rematchAll)
	}
	return r
}

// Handle serves one message of a client; it reports false for other actions.
func (r *Registry) Handle(s *session.Session, m *message.Message) bool {
	switch w := r.words; m.Action {
	case w.listen:
		r.listen(s, m)
	case w.unlisten:
		r.unlisten(s, m)
	case w.accept:
		r.accept(s, m.Name, m.Subscription)
	case w.reject:
		r.reject(s, m.Name, m.Subscription)
	default:
		return false
	}
	return true
}

func (r *Registry) listen(s *session.Session, m *message.Message) {
	p := r.add(s, m)
	if p == nil {
		return
	}
	// The names are looked through without the lock: that takes long where there
	// are many, and the pattern is known to all searches that start meanwhile.
	r.subs.All(func(name string) bool {
		if p.match(name) {
			r.offer(provider{s, p.text}, name)
		}
		return !p.dead.Load()
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bury(p)
}

// add makes s a listener of the pattern in m; nil says that it was refused or is
// one already.
func (r *Registry) add(s *session.Session, m *message.Message) *pattern {
	if m.Name == "" || len(m.Name) > maxPattern {
		r.refuse(s, m, r.words.invalid)
		return nil
	}
	re, err := compile(m.Name)
	if err != nil {
		r.refuse(s, m, r.words.invalid)
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.patterns[m.Name]
	if p != nil && p.find(s) >= 0 {
		r.refuse(s, m, r.words.words.Multiple)
		if !s.PerName() {
			r.ack(s, m)
		}
		return nil
	}
	n := r.counts[s]
	switch {
	case s.Gone():
		return nil
	case n.all >= maxPatterns, re.back != nil && n.backtracking >= maxBacktracking:
		s.Hit(session.LimitPatterns)
		r.refuse(s, m, r.words.invalid)
		return nil
	case p != nil && p.dead.Load():
		r.refuse(s, m, r.words.invalid)
		return nil
	}
	if p == nil {
		p = &pattern{text: strings.Clone(m.Name), matcher: re}
		r.patterns[p.text] = p
	}
	r.seq++
	p.listeners = append(p.listeners, listener{s, r.seq})
	r.counts[s] = n.plus(p, 1)
	r.ack(s, m)
	return p
}

func (c count) plus(p *pattern, n int) count {
	c.all += n
	if p.back != nil {
		c.backtracking += n
	}
	return c
}

// offer has a new listener asked about a name that has no provider.
func (r *Registry) offer(p provider, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.provided[name]; ok {
		return
	}
	switch running := r.searches[name]; {
	case running == nil:
		r.start(name)
	case running.asked != p && !slices.Contains(running.waiting, p):
		running.waiting = append(running.waiting, p)
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
}

func (r *Registry) ack(s *session.Session, m *message.Message) {
	s.Send(&message.Message{Topic: r.topic, Action: m.Action, Name: m.Name, CorrelationID: m.CorrelationID, IsAck: true})
}

func (r *Registry) refuse(s *session.Session, m *message.Message, why message.Action) {
	s.Send(&message.Message{Topic: r.topic, Action: why, OriginalAction: m.Action, Name: m.Name,
		CorrelationID: m.CorrelationID, IsError: true, Raw: m.Raw})
}

func (r *Registry) unlisten(s *session.Session, m *message.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.patterns[m.Name]
	if p == nil || p.find(s) < 0 {
		r.refuse(s, m, r.words.words.NotSubscribed)
		return
	}
	r.ack(s, m)
	r.drop(p, s)
	r.withdraw(s, func(of string) bool { return of == p.text })
}

// drop takes a listener out of a pattern.
func (r *Registry) drop(p *pattern, s *session.Session) {
	i := p.find(s)
	p.listeners = slices.Delete(p.listeners, i, i+1)
	if len(p.listeners) == 0 {
		delete(r.patterns, p.text)
	}
	if n := r.counts[s].plus(p, -1); n.all == 0 {
		delete(r.counts, s)
	} else {
		r.counts[s] = n
	}
}

// Closed forgets a listener and looks for others in its place.
func (r *Registry) Closed(s *session.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts[s].all == 0 {
		return
	}
	for _, p := range r.patterns {
		if p.find(s) >= 0 {
			r.drop(p, s)
		}
	}
	r.withdraw(s, func(string) bool { return true })
}

// withdraw ends what a listener does or may come to do for some of its patterns.
func (r *Registry) withdraw(s *session.Session, of func(pattern string) bool) {
	mine := func(p provider) bool { return p.who == s && of(p.pattern) }
	for _, running := range r.searches {
		running.waiting = slices.DeleteFunc(running.waiting, mine)
		if mine(running.asked) {
			r.next(running)
		}
	}
	for name, p := range r.provided {
		if mine(p) {
			delete(r.provided, name)
			r.tell(name, r.words.hasNoProvider)
			r.start(name)
		}
	}
}

// tell informs the subscribers of a record about its provider.
func (r *Registry) tell(name string, a message.Action) {
	if a != 0 {
		r.subs.Publish(name, &message.Message{Topic: r.topic, Action: a, Name: name}, nil)
	}
}

// Close stops all timers.
func (r *Registry) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.rematch != nil {
		r.rematch.Stop()
	}
	for _, running := range r.searches {
		running.timer.Stop()
	}
}
