package proxy

import (
	"net"
	"sync/atomic"
)

// workers are goroutines that have served a connection and wait for the next:
// their stacks have grown already to what a request needs, which for a connection
// with one short request is much of the work.
type workers struct {
	next    chan newcomer // unbuffered: there is room only while a worker waits
	waiting atomic.Int32
}

// newcomer is a connection that nobody serves yet.
type newcomer struct {
	l  *listener
	nc net.Conn
}

// maxWaiting bounds the workers that wait.
const maxWaiting = 64

// handOver has a connection served.
func (p *Proxy) handOver(c newcomer) {
	select {
	case p.workers.next <- c:
	default:
		p.serving.Go(func() { p.work(c) })
	}
}

func (p *Proxy) work(c newcomer) {
	for ok := true; ok; c, ok = p.awaitNext() {
		p.serve(c.l, c.nc)
	}
}

// awaitNext waits for another connection; false ends the worker.
func (p *Proxy) awaitNext() (c newcomer, ok bool) {
	if p.workers.waiting.Add(1) <= maxWaiting {
		select {
		case c = <-p.workers.next:
			ok = true
		case <-p.stopping:
		}
	}
	p.workers.waiting.Add(-1)
	return c, ok
}
