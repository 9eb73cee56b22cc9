package affinity

import (
	"sync"
	"sync/atomic"
	"time"
)

// breaker keeps requests from waiting for a table that does not answer. It opens
// after some failures in a row. While it is open only the probe of Pins.Run asks
// the table, so that no request pays for finding out; a probe that succeeds
// closes it.
//
// A refused write is an answer, and quick: it counts as success here.
type breaker struct {
	limit int32 // failures in a row that open it

	open   atomic.Bool
	inRow  atomic.Int32
	opened atomic.Uint64 // how many times

	mu    sync.Mutex
	cause error         // why it is open
	since time.Duration // when it opened, on the clock of Pins
}

// report takes the result of a request's operation. Results that come in while
// the breaker is open are of operations begun before: they say nothing new. It
// returns true if this one opened the breaker.
func (b *breaker) report(err error, now time.Duration) (opened bool) {
	if b.open.Load() {
		return false
	}
	if err == nil {
		// Mostly zero already, and then not worth a write to a shared line.
		if b.inRow.Load() != 0 {
			b.inRow.Store(0)
		}
		return false
	}
	if b.inRow.Add(1) < b.limit {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open.Load() {
		return false
	}
	b.cause, b.since = err, now
	b.opened.Add(1)
	b.open.Store(true)
	return true
}

// probed takes the result of a probe made while the breaker is open. It returns
// true, and for how long it was open, if that closed it.
func (b *breaker) probed(err error, now time.Duration) (closed bool, away time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open.Load() {
		return false, 0
	}
	if err != nil {
		b.cause = err
		return false, 0
	}
	b.cause = nil
	b.inRow.Store(0)
	b.open.Store(false)
	return true, now - b.since
}

// why returns the latest error of an open breaker, nil of a closed one.
func (b *breaker) why() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cause
}
