// Package listen finds active providers: clients that listen to a pattern are
// asked, one at a time, to provide for each name that is subscribed to and
// matches. A name has one provider in the whole cluster.
//
// What is wanted, listened to and provided is known on every node by the interest
// registry. Each name has a coordinator, the node that comes first for it by
// rendezvous hash: nodes that know of the same nodes agree on it without a word.
// The coordinator searches (search.go): it asks the nodes that have a matching
// pattern one after the other, itself included. A node that is asked inquires
// (inquiry.go): it asks its own listeners one after the other, each of which has
// Options.ResponseTimeout to answer. The node of the listener that accepts adds the
// name to the provided ones; that ends the search, and the subscribers of records
// are told of it, wherever they are.
//
// Nothing depends on the order in which a node hears of things, or on hearing of
// each: consider (name.go) looks at what is known of a name now and does what
// follows from it. It is called for a name when anything about it may have changed
// (notices.go). Nodes that do not know the same yet may search both, and may find
// two providers: of these all nodes keep the same one.
//
// As long as a node has not seen another one, it does all this at once, while it
// handles the message of the client.
//
// Lock order: Registry.mu, then the locks of the hub, the sessions and the bus; those
// of the hub before those of the interest registry, and these before notices.mu.
package listen

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/topic"
)

// Options are the settings of the original's listen section.
type Options struct {
	// Shuffle asks nodes and listeners in random order; otherwise a node asks its
	// own listeners first, in the order of their coming, and then the other nodes.
	Shuffle bool
	// ResponseTimeout is how long a listener has to accept or reject.
	ResponseTimeout time.Duration
	// RematchInterval is how often names without a provider are tried again;
	// MatchCooldown is how long such a name is left alone after a search.
	RematchInterval time.Duration
	MatchCooldown   time.Duration
}

// patience is how long another node may take for a step: its listener has one
// ResponseTimeout, and the way there and back the other.
func (o *Options) patience() time.Duration { return 2 * o.ResponseTimeout }

// grace is how long a node provides for a name that it has not heard to be wanted.
func (o *Options) grace() time.Duration { return 10 * o.ResponseTimeout }

// Subscriptions is the view of the hub that the registry needs.
type Subscriptions interface {
	Has(name string) bool
	All(f func(name string) bool)
	// Switch tells those subscribers that a name has a provider, or has none, who
	// were told otherwise; SwitchOne does so with one of them.
	Switch(name string, on bool, m *message.Message)
	SwitchOne(s *session.Session, name string, on bool, m *message.Message)
}

// Registry serves the listen actions of one topic.
type Registry struct {
	topic    message.Topic
	words    *actions
	subs     Subscriptions
	cluster  *topic.Cluster
	interest interest.Registry
	self     string
	options  Options
	rematch  *time.Timer // set under mu
	notices  *notices

	joined atomic.Bool  // another node was seen
	known  atomic.Int64 // the number of patterns

	mu        sync.Mutex
	patterns  map[string]*pattern        // guarded by mu
	counts    map[*session.Session]count // guarded by mu
	searches  map[string]*search         // guarded by mu, by name
	inquiries map[string]*inquiry        // guarded by mu, by name
	provided  map[string]provision       // guarded by mu, by name: by a client of this node
	told      map[string]struct{}        // guarded by mu: names whose subscribers here know of a provider
	failed    map[string]time.Time       // guarded by mu: searches in vain
	seq       uint64                     // guarded by mu: of the last listener
	closed    bool                       // guarded by mu
}

// pattern is listened to by clients of this node or of others.
type pattern struct {
	text string
	*matcher
	listeners []listener // guarded by Registry.mu: of this node
	refused   bool       // guarded by Registry.mu: the listeners know that it is dead
}

// listener is a session that listens, and when it came in the order of all.
type listener struct {
	who *session.Session
	seq uint64
}

func (p *pattern) find(s *session.Session) int {
	return slices.IndexFunc(p.listeners, func(l listener) bool { return l.who == s })
}

// provider is a client of this node, and the pattern by which it was found.
type provider struct {
	who     *session.Session
	pattern string
}

// actions are the words of a topic, and its kinds of names in the interest registry.
type actions struct {
	names, patterns, providers interest.Kind

	listen, unlisten, accept, reject message.Action
	found, removed                   message.Action
	hasProvider, hasNoProvider       message.Action
	claim                            message.Action
	invalid, timeout                 message.Action
	words                            topic.Words
}

var actionsOf = map[message.Topic]*actions{
	message.Event: {
		names: interest.Events, patterns: interest.EventPatterns, providers: interest.EventProviders,
		listen: message.EventListen, unlisten: message.EventUnlisten,
		accept: message.EventListenAccept, reject: message.EventListenReject,
		found: message.EventSubscriptionForPatternFound, removed: message.EventSubscriptionForPatternRemoved,
		claim:   message.EventSubscriptionHasProvider,
		invalid: message.EventInvalidListenRegex, timeout: message.EventListenResponseTimeout,
		words: topic.Words{Multiple: message.EventMultipleSubscriptions, NotSubscribed: message.EventNotSubscribed},
	},
	message.Record: {
		names: interest.Records, patterns: interest.RecordPatterns, providers: interest.RecordProviders,
		listen: message.RecordListen, unlisten: message.RecordUnlisten,
		accept: message.RecordListenAccept, reject: message.RecordListenReject,
		found: message.RecordSubscriptionForPatternFound, removed: message.RecordSubscriptionForPatternRemoved,
		hasProvider: message.RecordSubscriptionHasProvider, hasNoProvider: message.RecordSubscriptionHasNoProvider,
		claim:   message.RecordSubscriptionHasProvider,
		invalid: message.RecordInvalidListenRegex, timeout: message.RecordListenResponseTimeout,
		words: topic.Words{Multiple: message.RecordMultipleSubscriptions, NotSubscribed: message.RecordNotSubscribed},
	},
}

// New makes the registry of a topic, which is Event or Record. All nodes of a
// cluster have to serve the topic, or none.
func New(t message.Topic, c *topic.Cluster, subs Subscriptions, o Options) *Registry {
	r := &Registry{
		topic: t, words: actionsOf[t], subs: subs, options: o,
		cluster: c, interest: c.Interest, self: c.Interest.Self(),
		patterns: make(map[string]*pattern), counts: make(map[*session.Session]count),
		searches: make(map[string]*search), inquiries: make(map[string]*inquiry),
		provided: make(map[string]provision), told: make(map[string]struct{}),
		failed: make(map[string]time.Time),
	}
	r.notices = newNotices(r)
	r.notices.watch()
	if o.RematchInterval > 0 {
		r.mu.Lock() // rematchAll needs the timer that it runs in
		defer r.mu.Unlock()
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

// Close stops all timers and forgets what there is to do.
func (r *Registry) Close() {
	r.notices.close()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.rematch != nil {
		r.rematch.Stop()
	}
	for _, s := range r.searches {
		s.stop()
	}
	for _, q := range r.inquiries {
		q.timer.Stop()
	}
}
