package session

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/wire"
)

// Registry makes the sessions of a node and knows them all: it keeps their
// heartbeats and ends them when the node stops.
type Registry struct {
	// Set by NewRegistry.
	flusher *Flusher
	handler Handler
	now     func() time.Time
	// MaxConnections bounds the sessions; 0 means no bound. Set before the first New.
	MaxConnections int

	lastID   atomic.Uint64
	loggedIn atomic.Int64
	stats    Stats
	hits     hits
	// redirect is where clients are sent that say hello; nil for nowhere.
	redirect atomic.Pointer[message.Message]
	// protocols counts the connections of each.
	protocols [wire.Codecs]atomic.Int64

	mu       sync.Mutex
	sessions map[*Session]struct{} // guarded by mu
	stopping bool                  // guarded by mu
}

// NewRegistry makes a Registry whose sessions talk to handler.
func NewRegistry(flusher *Flusher, handler Handler) *Registry {
	return &Registry{flusher: flusher, handler: handler, now: time.Now, sessions: make(map[*Session]struct{})}
}

// ErrStopping is returned by New when the node takes no more clients.
var ErrStopping = errors.New("node is stopping")

// ErrFull is returned by New when the node has MaxConnections.
var ErrFull = errors.New("node has too many connections")

// New makes a session over conn in the protocol of codec. The limits may be
// shared by all sessions of an endpoint.
func (r *Registry) New(conn Conn, codec wire.ID, limits *Limits, h *Handshake) (*Session, error) {
	c := wire.For(codec)
	s := &Session{
		id: r.lastID.Add(1), codec: c, traits: c.Traits(), conn: conn,
		flusher: r.flusher, handler: r.handler, limits: limits, sweeper: r,
		handshake: h,
	}
	if n := limits.MessagesPerSecond; n > 0 {
		s.limiter = rate.NewLimiter(rate.Limit(n), n)
	}
	s.Heard()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping {
		return nil, ErrStopping
	}
	if r.MaxConnections > 0 && len(r.sessions) >= r.MaxConnections {
		r.Hit(LimitConnections)
		return nil, ErrFull
	}
	r.sessions[s] = struct{}{}
	r.protocols[protocol(codec)].Add(1)
	return s, nil
}

// Stats counts what happened since the start.
type Stats struct {
	Received atomic.Uint64 // messages of clients
	Sent     atomic.Uint64 // bytes handed to connections
	Logins   atomic.Uint64
	Refused  atomic.Uint64 // logins that were not let in
	Slow     atomic.Uint64 // clients closed because too much waited for them
	Silent   atomic.Uint64 // clients closed without a heartbeat
	Slowed   atomic.Uint64 // messages that had to wait for the limit of their rate
	Locked   atomic.Uint64 // clients closed after too many logins
	Overdue  atomic.Uint64 // clients closed because they did not log in
	// In counts the messages of logged-in clients, Out those to any client.
	In, Out Actions
}

// Stats returns the counters, which go on.
func (r *Registry) Stats() *Stats { return &r.stats }

// Len is the number of connections, LoggedIn that of open sessions.
func (r *Registry) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sessions)
}

// LoggedIn is the number of sessions that are past their login.
func (r *Registry) LoggedIn() int { return int(r.loggedIn.Load()) }

func (r *Registry) opened(*Session) {
	r.loggedIn.Add(1)
	r.stats.Logins.Add(1)
}

func (r *Registry) remove(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, there := r.sessions[s]; there {
		r.protocols[protocol(s.traits.ID)].Add(-1)
	}
	delete(r.sessions, s)
}

// sweep is how often heartbeats are looked at.
const sweep = time.Second

// Run keeps the heartbeats until ctx ends: it pings the clients of protocols
// where that is the server's task and closes those that have been silent for
// more than two intervals.
func (r *Registry) Run(ctx context.Context) error {
	t := time.NewTicker(sweep)
	defer t.Stop()
	var due []*Session
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		due = r.beat(due[:0])
		for _, s := range due {
			r.stats.Silent.Add(1)
			s.fail(errSilent, CloseNormal)
		}
		clear(due)
	}
}

var errSilent = errors.New("no heartbeat")

func (r *Registry) beat(silent []*Session) []*Session {
	now := r.now().UnixNano()
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.sessions {
		if !s.traits.Heartbeat || s.limits.Heartbeat <= 0 {
			continue
		}
		if now-s.heard.Load() > int64(2*s.limits.Heartbeat) {
			silent = append(silent, s)
			continue
		}
		if s.traits.ServerPings && now-s.pinged.Load() >= int64(s.limits.Heartbeat) {
			s.pinged.Store(now)
			s.Send(&ping)
		}
	}
	return silent
}

// Redirect sends every client that says hello from now on elsewhere, with to, and
// closes the sessions that are there. It returns when those have ended or ctx does.
//
// Clients follow a redirection only before their login. After it those of deepstream
// 1 to 3 would follow and never subscribe again, so that they are just closed: they
// come back, are redirected, and subscribe. The others take it for a lost connection.
func (r *Registry) Redirect(ctx context.Context, to *message.Message, code int, reason string) error {
	r.redirect.Store(to)
	r.mu.Lock()
	there := make([]*Session, 0, len(r.sessions))
	for s := range r.sessions {
		if !s.Open() || !s.traits.PerName {
			s.Send(to)
		}
		s.Close(code, reason)
		there = append(there, s)
	}
	r.mu.Unlock()
	return r.await(ctx, func() bool {
		there = slices.DeleteFunc(there, func(s *Session) bool { _, is := r.sessions[s]; return !is })
		return len(there) == 0
	})
}

// Stop refuses new sessions and closes the existing ones with code once their
// outboxes are empty. It returns when all have ended or ctx does; those that are
// left then are cut off.
func (r *Registry) Stop(ctx context.Context, code int, reason string) error {
	r.mu.Lock()
	r.stopping = true
	for s := range r.sessions {
		s.Close(code, reason)
	}
	r.mu.Unlock()
	err := r.await(ctx, func() bool { return len(r.sessions) == 0 })
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		for s := range r.sessions {
			s.conn.Close(code, reason)
		}
	}
	return err
}

// await polls a condition, which is called with mu held.
func (r *Registry) await(ctx context.Context, done func() bool) error {
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for {
		r.mu.Lock()
		ok := done()
		r.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}
