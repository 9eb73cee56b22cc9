package backend

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"
)

// record is what the Pool knows of one backend from the moment a source names
// it until none does. Its methods are the state machine: they are told the time
// and take no lock.
type record struct {
	// Set when made.
	pool *Pool
	load *load
	seed uint64

	// Written with pool.mu held, read by anyone.
	failedDials, failedHandshakes atomic.Int32

	// The rest is guarded by pool.mu.

	backend Backend
	tls     *tls.Config

	// As last published.
	state  State
	reason string
	since  time.Time

	drained  bool   // by Pool.Drain
	upReason string // why it is up when nothing stands against that
	rampFrom time.Time
	suspect  bool // since the last two dials failed

	// Active checks.
	checked   bool // a check has ended
	checking  bool // one is under way
	hurry     bool // another is wanted as soon as that one ends
	nextCheck time.Time
	lastCheck time.Time // end of the last one
	checkErr  error     // of the last one
	passes    int       // in a row
	fails     int       // in a row
	down      bool
	downWhy   string
	lostSince time.Time // it is down and doubted; zero when it is not

	// Ejection.
	ejectedUntil time.Time // zero when not ejected
	ejectWhy     string
	ejectedDials bool // failed dials were the cause
	ejections    int  // ever
	streak       int  // ejections with no long good time between
	returned     time.Time
}

// suspectAfter failed dials in a row a backend is put last and checked at once.
const suspectAfter = 2

// suspectChecks is how many times as often a suspect is checked: traffic and
// checks agreeing, there is no need to wait for the full patience of Fall.
const suspectChecks = 4

// current returns the state that follows from all that is known. The one that
// forbids more wins.
func (r *record) current() (State, string) {
	switch {
	case r.down:
		return Down, r.downWhy
	case r.drained:
		return Draining, "drained by an operator"
	case r.backend.Draining:
		return Draining, "drained by its source"
	case r.backend.Doubt != "":
		return Draining, r.backend.Doubt
	case r.ejected():
		return Ejected, r.ejectWhy
	}
	return Up, r.upReason
}

// standing is what of a record shows in a Set.
type standing struct {
	state    State
	reason   string
	suspect  bool
	rampFrom time.Time
}

func (r *record) standing() standing {
	state, reason := r.current()
	return standing{state, reason, r.suspect, r.rampFrom}
}

// lostFor is how long a backend that its source and the checks take for dead is
// shown as down before it vanishes. When it is we who were cut off, this is the
// time to learn it.
const lostFor = 30 * time.Second

// noteLost keeps the time since when both the source and the checks take the
// backend for dead.
func (r *record) noteLost(now time.Time) {
	switch {
	case !r.down || r.backend.Doubt == "":
		r.lostSince = time.Time{}
	case r.lostSince.IsZero():
		r.lostSince = now
	}
}

// lost reports that this is so for long.
func (r *record) lost(now time.Time) bool {
	return !r.lostSince.IsZero() && now.Sub(r.lostSince) >= lostFor
}

func (r *record) ejected() bool { return !r.ejectedUntil.IsZero() }

// checkPassed takes a passed check. The first check decides alone; after that
// Rise of them bring a backend back. They also end an ejection for failed
// dials, which they have refuted, but not one for failed handshakes: a server
// that accepts connections and answers its health page may well fail to serve.
func (r *record) checkPassed(now time.Time, c *settings) {
	r.lastCheck, r.checkErr = now, nil
	r.fails = 0
	r.passes++
	r.suspect = false
	if !r.checked {
		r.checked = true
		r.upReason = "check passed"
	}
	if r.passes < c.Rise {
		return
	}
	if r.down {
		r.down = false
		r.goodAgain()
		r.comeBack(now, c, fmt.Sprintf("%s passed", count(r.passes, "check")))
	}
	if r.ejected() && r.ejectedDials {
		r.endEjection(now, c, fmt.Sprintf("%s passed after an ejection for failed dials", count(r.passes, "check")))
	}
}

// checkFailed takes a failed check.
func (r *record) checkFailed(now time.Time, err error, c *settings) {
	r.lastCheck, r.checkErr = now, err
	r.passes = 0
	r.fails++
	first := !r.checked
	r.checked = true
	if r.down || !first && r.fails < c.Fall {
		return
	}
	r.down = true
	r.rampFrom = time.Time{}
	if first {
		r.downWhy = "the first check failed: " + briefly(err)
	} else {
		r.downWhy = fmt.Sprintf("%s failed, the last: %s", count(r.fails, "check"), briefly(err))
	}
}

// dialFailed takes a failure of traffic; mayEject says whether the limit leaves
// room. It reports whether a check is wanted at once.
func (r *record) dialFailed(now time.Time, c *settings, mayEject func() bool) (check bool) {
	n := int(r.failedDials.Add(1))
	if n >= suspectAfter && !r.suspect && !r.down {
		r.suspect = true
		check = true
	}
	if r.ejectable(n, c) && mayEject() {
		r.ejectedDials = true
		r.eject(now, c, count(n, "dial"))
	}
	return check
}

// handshakeFailed takes the other kind of failure.
func (r *record) handshakeFailed(now time.Time, c *settings, mayEject func() bool) {
	n := int(r.failedHandshakes.Add(1))
	if r.ejectable(n, c) && mayEject() {
		r.ejectedDials = false
		r.eject(now, c, count(n, "handshake"))
	}
}

func (r *record) ejectable(failures int, c *settings) bool {
	state, _ := r.current()
	return c.EjectAfter > 0 && failures >= c.EjectAfter && state == Up
}

// eject takes the backend out for EjectFor, doubled for each ejection before it
// that was not followed by a good time of EjectMax.
func (r *record) eject(now time.Time, c *settings, what string) {
	if r.streak > 0 && now.Sub(r.returned) >= c.EjectMax {
		r.streak = 0
	}
	took := c.EjectFor
	for range r.streak {
		if took >= c.EjectMax/2 {
			took = c.EjectMax
			break
		}
		took *= 2
	}
	r.streak++
	r.ejections++
	r.ejectedUntil = now.Add(took)
	r.ejectWhy = fmt.Sprintf("%s failed in a row; ejected for %v", what, took)
	r.passes = 0
	r.rampFrom = time.Time{}
}

func (r *record) endEjection(now time.Time, c *settings, why string) {
	r.ejectedUntil = time.Time{}
	r.returned = now
	r.goodAgain()
	r.comeBack(now, c, why)
}

func (r *record) goodAgain() {
	r.failedDials.Store(0)
	r.failedHandshakes.Store(0)
	r.suspect = false
}

func (r *record) comeBack(now time.Time, c *settings, why string) {
	r.upReason = why
	r.rampFrom = r.pool.slowFrom(now, c)
}

// served takes good news from traffic.
func (r *record) served(handshake bool) {
	r.failedDials.Store(0)
	r.suspect = false
	if handshake {
		r.failedHandshakes.Store(0)
	}
}

// expire ends what time ends: an ejection, a slow start. It returns when the
// next such thing is due, or zero.
func (r *record) expire(now time.Time, c *settings) (changed bool, next time.Time) {
	if r.ejected() && !now.Before(r.ejectedUntil) {
		r.endEjection(now, c, "its ejection has ended")
		changed = true
	}
	if !r.rampFrom.IsZero() && now.Sub(r.rampFrom) >= c.SlowStart {
		r.rampFrom = time.Time{}
		changed = true
	}
	next = r.ejectedUntil
	if !r.lostSince.IsZero() {
		next = sooner(next, r.lostSince.Add(lostFor))
	}
	if !r.rampFrom.IsZero() {
		next = sooner(next, r.rampFrom.Add(c.SlowStart))
	}
	return changed, next
}

// member returns the view of the record that goes into a Set.
func (r *record) member(c *settings) Member {
	return Member{
		Backend: r.backend, State: r.state, Reason: r.reason, Since: r.since,
		record: r, tls: r.tls, seed: r.seed, suspect: r.suspect, rampFrom: r.rampFrom, rampFor: c.SlowStart,
	}
}

// sooner returns the earlier of two times, of which zero is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// count renders a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
