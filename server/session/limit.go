package session

import "sync/atomic"

// Limit is a bound that clients can run into. Those that have counters of their own
// in Stats (the outbox, the rate, the logins) are not among them.
type Limit uint8

// The limits.
const (
	LimitConnections   Limit = iota // of the node
	LimitSockets                    // of engine.io, on the node
	LimitMessageSize                // of one frame or one body
	LimitSubscriptions              // of one client in one topic
	LimitPatterns                   // that one client listens to
	LimitCalls                      // that one client has under way, by number or size
	limits
)

var limitNames = [limits]string{
	LimitConnections: "connections", LimitSockets: "engineio_sockets", LimitMessageSize: "message_size",
	LimitSubscriptions: "subscriptions", LimitPatterns: "listen_patterns", LimitCalls: "rpc_calls",
}

// hits counts how often each limit was run into.
type hits [limits]atomic.Uint64

// Hit counts that a client ran into a limit.
func (r *Registry) Hit(l Limit) { r.hits[l].Add(1) }

// Hit counts that this client ran into a limit.
func (s *Session) Hit(l Limit) { s.sweeper.Hit(l) }

// Hits calls f with each limit and how often it was run into.
func (r *Registry) Hits(f func(limit string, n uint64)) {
	for l := range r.hits {
		f(limitNames[l], r.hits[l].Load())
	}
}

// Full reports that the node has as many connections as it may.
func (r *Registry) Full() bool { return r.MaxConnections > 0 && r.Len() >= r.MaxConnections }
