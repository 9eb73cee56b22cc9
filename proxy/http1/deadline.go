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

	mu sync.Mutex
	at time.Time // zero for none; guarded by mu
}

// within makes the deadline fire between d and d plus slack after now; none if
// d is 0.
func (dl *deadline) within(now time.Time, d time.Duration) {
	dl.mu.Lock()
	defer dl.mu.Unlock()
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
	dl.set(t)
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
