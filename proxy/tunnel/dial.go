package tunnel

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// DialOptions are one connection's own.
type DialOptions struct {
	// Timeout bounds the dial; zero leaves it to the context.
	Timeout time.Duration
	// MaxSilence is how long the other host may leave bytes unacknowledged
	// (TCP_USER_TIMEOUT), in milliseconds; zero leaves it to the kernel.
	MaxSilence time.Duration
}

// Dial connects to the backend of a tunnel to be. A loop waits for the socket
// from the start, so that Start has nothing to take over and the runtime's
// poller never hears of it; that is part of what an upgrade costs. What it
// returns is a net.Conn and a syscall.Conn as others are, to ask for the upgrade
// with. Every wait in it is one for the loop, too, so for a client that is not
// bare TCP another dialer is cheaper.
//
// The error is a *net.OpError, or ErrClosed after Close, or
// errors.ErrUnsupported where there are no loops.
func (r *Relay) Dial(ctx context.Context, to netip.AddrPort, o DialOptions) (net.Conn, error) {
	return r.dial(ctx, to, o)
}
