package tunnel

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// pair is a tunnel in an epoll loop. Its lock is the tunnel's mu: the loop
// holds it while it moves bytes, others to close or to detach.
type pair struct {
	Tunnel

	// set before the pair is in its shard
	loop *loop

	// guarded by mu
	dialed *dialed // until the pair is started, if the backend was dialed here
	ends   [2]end
	closed bool // the sockets are gone

	// owned by the loop
	hot bool // is in loop.hot
}

// end is one socket of a pair, and the direction that starts there. What the
// kernel said is believed until a call has shown otherwise.
type end struct {
	fd   int
	held held // read here, not yet taken by the other side

	readable bool
	// searching: something else than bytes may be behind the bytes (a FIN,
	// an error, the urgent mark), so that a short read does not mean that
	// there is no more.
	searching bool
	fin       bool // a FIN is behind the bytes, and nothing else
	broken    bool // reset or failed; it may still have last words to read
	full      bool // took less than it was sent; EPOLLOUT will follow
	added     bool // to epoll
	armed     bool // for EPOLLOUT
	ended     bool // read to the FIN
}

// start is Relay.Start for a pair of this loop.
func (l *loop) start(r *Relay, conns [2]net.Conn, first [2][]byte, o Options, done func(Stats)) (*Tunnel, error) {
	p := &pair{loop: l}
	p.way = p
	p.prepare(r, &l.shard, o, done)
	for s, c := range conns {
		fd, err := takeSocket(c.(*net.TCPConn))
		if err != nil {
			if side(s) == backend {
				hangUp(p.ends[client].fd, false)
			}
			conns[backend].Close()
			return nil, fmt.Errorf("taking over a socket: %w", err)
		}
		p.ends[s].fd = fd
	}
	p.mu.Lock()
	if !l.add(&p.Tunnel) {
		p.hangUp([2]bool{})
		p.mu.Unlock()
		return nil, ErrClosed
	}
	return p.begin(first)
}

// startDialed is Relay.Start for a backend that the loop knows already.
func (d *dialed) start(conn *net.TCPConn, first [2][]byte, o Options, done func(Stats)) (*Tunnel, error) {
	p := d.pair
	p.prepare(p.relay, p.shard, o, done)
	fd, err := takeSocket(conn)
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("taking over a socket: %w", err)
	}
	p.mu.Lock()
	if d.closed || !p.shard.start(&p.Tunnel) {
		p.mu.Unlock()
		hangUp(fd, false)
		d.Close()
		return nil, ErrClosed
	}
	p.dialed = nil
	p.ends[client].fd = fd
	// What the loop was told so far, it told the one who asked for the upgrade.
	e := &p.ends[backend]
	e.readable, e.searching, e.full = true, true, false
	t, err := p.begin(first)
	if err == nil {
		p.look()
	}
	return t, err
}

// look reads what has come from the backend before the loop read it.
func (p *pair) look() {
	b := newBlock(smallBlock)
	for p.ready(b.b[:smallBlock], client, 0) {
	}
	b.free()
}

// begin lets the pair go; it is called with mu held.
func (p *pair) begin(first [2][]byte) (*Tunnel, error) {
	err := p.open(first)
	closed := p.closed
	p.mu.Unlock()
	if err != nil {
		p.done = nil
		p.finish()
		return nil, fmt.Errorf("adding a socket to epoll: %w", err)
	}
	p.relay.wheel.add(&p.Tunnel)
	if closed {
		p.finish()
	}
	return &p.Tunnel, nil
}

// open passes the bytes read before Start on and then lets the loop have the
// sockets. After an error the pair is closed.
func (p *pair) open(first [2][]byte) error {
	for s, b := range first {
		if len(b) > 0 {
			p.read(side(s), b)
			p.write(side(s), b, send)
		}
	}
	for s := range p.ends {
		e := &p.ends[s]
		if e.broken {
			// Nobody has read anything yet: there are no last words but
			// those that are lost with any abort.
			p.abort(side(s), nil)
			return nil
		}
		if e.added {
			continue
		}
		if err := p.control(unix.EPOLL_CTL_ADD, side(s)); err != nil {
			p.hangUp([2]bool{})
			return err
		}
	}
	return nil
}

// ready is called by the loop when the kernel has something to tell of one
// side, or with no events to go on. It reports whether the pair has more to do
// already.
func (p *pair) ready(buf []byte, s side, events uint32) (again bool) {
	p.mu.Lock()
	if p.dialed != nil {
		p.dialed.event(events)
	}
	if p.closed || p.dialed != nil {
		p.mu.Unlock()
		return false
	}
	e := &p.ends[s]
	if events&^unix.EPOLLOUT != 0 {
		e.readable = true
	}
	if events&^(unix.EPOLLIN|unix.EPOLLOUT) != 0 {
		e.searching = true
		e.fin = events&(unix.EPOLLRDHUP|unix.EPOLLPRI|unix.EPOLLERR) == unix.EPOLLRDHUP
	}
	if events&unix.EPOLLOUT != 0 {
		e.full = false
	}
	if events&unix.EPOLLERR != 0 {
		e.broken = true
	}
	again = p.move(buf, client)
	again = p.move(buf, backend) || again
	again = p.bury(buf) || again
	closed := p.closed
	p.mu.Unlock()
	if closed {
		p.finish()
		return false
	}
	return again
}

// move carries bytes from a side to the other until there are no more, the
// other takes no more, or the pair's share of the turn is used up, which it
// reports.
func (p *pair) move(buf []byte, from side) (again bool) {
	src, dst := &p.ends[from], &p.ends[from.other()]
	if p.closed || len(src.held.rest) > 0 && (dst.full || !p.flush(from)) {
		return false
	}
	buf = buf[:min(len(buf), int(p.limit))]
	for share := turnBudget; src.readable && !src.ended && !dst.broken; {
		if share <= 0 {
			return true
		}
		n, err := receive(src.fd, buf)
		switch {
		case err == unix.EAGAIN:
			src.readable, src.searching = false, false
			return false
		case err != nil:
			p.abort(from, err)
			return false
		case n == 0:
			p.end(from)
			return false
		}
		src.readable = n == len(buf) || src.searching
		share -= n
		p.read(from, buf[:n])
		if n < len(buf) && src.fin {
			if p.write(from, buf[:n], sendLast) {
				p.end(from) // without asking for it
			}
			return false
		}
		if !p.write(from, buf[:n], send) {
			return false
		}
	}
	return false
}

// write sends to the other side and keeps what it does not take. It reports
// whether all was taken.
func (p *pair) write(from side, b []byte, send func(fd int, p []byte) (int, error)) bool {
	to := from.other()
	n, err := send(p.ends[to].fd, b)
	if err != nil {
		p.broke(to, err)
		return false
	}
	if n == len(b) {
		return true
	}
	p.ends[from].held.keep(b[n:])
	p.shard.held.Add(int64(len(b) - n))
	p.stall(to)
	return false
}

// flush sends what is held for the other side and reports whether all of it
// was taken.
func (p *pair) flush(from side) bool {
	src, to := &p.ends[from], from.other()
	n, err := send(p.ends[to].fd, src.held.rest)
	if err != nil {
		p.broke(to, err)
		return false
	}
	p.touch()
	p.shard.held.Add(-int64(n))
	src.held.taken(n)
	if len(src.held.rest) > 0 {
		p.stall(to)
		return false
	}
	return true
}

// stall notes that a side is full and has the kernel tell when it is not.
func (p *pair) stall(to side) {
	e := &p.ends[to]
	e.full = true
	if e.armed || !e.added {
		return // is told, or will be when it is added
	}
	if err := p.control(unix.EPOLL_CTL_MOD, to); err != nil {
		p.broke(to, err)
	}
}

// control adds a socket to epoll or arms it for EPOLLOUT.
//
// Edge-triggered: on small messages it costs the same as level-triggered
// (measured), but neither a stop of reading nor a FIN or an error that was seen
// takes another call to be quiet. Most sockets are never full, and being armed
// from the start would cost each tunnel a wake-up for nothing.
func (p *pair) control(op int, s side) error {
	e := &p.ends[s]
	event := unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLPRI | unix.EPOLLET,
		Fd:     p.slot<<1 | int32(s),
		Pad:    p.gen,
	}
	if e.full {
		event.Events |= unix.EPOLLOUT
		e.armed = true
	}
	e.added = true
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.loop.fd, op, e.fd, &event))
}
