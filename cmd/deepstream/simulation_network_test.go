package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

// wires are a network in memory, for the gossip of simulated members and for their
// clients. Nothing of it is outside a bubble of testing/synctest.
type wires struct {
	mu      sync.Mutex
	random  *rand.Rand                    // guarded by mu
	void    map[netip.Addr]bool           // guarded by mu: no machine is there
	packets map[netip.AddrPort]*packetEnd // guarded by mu
	doors   map[netip.AddrPort]*door      // guarded by mu: of clients
	cut     map[[2]string]bool            // guarded by mu: from a host to another
	streams map[*pipe]struct{}            // guarded by mu
	loss    float64                       // guarded by mu: of packets
	delay   time.Duration                 // guarded by mu: the most, of packets and calls
}

const usualDelay = 2 * time.Millisecond

func newWires(random *rand.Rand) *wires {
	return &wires{
		random: random, void: make(map[netip.Addr]bool), packets: make(map[netip.AddrPort]*packetEnd),
		doors: make(map[netip.AddrPort]*door), cut: make(map[[2]string]bool), streams: make(map[*pipe]struct{}), delay: usualDelay,
	}
}

// host is one run of a program, on the machine with an address. It is a gossip.Network.
type host struct {
	*wires
	name string // of the member, which a later run may have too
	ip   netip.Addr
	down bool // guarded by wires.mu: nothing leaves it and nothing arrives
}

func (w *wires) host(name string, ip netip.Addr) *host {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := &host{wires: w, name: name, ip: ip}
	delete(w.void, ip)
	return h
}

// kill takes a host from the network without a word; of a machine that is gone, too,
// calls are answered by nobody.
func (h *host) kill(machine bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = true
	h.void[h.ip] = machine
	for at, e := range h.packets {
		if e.host == h {
			delete(h.packets, at)
		}
	}
	for at, d := range h.doors {
		if d.host == h {
			delete(h.doors, at)
		}
	}
	h.hangUp(func(p *pipe) bool { return p.from == h || p.to == h })
}

// part cuts what goes from a host to another, by names.
func (w *wires) part(from, to string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[[2]string{from, to}] = true
	w.hangUp(func(p *pipe) bool { return p.gossip && w.apart(p.from, p.to) })
}

func (w *wires) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.cut)
}

func (w *wires) weather(loss float64, delay time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loss, w.delay = loss, max(delay, usualDelay)
}

// hangUp ends streams; mu is held.
func (w *wires) hangUp(of func(p *pipe) bool) {
	for p := range w.streams {
		if of(p) {
			delete(w.streams, p)
			_ = p.a.Close()
			_ = p.b.Close()
		}
	}
}

// apart reports whether a stream is impossible; mu is held.
func (w *wires) apart(a, b *host) bool {
	return a.down || b.down || w.cut[[2]string{a.name, b.name}] || w.cut[[2]string{b.name, a.name}]
}

// late is how long something is on its way; mu is held.
func (w *wires) late() time.Duration { return time.Duration(w.random.Int64N(int64(w.delay))) }

// Listen implements gossip.Network.
func (h *host) Listen(at netip.AddrPort, _ *log.Logger) (memberlist.NodeAwareTransport, netip.AddrPort, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.packets[at] != nil {
		return nil, at, syscall.EADDRINUSE
	}
	e := &packetEnd{host: h, at: at, arrived: make(chan *memberlist.Packet, 1024), called: make(chan net.Conn), done: make(chan struct{})}
	h.packets[at] = e
	return e, at, nil
}

// DialContext implements gossip.Network: a call over a cut is answered by nobody.
func (h *host) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	h.mu.Lock()
	e, way := h.packets[to], 2*h.late()
	lost := h.down || h.void[to.Addr()] || e != nil && h.apart(h, e.host)
	h.mu.Unlock()
	if lost {
		<-ctx.Done()
		return fail(ctx.Err())
	}
	select {
	case <-ctx.Done():
		return fail(ctx.Err())
	case <-time.After(way):
	}
	if e == nil {
		return fail(syscall.ECONNREFUSED)
	}
	a, b := h.pipe(h, e.host, true)
	select {
	case e.called <- b:
		return a, nil
	case <-e.done:
		_, _ = a.Close(), b.Close()
		return fail(syscall.ECONNREFUSED)
	case <-ctx.Done():
		_, _ = a.Close(), b.Close()
		return fail(ctx.Err())
	}
}

// pipe is a stream between hosts.
type pipe struct {
	a, b     net.Conn
	from, to *host // from is nil where a client calls
	gossip   bool
}

// pipe makes the two ends of a stream.
func (w *wires) pipe(from, to *host, gossip bool) (a, b net.Conn) {
	p := &pipe{from: from, to: to, gossip: gossip}
	p.a, p.b = net.Pipe()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.streams[p] = struct{}{}
	if to.down {
		w.hangUp(func(o *pipe) bool { return o == p })
	}
	return &end{p.a, p, w}, &end{p.b, p, w}
}

// end is an end of a stream.
type end struct {
	net.Conn
	pipe  *pipe
	wires *wires
}

func (e *end) Close() error {
	e.wires.mu.Lock()
	delete(e.wires.streams, e.pipe)
	e.wires.mu.Unlock()
	return e.Conn.Close()
}

// packetEnd is where a member hears. It is a memberlist.NodeAwareTransport, but for
// the calls, which go through the host.
type packetEnd struct {
	host    *host
	at      netip.AddrPort
	arrived chan *memberlist.Packet
	called  chan net.Conn
	done    chan struct{}
	once    sync.Once
}

func (e *packetEnd) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	return net.ParseIP(ip), port, nil
}

func (e *packetEnd) WriteTo(b []byte, addr string) (time.Time, error) {
	return e.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress sends a packet, of which nobody knows whether it arrives.
func (e *packetEnd) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	now := time.Now()
	to, err := netip.ParseAddrPort(a.Addr)
	if err != nil {
		return now, err
	}
	w, h := e.host.wires, e.host
	w.mu.Lock()
	defer w.mu.Unlock()
	there := w.packets[to]
	if there == nil || h.down || w.cut[[2]string{h.name, there.host.name}] || w.random.Float64() < w.loss {
		return now, nil
	}
	p := &memberlist.Packet{Buf: append([]byte(nil), b...), From: net.UDPAddrFromAddrPort(e.at)}
	time.AfterFunc(w.late(), func() { there.put(p) })
	return now, nil
}

// put takes a packet unless too many wait.
func (e *packetEnd) put(p *memberlist.Packet) {
	p.Timestamp = time.Now()
	select {
	case e.arrived <- p:
	default:
	}
}

func (e *packetEnd) PacketCh() <-chan *memberlist.Packet { return e.arrived }
func (e *packetEnd) StreamCh() <-chan net.Conn           { return e.called }

var errNotHere = errors.New("calls go through the host")

func (e *packetEnd) DialTimeout(string, time.Duration) (net.Conn, error) { return nil, errNotHere }

func (e *packetEnd) DialAddressTimeout(memberlist.Address, time.Duration) (net.Conn, error) {
	return nil, errNotHere
}

func (e *packetEnd) Shutdown() error {
	e.once.Do(func() { close(e.done) })
	w := e.host.wires
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.packets[e.at] == e {
		delete(w.packets, e.at)
	}
	return nil
}

// door is where a node takes clients: a listener on all addresses of its host.
type door struct {
	host    *host
	port    uint16
	called  chan net.Conn
	done    chan struct{}
	once    sync.Once
	closing func() // is called when the node takes no more
}

func (h *host) door(port uint16, closing func()) *door {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := &door{host: h, port: port, called: make(chan net.Conn), done: make(chan struct{}), closing: closing}
	h.doors[netip.AddrPortFrom(h.ip, port)] = d
	return d
}

func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.called:
		return c, nil
	case <-d.done:
		return nil, net.ErrClosed
	}
}

func (d *door) Close() error {
	d.once.Do(func() {
		d.closing()
		close(d.done)
		d.host.mu.Lock()
		defer d.host.mu.Unlock()
		if at := netip.AddrPortFrom(d.host.ip, d.port); d.host.doors[at] == d {
			delete(d.host.doors, at)
		}
	})
	return nil
}

func (d *door) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv4Unspecified(), d.port))
}

// call connects a client to a node.
func (w *wires) call(ctx context.Context, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	d := w.doors[to]
	w.mu.Unlock()
	if d == nil {
		return nil, fmt.Errorf("call %s: %w", addr, syscall.ECONNREFUSED)
	}
	a, b := w.pipe(nil, d.host, false)
	select {
	case d.called <- b:
		return a, nil
	case <-d.done:
		err = syscall.ECONNREFUSED
	case <-ctx.Done():
		err = ctx.Err()
	}
	_, _ = a.Close(), b.Close()
	return nil, err
}
