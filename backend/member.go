package backend

import (
	"crypto/tls"
	"sync/atomic"
	"time"
)

// Member is a backend in a Set: what it is, and the state it had when the Set
// was made. Its fields never change; its methods reach counters that all Sets
// share, and may be called long after the Set was replaced.
type Member struct {
	Backend
	State  State
	Reason string    // why it is in State, in words for an operator
	Since  time.Time // of State

	record   *record
	tls      *tls.Config
	seed     uint64 // hash of the ID, for Ranked
	suspect  bool
	rampFrom time.Time // slow start began; zero when there is none
	rampFor  time.Duration
}

// Usable reports whether the backend takes new sessions.
func (m *Member) Usable() bool { return m.State == Up }

// Established reports whether sessions it has may go on there: in every state
// but Down. An ejected backend keeps them, because only it can serve them; if
// it is truly dead its checks say so within seconds.
func (m *Member) Established() bool { return m.State != Down }

// Acquire takes one of the backend's slots for a request; false means that
// Config.MaxInFlight are taken. Each success needs one Release.
func (m *Member) Acquire() bool {
	limit := int64(m.record.pool.settings.Load().MaxInFlight)
	l := m.record.load
	for {
		n := l.inFlight.Load()
		if limit > 0 && n >= limit {
			l.overflows.Add(1)
			return false
		}
		if l.inFlight.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release gives back a slot.
func (m *Member) Release() { m.record.load.inFlight.Add(-1) }

// OpenSession counts a tunnel; each needs one CloseSession, even after the
// backend has vanished.
func (m *Member) OpenSession() { m.record.load.tunnels.Add(1) }

// CloseSession ends what OpenSession began.
func (m *Member) CloseSession() { m.record.load.tunnels.Add(-1) }

// Sessions returns the tunnels open and, by Deps.Polling, the polling sessions.
func (m *Member) Sessions() int {
	return int(m.record.load.tunnels.Load()) + m.record.pool.deps.Polling(m.ID)
}

// InFlight returns the slots that are taken.
func (m *Member) InFlight() int { return int(m.record.load.inFlight.Load()) }

// Report is Pool.Report for this member, without the look-up. What is reported
// of a backend that has vanished has no effect.
func (m *Member) Report(o Outcome) { m.record.pool.report(m.record, o) }

// TLSConfig returns what to dial the backend with, or nil for plain TCP: it has
// the roots by Config.CAFile, the server name and ALPN for HTTP/1.1. It is
// shared: clone it before changing it.
func (m *Member) TLSConfig() *tls.Config { return m.tls }

// part is how much of its weight the backend has by now: a tenth at the
// beginning of its slow start, all of it at the end.
func (m *Member) part(now time.Time) float64 {
	if m.rampFrom.IsZero() {
		return 1
	}
	return ramp(now.Sub(m.rampFrom), m.rampFor)
}

// ramp grows from a tenth to 1 while passed goes from nothing to whole.
func ramp(passed, whole time.Duration) float64 {
	if passed >= whole {
		return 1
	}
	return max(0.1, float64(passed)/float64(whole))
}

// load counts what a backend does for this replica. It outlives the record of a
// backend that vanishes while it is busy, to be found again if it comes back.
type load struct {
	tunnels, inFlight atomic.Int64
	overflows         atomic.Uint64
}

func (l *load) idle() bool { return l.tunnels.Load() == 0 && l.inFlight.Load() == 0 }
