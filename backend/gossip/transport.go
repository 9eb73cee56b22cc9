package gossip

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// transport is memberlist's own, with calls to other members that end when the
// member stops: memberlist lets them run into their time-outs.
type transport struct {
	*memberlist.NetTransport

	ctx context.Context

	mu    sync.Mutex // guards conns
	conns map[*call]struct{}
}

// listen opens the sockets. TCP and UDP need the same port, so that one that is
// free may have to be looked for more than once.
func listen(ctx context.Context, addr netip.AddrPort, log *log.Logger) (t *transport, bound netip.AddrPort, err error) {
	tries := 1
	if addr.Port() == 0 {
		tries = 10
	}
	for range tries {
		var inner *memberlist.NetTransport
		inner, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{addr.Addr().String()}, BindPort: int(addr.Port()), Logger: log,
		})
		if err == nil {
			t = &transport{NetTransport: inner, ctx: ctx, conns: map[*call]struct{}{}}
			return t, netip.AddrPortFrom(addr.Addr(), uint16(inner.GetAutoBindPort())), nil
		}
	}
	return nil, addr, fmt.Errorf("listen for gossip on %s: %w", addr, err)
}

// DialTimeout is DialAddressTimeout for an address alone.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout calls a member.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout}
	conn, err := d.DialContext(t.ctx, "tcp", a.Addr)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &call{conn, t}
	t.conns[c] = struct{}{}
	if t.ctx.Err() != nil {
		_ = conn.Close() // hangUp may have come before it was listed
	}
	return c, nil
}

// hangUp ends the calls under way.
func (t *transport) hangUp() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		_ = c.Conn.Close() // whoever uses it gets the error
	}
}

// call is a connection to another member.
type call struct {
	net.Conn
	t *transport
}

// Close ends the call.
func (c *call) Close() error {
	c.t.mu.Lock()
	delete(c.t.conns, c)
	c.t.mu.Unlock()
	return c.Conn.Close()
}
