package endpoint

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsproxy/dsproxy/server/socket"
)

// Door accepts the connections of clients. Those that ask for a WebSocket in a plain
// way are the Loops' from the beginning. It only looks at what the others say, without
// taking it from the socket, and is the net.Listener that gives them to net/http: what
// is unusual, faulty or slow, is answered there and nowhere else.
//
// One of the Loops lets clients in: it reads them next, and need not be woken up for it.
type Door struct {
	addr   net.Addr
	config DoorConfig

	begin  sync.Once
	others chan net.Conn
	closed chan struct{}

	mu   sync.Mutex // before the loop's
	fd   int        // guarded by mu: the listening socket; -1 when it is closed
	loop *loop      // guarded by mu: who lets in
	// pause, guarded by mu, is how long clients wait outside, if they cannot be let in.
	pause time.Duration
}

// NewDoor makes a Door in place of a listener. It lets clients in from the first
// Accept on, when the Loops run.
func NewDoor(l *net.TCPListener, c DoorConfig) (net.Listener, error) {
	defer l.Close()
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("socket of the listener: %w", err)
	}
	// The runtime's poller does not know the copy, and wakes nobody up for it.
	fd := -1
	controlErr := raw.Control(func(of uintptr) {
		if err = setOptions(int(of)); err == nil {
			fd, err = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0)
		}
	})
	if err := errors.Join(controlErr, err); err != nil {
		return nil, fmt.Errorf("socket of the listener: %w", err)
	}
	return &Door{addr: l.Addr(), fd: fd, config: c, others: make(chan net.Conn, 64), closed: make(chan struct{})}, nil
}

// setOptions sets those of a listener that its connections begin with: what package net
// gives each of them.
func setOptions(fd int) error {
	for _, o := range []struct{ level, option, value int }{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.option, o.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

// Accept implements net.Listener, for net/http.
func (d *Door) Accept() (net.Conn, error) {
	d.begin.Do(func() { go d.open() })
	select {
	case c := <-d.others:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (d *Door) Addr() net.Addr { return d.addr }

// Close implements net.Listener. Nobody is let in any more; who has not said yet what
// it wants may go on until the Loops end.
func (d *Door) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return net.ErrClosed
	}
	socket.Close(d.fd) // the kernel takes it from the loop
	d.fd = -1
	close(d.closed)
	d.refuse()
	return nil
}

// open has a loop let clients in, when there is one.
func (d *Door) open() {
	select {
	case <-d.config.Loops.begun:
	case <-d.closed:
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.config.Loops.running()
	if d.fd < 0 || len(list) == 0 {
		return // all ends
	}
	d.loop = list[0]
	d.admit()
}

// admit has the loop go on; mu is held.
func (d *Door) admit() {
	if err := d.loop.admit(d, d.fd); err != nil && !errors.Is(err, net.ErrClosed) {
		d.wait(err)
	}
}

// atOnce is how many are let in before those who are in get their turn.
const atOnce = 64

// letIn lets in those who are at the door. The loop calls it.
func (d *Door) letIn() {
	for range atOnce {
		fd, remote, err := d.accept()
		if err != nil {
			return
		}
		d.enter(fd, remote)
	}
}

// accept takes the next connection; an error is that there is none for now.
func (d *Door) accept() (fd int, remote netip.AddrPort, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.fd >= 0 {
		fd, remote, err = socket.Accept(uintptr(d.fd))
		switch err {
		case nil:
			d.pause = 0
			return fd, remote, nil
		case unix.ECONNABORTED:
		case unix.EAGAIN:
			return 0, remote, err
		default: // there are no descriptors left, as a rule
			if d.loop.forget(d.fd) == nil {
				d.wait(err)
			}
			return 0, remote, err
		}
	}
	return 0, remote, net.ErrClosed
}

// wait lets nobody in for a while; mu is held.
func (d *Door) wait(why error) {
	first := d.pause == 0
	d.pause = min(max(2*d.pause, 5*time.Millisecond), time.Second)
	time.AfterFunc(d.pause, func() {
		d.mu.Lock()
		if d.fd >= 0 {
			d.admit()
		}
		d.mu.Unlock()
		if first { // not before: the log may take its time, and the loop has none
			d.config.Log.Warn("clients have to wait outside", "err", why)
		}
	})
}

// refuse hangs up on those whom net/http will not accept any more.
func (d *Door) refuse() {
	for {
		select {
		case c := <-d.others:
			_ = c.Close()
		default:
			return
		}
	}
}

// enter has a loop wait for what a connection says.
func (d *Door) enter(fd int, remote netip.AddrPort) {
	if !d.config.Enter() {
		socket.Close(fd)
		d.config.Leave()
		return
	}
	g := &guest{door: d, remote: remote}
	c := &wsConn{loops: d.config.Loops, fd: fd, guest: g, end: g.leave}
	c.closing.Store(true)
	g.timeout = time.AfterFunc(d.config.HeaderTimeout, c.cut)
	if d.config.Loops.lodge(c) {
		return
	}
	g.pass(c)
	c.finish()
}
