package proxy

import (
	"context"
	"sync"
	"time"
)

const (
	// closeTime bounds what is left to do once everything is to be cut.
	closeTime = 2 * time.Second
	// drainSpread is the part of the drain time-out over which the open tunnels
	// are closed: many clients come back within 50 ms, and not all at once.
	drainSpread = 2
	// maxPace bounds the time between two tunnels that are closed.
	maxPace = 100 * time.Millisecond
)

// drain stops the proxy in the order that hurts nobody: readiness fails first
// and balancers get time to see it; then no connection is accepted any more,
// and requests and tunnels may end by themselves; what is left at the end of
// the time-out is closed, tunnels paced.
func (p *Proxy) drain() {
	d := p.state.Load().cfg.Drain
	p.log.Info("draining", "delay", d.Delay, "timeout", d.Timeout, "tunnels", p.relay.Open())
	close(p.stopping)
	p.admin.fail("shutting down")
	timer := time.NewTimer(d.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.cut:
	}
	p.draining.Store(true)
	p.closeListeners()
	p.conns.closeIdle()

	ctx, cancel := context.WithTimeout(context.Background(), d.Timeout)
	defer cancel()
	go func() {
		select {
		case <-p.cut:
			cancel()
		case <-ctx.Done():
		}
	}()
	var requests, all sync.WaitGroup
	requests.Go(func() { p.h2.drain(ctx) })
	requests.Go(func() {
		if !waitFor(ctx, &p.serving) {
			p.conns.closeAll()
			p.serving.Wait()
		}
	})
	all.Go(func() { p.drainTunnels(ctx, d.Timeout) })
	requests.Wait()
	p.tunneling.Done() // Run's own: from here on no request can become a tunnel
	all.Wait()
	p.log.Info("drained")
}

// drainTunnels leaves the tunnels alone for the first half of the time-out and
// closes what is still open in the second.
func (p *Proxy) drainTunnels(ctx context.Context, timeout time.Duration) {
	quiet, cancel := context.WithTimeout(ctx, timeout/drainSpread)
	defer cancel()
	if waitFor(quiet, &p.tunneling) {
		return
	}
	if open := p.relay.Open(); open > 0 && ctx.Err() == nil {
		left := timeout - timeout/drainSpread
		p.relay.Drain(ctx, min(left/time.Duration(open+1), maxPace))
	}
	end, stop := context.WithTimeout(context.Background(), closeTime)
	defer stop()
	p.relay.Close(end)
	waitFor(end, &p.tunneling)
}

// waitFor reports whether the group was done before ctx.
func waitFor(ctx context.Context, g *sync.WaitGroup) bool {
	done := make(chan struct{})
	go func() { g.Wait(); close(done) }()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}
