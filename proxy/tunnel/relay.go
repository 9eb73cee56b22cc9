package tunnel

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is returned by Start after Close, and by Detach on a tunnel that
// has ended.
var ErrClosed = errors.New("tunnel closed")

// Config is a relay's. The zero value is ready for use.
type Config struct {
	// Loops is the number of epoll loops where there are such; zero means
	// GOMAXPROCS.
	Loops int
	// Portable relays every pair by goroutines, bare TCP on Linux too.
	Portable bool
}

// Totals are sums over all tunnels of a relay, open and ended.
type Totals struct {
	ToBackend, ToClient int64 // bytes, as in Stats
	Held                int64 // bytes read and not yet written, now
	Opened              int64 // tunnels ever started
	Open                int   // tunnels open now
}

// Relay owns the loops and the tunnels in them.
type Relay struct {
	// set by NewRelay
	ticker *time.Ticker
	// set by newRelay
	loops   []*loop // none: everything goes by pumps
	pumping shard
	shards  []*shard // pumping and those of the loops
	ended   chan struct{}
	stop    chan struct{}

	wheel   wheel
	next    atomic.Uint32  // loop to look at first
	tunnels sync.WaitGroup // Add only in shard.add
	running sync.WaitGroup // loops and the sweeper
	closing sync.Once
}

// NewRelay starts the loops. End them with Close.
func NewRelay(c Config) (*Relay, error) {
	t := time.NewTicker(tick)
	r, err := newRelay(c, t.C, (*loop).run)
	if err != nil {
		t.Stop()
		return nil, err
	}
	r.ticker = t
	return r, nil
}

// newRelay takes the clock and the way a loop waits from outside.
func newRelay(c Config, ticks <-chan time.Time, run func(*loop)) (*Relay, error) {
	r := &Relay{ended: make(chan struct{}), stop: make(chan struct{})}
	r.shards = []*shard{&r.pumping}
	if c.Loops <= 0 {
		c.Loops = runtime.GOMAXPROCS(0)
	}
	for len(r.loops) < c.Loops && haveLoops && !c.Portable {
		l, err := newLoop()
		if err != nil {
			for _, l := range r.loops {
				l.close()
			}
			return nil, fmt.Errorf("making a tunnel loop: %w", err)
		}
		r.loops = append(r.loops, l)
		r.shards = append(r.shards, &l.shard)
	}
	for _, l := range r.loops {
		r.running.Go(func() { run(l) })
	}
	r.running.Go(func() { r.sweep(ticks) })
	return r, nil
}

// sweep moves the coarse clock and closes what it finds idle.
func (r *Relay) sweep(ticks <-chan time.Time) {
	for {
		select {
		case <-ticks:
			for _, t := range r.wheel.advance() {
				t.Close(Idle)
			}
		case <-r.stop:
			return
		}
	}
}

// Start takes over both connections and relays between them until both are
// closed. fromClient and fromBackend are bytes already read from the two
// sides; they are delivered first, in order, and neither slice is kept after
// Start has returned. Deadlines of the connections are dropped. Start never
// waits for the network.
//
// done, which may be nil, is called exactly once when both connections are
// closed, possibly before Start returns. It runs in a loop that other tunnels
// wait for, so it must be quick, must not block, and must not call Close of
// the Relay.
//
// When Start returns an error, both connections are closed and done is not
// called. The connections must not be used by the caller in either case. Only
// *net.TCPConn itself reaches the epoll loops: take it out of any wrapper that
// adds nothing (never out of a tls.Conn).
func (r *Relay) Start(client, backend net.Conn, fromClient, fromBackend []byte, o Options, done func(Stats)) (*Tunnel, error) {
	conns := [2]net.Conn{client, backend}
	first := [2][]byte{fromClient, fromBackend}
	for _, c := range conns {
		setKeepAlive(c, o.KeepAlive)
	}
	if d, ok := backend.(*dialed); ok {
		if c, ok := client.(*net.TCPConn); ok {
			return d.start(c, first, o, done)
		}
		// The pumps wait in the runtime's poller.
		c, err := d.leave()
		if err != nil {
			client.Close()
			return nil, err
		}
		conns[1] = c
	}
	if l := r.pick(); l != nil && bareTCP(conns) {
		return l.start(r, conns, first, o, done)
	}
	return r.startPumps(conns, first, o, done)
}

// pick returns the emptier of two loops that stand next to each other, nil if
// there are none.
func (r *Relay) pick() *loop {
	n := uint32(len(r.loops))
	if n == 0 {
		return nil
	}
	i := r.next.Add(1)
	a, b := r.loops[i%n], r.loops[(i+1)%n]
	if b.open.Load() < a.open.Load() {
		return b
	}
	return a
}

// bareTCP reports whether nothing but a socket is behind both connections.
func bareTCP(conns [2]net.Conn) bool {
	_, c := conns[client].(*net.TCPConn)
	_, b := conns[backend].(*net.TCPConn)
	return c && b
}

// probes is how many keepalive probes in a row go unanswered before the
// connection is given up.
const probes = 3

func setKeepAlive(c net.Conn, every time.Duration) {
	if every == 0 {
		return
	}
	for c != nil {
		switch w := c.(type) {
		case interface {
			SetKeepAliveConfig(net.KeepAliveConfig) error
		}:
			// It fails on a socket that is broken already, which shows soon.
			_ = w.SetKeepAliveConfig(net.KeepAliveConfig{
				Enable: every > 0, Idle: every, Interval: every, Count: probes})
			return
		case interface{ NetConn() net.Conn }: // tls.Conn
			c = w.NetConn()
		default:
			return
		}
	}
}

// tcpBelow returns the TCP connection under c, nil if there is none.
func tcpBelow(c net.Conn) *net.TCPConn {
	for {
		switch w := c.(type) {
		case *net.TCPConn:
			return w
		case interface{ NetConn() net.Conn }: // tls.Conn
			c = w.NetConn()
		default:
			return nil
		}
	}
}

// Open returns the number of open tunnels.
func (r *Relay) Open() int {
	n := 0
	for _, s := range r.shards {
		n += int(s.open.Load())
	}
	return n
}

// Totals returns the counters; it is cheap enough for every scrape.
func (r *Relay) Totals() Totals {
	var sum Totals
	for _, s := range r.shards {
		sum.ToBackend += s.from[client].Load()
		sum.ToClient += s.from[backend].Load()
		sum.Held += s.held.Load()
		sum.Opened += s.opened.Load()
		sum.Open += int(s.open.Load())
	}
	return sum
}

// Tunnels yields the tunnels that are open when it is called, in no order.
// The loop body may close them.
func (r *Relay) Tunnels() iter.Seq[*Tunnel] {
	return func(yield func(*Tunnel) bool) {
		var open []*Tunnel
		for _, s := range r.shards {
			open = s.list(open, false)
		}
		for _, t := range open {
			if !yield(t) {
				return
			}
		}
	}
}

// Drain closes the open tunnels one by one with the reason Drained, pace apart
// (clients come back at once, and all at once if closed so), also those
// started meanwhile. It returns nil when none is left, or the context's error.
func (r *Relay) Drain(ctx context.Context, pace time.Duration) error {
	wait := func(d time.Duration) error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	pause := time.Duration(0)
	for r.Open() > 0 {
		closed := 0
		for t := range r.Tunnels() {
			if t.Stats().Reason != 0 {
				continue // on its way out
			}
			if err := wait(pause); err != nil {
				return err
			}
			t.Close(Drained)
			closed++
			pause = pace
		}
		if closed == 0 {
			if err := wait(lingering); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// lingering is how often Drain looks whether the last have gone.
const lingering = 10 * time.Millisecond

// Close closes every tunnel with the reason Stopped and ends the loops. It
// returns nil when all have ended and every done has returned, or the
// context's error while they go on ending. Start fails with ErrClosed from now
// on. Close may be called again.
func (r *Relay) Close(ctx context.Context) error {
	r.closing.Do(func() {
		for _, s := range r.shards {
			s.close()
		}
		for t := range r.Tunnels() {
			t.Close(Stopped)
		}
		for _, s := range r.shards {
			for _, t := range s.list(nil, true) {
				t.Close(Stopped)
			}
		}
		go r.end()
	})
	select {
	case <-r.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end waits for the tunnels, then stops what served them.
func (r *Relay) end() {
	r.tunnels.Wait()
	for _, l := range r.loops {
		l.close()
	}
	if r.ticker != nil {
		r.ticker.Stop()
	}
	close(r.stop)
	r.running.Wait()
	close(r.ended)
}
