package tunnel

import (
	"context"
	"errors"
	"iter"
	"net"
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
	ToBackend, ToClient int64 // bytes written to that side
	Held                int64 // bytes read and not yet written, now
	Opened              int64 // tunnels ever started
	Open                int   // tunnels open now
}

// Relay owns the loops and the tunnels in them.
type Relay struct{}

// NewRelay starts the loops. End them with Close.
func NewRelay(c Config) (*Relay, error) { return &Relay{}, nil }

// Start takes over both connections and relays between them until both are
// closed. fromClient and fromBackend are bytes already read from the two
// sides; they are delivered first, in order, and neither slice is kept after
// Start has returned. Start never waits for the network.
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
	client.Close()
	backend.Close()
	return nil, errors.ErrUnsupported
}

// Open returns the number of open tunnels.
func (r *Relay) Open() int { return 0 }

// Totals returns the counters; it is cheap enough for every scrape.
func (r *Relay) Totals() Totals { return Totals{} }

// Tunnels yields the tunnels that are open when it is called, in no order.
// The loop body may close them.
func (r *Relay) Tunnels() iter.Seq[*Tunnel] { return func(func(*Tunnel) bool) {} }

// Drain closes the open tunnels one by one with the reason Drained, pace apart
// (clients come back at once, and all at once if closed so), also those
// started meanwhile. It returns nil when none is left, or the context's error.
func (r *Relay) Drain(ctx context.Context, pace time.Duration) error { return ctx.Err() }

// Close closes every tunnel with the reason Stopped and ends the loops. It
// returns nil when all have ended and every done has returned, or the
// context's error while they go on ending. Start fails with ErrClosed from now
// on. Close may be called again.
func (r *Relay) Close(ctx context.Context) error { return nil }
