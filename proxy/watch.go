package proxy

import (
	"context"
	"sync"
	"time"

	"github.com/dsproxy/dsproxy/proxy/http1"
)

// watchPeriod is how often waiting exchanges are looked at.
const watchPeriod = time.Second

// watched is the part of a client connection that notices a client that leaves
// while its answer is awaited, as a browser does that closes a tab with a long
// poll pending: the backend should know. Waiting costs a request two atomic
// operations; one goroutine looks at the sockets of those that wait long.
type watched struct {
	mu    sync.Mutex
	up    *http1.Conn // guarded by mu; the backend that is waited for, or nil
	since time.Time   // guarded by mu; when the wait began
	gone  bool        // guarded by mu
}

func (w *watched) watch(up *http1.Conn, now time.Time) {
	w.mu.Lock()
	w.up, w.since = up, now
	w.mu.Unlock()
}

func (w *watched) unwatch() {
	w.mu.Lock()
	w.up = nil
	w.mu.Unlock()
}

func (w *watched) wasGone() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone
}

// look ends the exchange of a client that has closed. A client that closed its
// sending side only may still read, so the backend gets halfClose to say
// something first.
func (w *watched) look(client *http1.Conn, now time.Time, halfClose time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.up == nil || now.Sub(w.since) < halfClose || client.Probe() != http1.Gone {
		return
	}
	w.gone = true
	w.up.Abort() // the exchange, which reads from it, wakes up
	w.up = nil
}

// watchClients looks after all waiting exchanges until ctx is done.
func (p *Proxy) watchClients(ctx context.Context) {
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			half := p.state.Load().cfg.Timeouts.HalfClose
			for cc := range p.conns.all() {
				if c := cc.http.Load(); c != nil {
					cc.watched.look(c, now, half)
				}
			}
		}
	}
}
