package gossip

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// maxStreams bounds the connections that others have open to a member. They are
// of one message each way and last for moments; those who have no key can open
// them too.
const maxStreams = 256

// Network is what members listen on and call through.
type Network interface {
	// Listen opens a transport at an address, and returns where it listens then: a
	// port 0 is any. Of the transport all is used but its calls.
	Listen(at netip.AddrPort, log *log.Logger) (memberlist.NodeAwareTransport, netip.AddrPort, error)
	// DialContext calls the member that listens at an address, until ctx ends.
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// sockets is the network of this machine.
type sockets struct{ net.Dialer }

// Listen opens a socket of TCP and one of UDP, which need the same port, so that one
// that is free may have to be looked for more than once.
func (*sockets) Listen(at netip.AddrPort, log *log.Logger) (memberlist.NodeAwareTransport, netip.AddrPort, error) {
	tries := 1
	if at.Port() == 0 {
		tries = 10
	}
	var last error
	for range tries {
		t, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{at.Addr().String()}, BindPort: int(at.Port()), Logger: log,
		})
		if err == nil {
			return t, netip.AddrPortFrom(at.Addr(), uint16(t.GetAutoBindPort())), nil
		}
		last = err
	}
	return nil, at, last
}

// transport is that of a network, with a bound on the connections of others, and
// with calls to other members that end when the member stops: memberlist lets them
// run into their time-outs.
type transport struct {
	memberlist.NodeAwareTransport

	ctx     context.Context
	network Network
	streams chan net.Conn // those that were let in
	done    chan struct{} // closed when no more come
	once    sync.Once     // for closing it
	taken   chan struct{} // a slot for each that is open
	refused atomic.Uint64

	mu    sync.Mutex // guards conns
	conns map[*call]struct{}
}

// listen opens the transport of a member.
func listen(ctx context.Context, n Network, addr netip.AddrPort, log *log.Logger) (*transport, netip.AddrPort, error) {
	inner, bound, err := n.Listen(addr, log)
	if err != nil {
		return nil, addr, fmt.Errorf("listen for gossip on %s: %w", addr, err)
	}
	t := &transport{
		NodeAwareTransport: inner, ctx: ctx, network: n, conns: map[*call]struct{}{},
		streams: make(chan net.Conn), done: make(chan struct{}), taken: make(chan struct{}, maxStreams),
	}
	go t.admit()
	return t, bound, nil
}

// admit lets connections in while there is room.
func (t *transport) admit() {
	for {
		var conn net.Conn
		select {
		case <-t.done:
			return
		case conn = <-t.NodeAwareTransport.StreamCh():
		}
		select {
		case t.taken <- struct{}{}:
		default:
			t.refused.Add(1)
			_ = conn.Close() // there is nothing to be said to it
			continue
		}
		s := &stream{Conn: conn, leave: sync.OnceFunc(func() { <-t.taken })}
		select {
		case <-t.done:
			_ = s.Close()
			return
		case t.streams <- s:
		}
	}
}

// StreamCh gives memberlist the connections of others.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown closes the sockets. What they take until then is still taken from them,
// or they would not close.
func (t *transport) Shutdown() error {
	err := t.NodeAwareTransport.Shutdown()
	t.once.Do(func() { close(t.done) })
	return err
}

// stream is a connection of another member.
type stream struct {
	net.Conn
	leave func()
}

// Close gives the slot back.
func (s *stream) Close() error {
	s.leave()
	return s.Conn.Close()
}

// DialTimeout is DialAddressTimeout for an address alone.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout calls a member.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	conn, err := t.network.DialContext(ctx, "tcp", a.Addr)
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
