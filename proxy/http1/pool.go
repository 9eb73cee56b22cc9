package http1

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// PoolConfig describes the connections to one backend.
type PoolConfig struct {
	Addr        string        // host:port; an IP literal is dialed without a resolver
	TLS         *tls.Config   // nil for plain TCP; ServerName defaults to Addr's host
	DialTimeout time.Duration // name, TCP and TLS together, default 2 s
	MaxIdle     int           // idle connections kept, default 256; negative keeps none
	IdleTimeout time.Duration // a connection idle for so long is closed, at most a quarter later; default 30 s
	// MaxSilence is how long the backend's host may leave bytes unacknowledged, and
	// the backend a full window unread; then the connection is closed. It counts in
	// milliseconds; 0 leaves it to the kernel, which tries for a quarter of an
	// hour, as do systems other than Linux.
	MaxSilence time.Duration
	// Dial replaces the TCP dialer, for tests and Unix sockets.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
}

// Pool keeps idle connections to one backend, most recently used first. Its
// methods may be called from any goroutine. It owns no goroutine: expired
// connections are closed by a timer that runs only while some are idle.
type Pool struct {
	cfg  PoolConfig
	dial func(context.Context) (net.Conn, error)

	mu sync.Mutex
	// Guarded by mu.
	idle   []idleConn  // oldest first
	tick   uint64      // counts the quarters of IdleTimeout in which some were idle
	timer  *time.Timer // ends a quarter
	armed  bool        // timer will fire
	closed bool
}

type idleConn struct {
	c     *Conn
	since uint64 // tick
}

// quarters of IdleTimeout make it up; counting them spares Put the clock.
const quarters = 4

// NewPool returns an empty pool.
func NewPool(cfg PoolConfig) *Pool {
	if cfg.DialTimeout <= 0 {
		cfg.DialTimeout = 2 * time.Second
	}
	if cfg.MaxIdle == 0 {
		cfg.MaxIdle = 256
	}
	if cfg.IdleTimeout <= 0 {
		cfg.IdleTimeout = 30 * time.Second
	}
	p := &Pool{cfg: cfg}
	p.dial = cfg.dialer()
	return p
}

// Get returns an idle connection that a look at its socket found alive, or
// else dials. reused tells which: a reused one may still die before the first
// byte of an answer, because its peer closes at the same moment. The error is
// a *DialError. ctx bounds the dial only.
func (p *Pool) Get(ctx context.Context) (c *Conn, reused bool, err error) {
	for {
		c = p.pop()
		if c == nil {
			c, err = p.Dial(ctx)
			return c, false, err
		}
		if c.Probe() == Quiet {
			return c, true, nil
		}
		c.Close()
	}
}

// Take is Get without the look at the socket, for a caller that sends its
// request by Conn.AwaitAnswer, which looks. On ErrStale close the connection
// and take another.
func (p *Pool) Take(ctx context.Context) (c *Conn, reused bool, err error) {
	if c = p.pop(); c != nil {
		return c, true, nil
	}
	c, err = p.Dial(ctx)
	return c, false, err
}

func (p *Pool) pop() *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle) - 1
	if n < 0 {
		return nil
	}
	c := p.idle[n].c
	p.idle[n] = idleConn{}
	p.idle = p.idle[:n]
	return c
}

// Dial returns a fresh connection, as an upgrade needs it. The error is a
// *DialError.
func (p *Pool) Dial(ctx context.Context) (*Conn, error) {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return nil, &DialError{p.cfg.Addr, ErrPoolClosed}
	}
	nc, err := p.dial(ctx)
	if err != nil {
		return nil, &DialError{p.cfg.Addr, err}
	}
	return NewConn(nc), nil
}

// Put takes a connection back after an exchange. It is closed instead of kept
// unless it is Reusable and there is room.
func (p *Pool) Put(c *Conn) {
	if !c.Reusable() || !p.keep(c) {
		c.Close()
	}
}

func (p *Pool) keep(c *Conn) bool {
	c.dropBuffers()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= p.cfg.MaxIdle {
		return false
	}
	p.idle = append(p.idle, idleConn{c, p.tick})
	p.arm()
	return true
}

// arm starts a quarter unless one runs; called with mu held.
func (p *Pool) arm() {
	switch {
	case p.armed:
		return
	case p.timer == nil:
		p.timer = time.AfterFunc(p.cfg.IdleTimeout/quarters, p.expire)
	default:
		p.timer.Reset(p.cfg.IdleTimeout / quarters)
	}
	p.armed = true
}

// expire ends a quarter: it closes what has been idle for more than four, the
// first of which may not have been whole.
func (p *Pool) expire() {
	p.mu.Lock()
	p.armed = false
	p.tick++
	n := 0
	for n < len(p.idle) && p.tick-p.idle[n].since > quarters {
		n++
	}
	old := p.cut(n)
	if len(p.idle) > 0 && !p.closed {
		p.arm()
	}
	p.mu.Unlock()
	closeAll(old)
}

// cut takes the n oldest out; called with mu held.
func (p *Pool) cut(n int) []idleConn {
	if n == 0 {
		return nil
	}
	old := append([]idleConn(nil), p.idle[:n]...)
	k := copy(p.idle, p.idle[n:])
	clear(p.idle[k:])
	p.idle = p.idle[:k]
	return old
}

func closeAll(conns []idleConn) {
	for _, i := range conns {
		i.c.Close()
	}
}

// Idle returns how many connections are kept now.
func (p *Pool) Idle() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}

// CloseIdle closes those that are idle now.
func (p *Pool) CloseIdle() {
	p.mu.Lock()
	old := p.cut(len(p.idle))
	p.mu.Unlock()
	closeAll(old)
}

// Close closes the idle connections, and those that come back by Put; those
// in use are not touched. Get and Dial fail afterwards.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	old := p.cut(len(p.idle))
	p.mu.Unlock()
	closeAll(old)
	return nil
}
