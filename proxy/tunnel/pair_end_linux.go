package tunnel

import (
	"os"

	"golang.org/x/sys/unix"
)

// end passes a side's FIN on. A side is only read while nothing is held from it,
// so the other has all bytes before the FIN.
func (p *pair) end(from side) {
	to := from.other()
	src, dst := &p.ends[from], &p.ends[to]
	if src.broken {
		p.abort(from, nil)
		return
	}
	src.ended = true
	if dst.ended {
		p.decide(endedBy[to], nil)
		p.hangUp([2]bool{})
		return
	}
	// Not connected: reset, which reading it tells, or closed in order both
	// ways before this tunnel was detached from another.
	if err := shutdownWrite(dst.fd); err != nil && err != unix.ENOTCONN {
		p.broke(to, os.NewSyscallError("shutdown", err))
	}
}

// bury ends the tunnel when a side is broken. What that side said before is
// passed on first, as far as it can be done without waiting: a backend that
// closes with unread input resets the connection behind its last message.
func (p *pair) bury(buf []byte) (again bool) {
	for s := range p.ends {
		if e := &p.ends[s]; e.broken && !p.closed {
			again = p.move(buf, side(s))
			if !p.closed && !again {
				p.abort(side(s), nil)
			}
		}
	}
	return again
}

// broke notes that a side takes no more bytes; bury does the rest.
func (p *pair) broke(s side, err error) {
	e := &p.ends[s]
	e.broken, e.readable, e.searching = true, true, true
	p.decide(abortedBy[s], err)
}

// abort resets both sides. The cause is asked of the socket if not given and
// not known yet.
func (p *pair) abort(s side, err error) {
	if p.reason == 0 && err == nil {
		err = socketError(p.ends[s].fd)
	}
	p.decide(abortedBy[s], err)
	p.hangUp([2]bool{true, true})
}

// hangUp closes both sockets, with a RST where asked for. What is held is
// dropped.
func (p *pair) hangUp(reset [2]bool) {
	p.closed = true
	for s := range p.ends {
		e := &p.ends[s]
		p.shard.held.Add(-int64(len(e.held.rest)))
		e.held.taken(len(e.held.rest))
		hangUp(e.fd, reset[s])
	}
}

func (p *pair) close(reason Reason) {
	p.mu.Lock()
	if d := p.dialed; d != nil {
		p.mu.Unlock()
		d.Close()
		return
	}
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.decide(reason, nil)
	p.hangUp([2]bool{
		client:  len(p.ends[backend].held.rest) > 0,
		backend: len(p.ends[client].held.rest) > 0,
	})
	p.mu.Unlock()
	p.finish()
}
