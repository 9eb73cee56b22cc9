package tunnel

import (
	"bytes"
	"errors"
	"io"
	"net"
	"time"
)

// lastWords is how long what a side had said before it broke may take to get
// to the other.
const lastWords = time.Second

// pumps is a tunnel of two goroutines, one for each direction. The connections
// are closed by whichever leaves last; to end a tunnel early is to have both
// leave.
type pumps struct {
	Tunnel

	// set before the pumps run
	ends [2]pumpEnd
	gone chan struct{} // closed when both have left

	// guarded by mu
	left  int    // pumps that have left
	ended Reason // by the side that ended first, once one has
}

// pumpEnd is one connection and the direction that starts there.
type pumpEnd struct {
	conn  net.Conn
	input input

	// owned by the pump that reads here, then by the last to leave
	rest []byte // not taken by the other side
}

func (r *Relay) startPumps(conns [2]net.Conn, first [2][]byte, o Options, done func(Stats)) (*Tunnel, error) {
	p := &pumps{gone: make(chan struct{})}
	p.way = p
	p.prepare(r, &r.pumping, o, done)
	for s, c := range conns {
		_ = c.SetDeadline(time.Time{}) // it fails on a broken connection only, which the first read finds out
		p.ends[s] = pumpEnd{conn: c, input: newInput(c), rest: bytes.Clone(first[s])}
	}
	if !r.pumping.add(&p.Tunnel) {
		for _, c := range conns {
			c.Close()
		}
		return nil, ErrClosed
	}
	r.wheel.add(&p.Tunnel)
	go p.run(client)
	go p.run(backend)
	return &p.Tunnel, nil
}

// run is one pump.
func (p *pumps) run(from side) {
	p.pump(from)
	p.mu.Lock()
	p.left++
	last := p.left == 2
	if last && p.reason == 0 {
		p.decide(p.ended, nil)
	}
	p.mu.Unlock()
	if last {
		p.hangUp()
		p.finish()
		close(p.gone)
	}
}

// pump carries bytes from a side to the other until it ends, fails, or is told
// to leave.
func (p *pumps) pump(from side) {
	src := &p.ends[from]
	if first := src.rest; len(first) > 0 {
		src.rest = nil
		p.read(from, first)
		if !p.write(from, first) {
			return
		}
	}
	for {
		b, n, err := src.input.read(int(p.limit))
		if n > 0 {
			p.read(from, b.b[:n])
			ok := p.write(from, b.b[:n])
			b.free()
			if !ok {
				return
			}
		}
		switch {
		case err == io.EOF:
			p.end(from)
			return
		case err != nil:
			p.fail(from, err)
			return
		}
	}
}

// write sends to the other side, waiting as long as it takes, and reports
// whether all was taken.
func (p *pumps) write(from side, b []byte) bool {
	to := from.other()
	p.shard.held.Add(int64(len(b)))
	n, err := p.ends[to].conn.Write(b)
	p.shard.held.Add(-int64(len(b)))
	p.touch()
	if err == nil {
		return true
	}
	p.ends[from].rest = bytes.Clone(b[n:])
	p.broke(to, err)
	return false
}

// end passes a side's FIN on. A connection without half-close ends at once.
func (p *pumps) end(from side) {
	if !p.endedFirst(from) {
		return // the one who leaves last closes
	}
	if err := resetBefore(p.ends[from].conn); err != nil {
		p.fail(from, err)
		return
	}
	to := from.other()
	half, ok := p.ends[to].conn.(interface{ CloseWrite() error })
	if !ok {
		p.close(endedBy[from])
	} else if err := half.CloseWrite(); err != nil {
		p.broke(to, err)
	}
}

// endedFirst notes that a side has ended and reports whether the other goes on.
func (p *pumps) endedFirst(s side) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reason != 0 || p.ended != 0 {
		return false
	}
	p.ended = endedBy[s]
	return true
}

// resetBefore tells a reset that looks like a FIN, because the pump that writes
// to the same socket has had the error of it and it is reported once. It must
// not be asked when a FIN was sent.
func resetBefore(c net.Conn) error {
	if tc := tcpBelow(c); tc != nil {
		return tc.CloseRead() // ENOTCONN after a reset, nothing to close after a FIN
	}
	return nil
}

// fail ends the tunnel because a side can be read no more.
func (p *pumps) fail(s side, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide(abortedBy[s], err)
	p.interrupt()
}

// broke ends the tunnel because a side takes no more bytes. What it said before
// is passed on first: a backend that closes with unread input resets the
// connection behind its last message.
func (p *pumps) broke(s side, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.decide(abortedBy[s], err) {
		return
	}
	limit := time.Now().Add(lastWords)
	if p.ends[s].conn.SetReadDeadline(limit) != nil || p.ends[s.other()].conn.SetWriteDeadline(limit) != nil {
		p.interrupt()
	}
}

// interrupt has both pumps leave, whatever they wait for. It is called with mu
// held.
func (p *pumps) interrupt() {
	for s := range p.ends {
		if c := p.ends[s].conn; c.SetDeadline(time.Unix(1, 0)) != nil {
			c.Close()
		}
	}
}

func (p *pumps) close(reason Reason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 2 || p.reason == Detached {
		return // the connections are no longer ours
	}
	p.decide(reason, nil)
	p.interrupt()
}

// hangUp closes the connections when both pumps have left: with a RST after an
// abort and where bytes are dropped.
func (p *pumps) hangUp() {
	aborted := p.reason == ClientAborted || p.reason == BackendAborted
	for s := range p.ends {
		switch c := p.ends[s].conn; {
		case p.reason == Detached:
		case aborted || len(p.ends[side(s).other()].rest) > 0:
			reset(c)
		default:
			c.Close()
		}
	}
}

// reset closes c so that the peer can tell it from an end: with a RST, and a
// TLS connection without its close_notify.
func reset(c net.Conn) {
	if tc := tcpBelow(c); tc != nil {
		_ = tc.SetLinger(0) // fails on a socket that is broken already
		tc.Close()
		return
	}
	c.Close()
}

func (p *pumps) detach() (Handover, error) {
	conns := [2]net.Conn{p.ends[client].conn, p.ends[backend].conn}
	if !bareTCP(conns) {
		return Handover{}, errors.ErrUnsupported
	}
	p.mu.Lock()
	ok := p.decide(Detached, nil)
	if ok {
		p.interrupt()
	}
	p.mu.Unlock()
	if !ok {
		return Handover{}, ErrClosed
	}
	<-p.gone
	for _, c := range conns {
		// It fails on a broken socket only, which the next to read finds out.
		_ = c.SetDeadline(time.Time{})
	}
	return Handover{
		Client:      conns[client],
		Backend:     conns[backend],
		FromClient:  p.ends[client].rest,
		FromBackend: p.ends[backend].rest,
	}, nil
}
