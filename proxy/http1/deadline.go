package http1

import (
	"net"
	"sync"
	"time"
)

// maxSlack is how much later than asked a coarse deadline may fire.
const maxSlack = time.Second

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// deadline remembers what one direction of a connection was set to, because
// setting it costs a lock and a timer in the runtime.
type deadline struct {
	nc    net.Conn
	write bool

	// Guarded by mu.
	mu          sync.Mutex
	at          time.Time // zero for none
	interrupted bool      // at stays longAgo
}

// within makes the deadline fire between d and d plus slack after now; none if
// d is 0.
func (dl *deadline) within(now time.Time, d time.Duration) {
	dl.mu.Lock()
	defer dl.mu.Unlock()
	if dl.interrupted {
		return
	}
	if d <= 0 {
		if !dl.at.IsZero() {
			dl.set(time.Time{})
		}
		return
	}
	slack := min(d/8, maxSlack)
	t := now.Add(d)
	if late := dl.at.Sub(t); late < 0 || late > slack {
		dl.set(t.Add(slack))
	}
}

// exactly makes the deadline fire at t.
func (dl *deadline) exactly(t time.Time) {
	dl.mu.Lock()
	defer dl.mu.Unlock()
	if !dl.interrupted {
		dl.set(t)
	}
}

// interrupt makes the deadline a passed one that nobody moves until resume:
// else the goroutine to be stopped could, just before it blocks.
func (dl *deadline) interrupt() {
	dl.mu.Lock()
	defer dl.mu.Unlock()
	dl.interrupted = true
	dl.set(longAgo)
}

// resume ends an interruption, with no deadline set.
func (dl *deadline) resume() {
	dl.mu.Lock()
	defer dl.mu.Unlock()
	if dl.interrupted {
		dl.interrupted = false
		dl.set(time.Time{})
	}
}

// set is called with mu held, so that at and the connection agree. An error
// means that the connection is closed, which the next use of it will tell.
func (dl *deadline) set(t time.Time) {
	dl.at = t
	if dl.write {
		dl.nc.SetWriteDeadline(t)
	} else {
		dl.nc.SetReadDeadline(t)
	}
}
