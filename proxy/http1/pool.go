package http1

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// PoolConfig describes the connections to one backend.
type PoolConfig struct {
	Addr        string        // host:port; an IP literal is dialed without a resolver
	TLS         *tls.Config   // nil for plain TCP; ServerName defaults to Addr's host
	DialTimeout time.Duration // TCP and TLS together, default 2 s
	MaxIdle     int           // idle connections kept, default 64; negative keeps none
	IdleTimeout time.Duration // an idle connection older than this is closed, default 30 s
	// Dial replaces the TCP dialer, for tests and Unix sockets.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
}

// Pool keeps idle connections to one backend, most recently used first. Its
// methods may be called from any goroutine. It owns no goroutine: expired
// connections are closed by a timer that runs only while some are idle.
type Pool struct {
	cfg PoolConfig
}

// NewPool returns an empty pool.
func NewPool(cfg PoolConfig) *Pool { return &Pool{cfg: cfg} }

// Get returns an idle connection that a look at its socket found alive, or
// else dials. reused tells which: a reused one may still die before the first
// byte of an answer, because its peer closes at the same moment. The error is
// a *DialError. ctx bounds the dial only.
func (p *Pool) Get(ctx context.Context) (c *Conn, reused bool, err error) { panic("skeleton") }

// Dial returns a fresh connection, as an upgrade needs it. The error is a
// *DialError.
func (p *Pool) Dial(ctx context.Context) (*Conn, error) { panic("skeleton") }

// Put takes a connection back after an exchange. It is closed instead of kept
// unless it is Reusable and there is room.
func (p *Pool) Put(c *Conn) { panic("skeleton") }

// Idle returns how many connections are kept now.
func (p *Pool) Idle() int { panic("skeleton") }

// CloseIdle closes those that are idle now.
func (p *Pool) CloseIdle() { panic("skeleton") }

// Close closes the idle connections, and those that come back by Put; those
// in use are not touched. Get and Dial fail afterwards.
func (p *Pool) Close() error { panic("skeleton") }

// DialError says that no connection to the backend could be made; no byte of a
// request was sent, so another backend may be tried whatever the method.
type DialError struct {
	Addr string
	Err  error
}

// Error reads like "dial backend 10.0.0.1:80: connection refused".
func (e *DialError) Error() string { return "dial backend " + e.Addr + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *DialError) Unwrap() error { return e.Err }

// Timeout reports whether the dial took longer than its limit.
func (e *DialError) Timeout() bool {
	t, ok := e.Err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}
