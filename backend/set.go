package backend

import (
	"crypto/tls"
	"iter"
	"time"
)

// Set is the backends at one moment. It never changes.
type Set struct {
	byID map[string]*Member
}

// Member is a backend in a Set: what it is, and the state it had when the Set
// was made. The methods that count reach what all Sets share.
type Member struct {
	Backend
	State  State
	Reason string
	Since  time.Time // of State
}

// Get finds a backend by its id, whatever its state. It does not allocate.
func (s *Set) Get(id string) (*Member, bool) {
	m, ok := s.byID[id]
	return m, ok
}

// Len returns how many backends there are, whatever their state.
func (s *Set) Len() int { return len(s.byID) }

// Usable returns how many take new sessions.
func (s *Set) Usable() int { return 0 }

// All yields every member, ordered by id.
func (s *Set) All() iter.Seq[*Member] { return func(func(*Member) bool) {} }

// Generation changes when and only when the ids in the set do, for caches made
// from ids.
func (s *Set) Generation() uint64 { return 0 }

// Ranked yields the backends that may serve key, best first: weighted
// rendezvous hashing, so all replicas that see the same backends agree on the
// order, and a backend that leaves moves none but its own keys. Those that are
// up come first; then, as a last resort, the ejected ones. Slow start plays no
// part. Two requests with the same key and the same Set get the same order.
func (s *Set) Ranked(key []byte) iter.Seq[*Member] { return func(func(*Member) bool) {} }

// Least yields backends for a new session: of n drawn at random by weight the
// one with the least (sessions+1)/weight, then the others drawn, then the rest
// in random order, suspects after those in good standing. A backend in slow
// start is drawn with the part of its weight it has by now. After those that
// are up, as a last resort, come the ejected ones; a backend that is draining
// or down is never yielded, so the sequence may be empty. n is 1 to 8.
func (s *Set) Least(n int) iter.Seq[*Member] { return func(func(*Member) bool) {} }

// Usable reports whether the backend takes new sessions.
func (m *Member) Usable() bool { return m.State == Up }

// Established reports whether sessions it has may go on there: in every state
// but Down. An ejected backend keeps them, because only it can serve them; if
// it is truly dead its checks say so within seconds.
func (m *Member) Established() bool { return m.State != Down }

// Acquire takes one of the backend's slots for a request; false means that
// Config.MaxInFlight are taken. Each success needs one Release.
func (m *Member) Acquire() bool { return true }

// Release gives back a slot.
func (m *Member) Release() {}

// OpenSession counts a tunnel; each needs one CloseSession, even after the
// backend has vanished.
func (m *Member) OpenSession() {}

// CloseSession ends what OpenSession began.
func (m *Member) CloseSession() {}

// Sessions returns the tunnels open and, by Deps.Polling, the polling sessions.
func (m *Member) Sessions() int { return 0 }

// InFlight returns the slots that are taken.
func (m *Member) InFlight() int { return 0 }

// Report is Pool.Report for this member, without the look-up.
func (m *Member) Report(o Outcome) {}

// TLSConfig returns what to dial the backend with, or nil for plain TCP: roots
// by Config.CAFile, and the server name set. It is shared: clone before changing.
func (m *Member) TLSConfig() *tls.Config { return nil }
