package tunnel

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dialed is the backend's connection before Start: a net.Conn over a socket
// that is in the loop of its pair already.
type dialed struct {
	// set by loop.dial
	pair   *pair
	remote netip.AddrPort

	// guarded by pair.mu
	users          int // of the descriptor, which Close leaves to the last
	closed         bool
	reader, writer waiter
}

// waiter is one direction, and who waits in it.
type waiter struct {
	turn sync.Mutex // of those who read, or write; before pair.mu

	// guarded by pair.mu
	ready    bool // the kernel has said so since it was waited for
	waiting  bool
	deadline time.Time
	wake     chan struct{} // made by the first to wait
}

// timers are those of waits with a deadline.
var timers = sync.Pool{New: func() any { return time.NewTimer(time.Hour) }}

// event is called by the loop, with pair.mu held.
func (d *dialed) event(events uint32) {
	if events&^unix.EPOLLOUT != 0 {
		d.reader.ready = true
		d.reader.rouse()
	}
	if events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		d.writer.ready = true
		d.writer.rouse()
	}
}

// rouse has the one who waits look again; pair.mu is held.
func (w *waiter) rouse() {
	if w.waiting {
		w.waiting = false
		w.wake <- struct{}{} // has room: who waited has taken the one before
	}
}

// watch adds the socket to the loop's epoll.
func (d *dialed) watch(writable bool) error {
	d.pair.mu.Lock()
	defer d.pair.mu.Unlock()
	d.pair.ends[backend].full = writable
	return d.pair.control(unix.EPOLL_CTL_ADD, backend)
}

// until calls f until it reports true, and waits for the direction in between.
func (d *dialed) until(w *waiter, f func(fd uintptr) bool) error {
	w.turn.Lock()
	defer w.turn.Unlock()
	for {
		fd, err := d.acquire(w)
		if err != nil {
			return err
		}
		done := f(fd)
		d.release()
		if done {
			return nil
		}
		if err := d.wait(w); err != nil {
			return err
		}
	}
}

// acquire keeps the descriptor open until release. w may be nil.
func (d *dialed) acquire(w *waiter) (uintptr, error) {
	d.pair.mu.Lock()
	defer d.pair.mu.Unlock()
	switch {
	case d.closed:
		return 0, net.ErrClosed
	case w != nil && w.late():
		return 0, os.ErrDeadlineExceeded
	}
	d.users++
	return uintptr(d.pair.ends[backend].fd), nil
}

func (d *dialed) release() {
	d.pair.mu.Lock()
	d.users--
	last := d.closed && d.users == 0
	d.pair.mu.Unlock()
	if last {
		d.free()
	}
}

// wait returns when the kernel has said anything of the direction since the
// last wait.
func (d *dialed) wait(w *waiter) error {
	p := d.pair
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := &p.ends[backend]; w == &d.writer && !e.armed && !d.closed {
		e.full = true
		if err := p.control(unix.EPOLL_CTL_MOD, backend); err != nil {
			return err
		}
	}
	for {
		switch {
		case d.closed:
			return net.ErrClosed
		case w.ready:
			w.ready = false
			return nil
		case w.late():
			return os.ErrDeadlineExceeded
		}
		w.waiting = true
		if w.wake == nil {
			w.wake = make(chan struct{}, 1)
		}
		deadline := w.deadline
		p.mu.Unlock()
		roused := w.sleep(deadline)
		p.mu.Lock()
		if !roused && !w.waiting {
			<-w.wake // it came at the same moment
		}
		w.waiting = false
	}
}

// late reports whether the deadline has passed.
func (w *waiter) late() bool { return !w.deadline.IsZero() && !time.Now().Before(w.deadline) }

// sleep waits to be roused; false means that the deadline came first.
func (w *waiter) sleep(deadline time.Time) (roused bool) {
	if deadline.IsZero() {
		<-w.wake
		return true
	}
	t := timers.Get().(*time.Timer)
	defer timers.Put(t)
	t.Reset(time.Until(deadline))
	select {
	case <-w.wake:
		t.Stop()
		return true
	case <-t.C:
		return false
	}
}

func (d *dialed) setDeadline(w *waiter, t time.Time) {
	d.pair.mu.Lock()
	defer d.pair.mu.Unlock()
	w.deadline = t
	w.rouse()
}

// Close implements net.Conn.
func (d *dialed) Close() error {
	d.pair.mu.Lock()
	if d.closed {
		d.pair.mu.Unlock()
		return net.ErrClosed
	}
	d.closed = true
	d.reader.rouse()
	d.writer.rouse()
	last := d.users == 0
	d.pair.mu.Unlock()
	if last {
		d.free()
	}
	return nil
}

// free closes the socket, which nobody uses any more.
func (d *dialed) free() {
	closeSocket(d.pair.ends[backend].fd)
	d.pair.shard.remove(&d.pair.Tunnel)
	d.pair.relay.tunnels.Done()
}

// leave makes an ordinary connection of it.
func (d *dialed) leave() (net.Conn, error) {
	fd, err := d.acquire(nil)
	if err != nil {
		return nil, ErrClosed
	}
	defer d.Close()
	defer d.release()
	c, err := returnSocket(int(fd))
	if err != nil {
		return nil, fmt.Errorf("giving a socket up: %w", err)
	}
	// epoll forgets a socket by itself only with its last descriptor.
	_ = unix.EpollCtl(d.pair.loop.fd, unix.EPOLL_CTL_DEL, int(fd), nil)
	return c, nil
}

// Read implements net.Conn.
func (d *dialed) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	waited := d.until(&d.reader, func(fd uintptr) bool {
		n, err = receive(int(fd), p)
		return err != unix.EAGAIN
	})
	switch {
	case waited != nil:
		return 0, d.opError("read", waited)
	case err != nil:
		return 0, d.opError("read", os.NewSyscallError("read", err))
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write implements net.Conn.
func (d *dialed) Write(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	waited := d.until(&d.writer, func(fd uintptr) bool {
		var sent int
		sent, err = send(int(fd), p[n:])
		n += sent
		return err != nil || n == len(p)
	})
	switch {
	case waited != nil:
		return n, d.opError("write", waited)
	case err != nil:
		return n, d.opError("write", os.NewSyscallError("write", err))
	}
	return n, nil
}

// CloseWrite sends a FIN.
func (d *dialed) CloseWrite() error {
	fd, err := d.acquire(nil)
	if err != nil {
		return d.opError("close", err)
	}
	defer d.release()
	if err := shutdownWrite(int(fd)); err != nil {
		return d.opError("close", os.NewSyscallError("shutdown", err))
	}
	return nil
}

// LocalAddr implements net.Conn; it asks the kernel and is nil where that has
// nothing to say.
func (d *dialed) LocalAddr() net.Addr {
	fd, err := d.acquire(nil)
	if err != nil {
		return nil
	}
	defer d.release()
	switch a, _ := unix.Getsockname(int(fd)); a := a.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	}
	return nil
}

// RemoteAddr implements net.Conn.
func (d *dialed) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(d.remote) }

// SetDeadline implements net.Conn.
func (d *dialed) SetDeadline(t time.Time) error {
	d.setDeadline(&d.reader, t)
	d.setDeadline(&d.writer, t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (d *dialed) SetReadDeadline(t time.Time) error {
	d.setDeadline(&d.reader, t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (d *dialed) SetWriteDeadline(t time.Time) error {
	d.setDeadline(&d.writer, t)
	return nil
}

// SetKeepAliveConfig is that of net.TCPConn, for whole seconds.
func (d *dialed) SetKeepAliveConfig(c net.KeepAliveConfig) error {
	fd, err := d.acquire(nil)
	if err != nil {
		return d.opError("set", err)
	}
	defer d.release()
	if !c.Enable {
		return setOption(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0)
	}
	seconds := func(d time.Duration) int32 { return int32(max(1, (d+time.Second-1)/time.Second)) }
	return errors.Join(
		setOption(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
		setOption(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds(c.Idle)),
		setOption(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds(c.Interval)),
		setOption(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPCNT, int32(c.Count)),
	)
}

func (d *dialed) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: d.RemoteAddr(), Err: err}
}

// BareSocket says that nothing stands between the connection and its socket.
func (d *dialed) BareSocket() {}

// SyscallConn implements syscall.Conn.
func (d *dialed) SyscallConn() (syscall.RawConn, error) { return (*rawDialed)(d), nil }

// rawDialed is dialed as a syscall.RawConn.
type rawDialed dialed

func (d *rawDialed) Control(f func(fd uintptr)) error {
	fd, err := (*dialed)(d).acquire(nil)
	if err != nil {
		return err
	}
	defer (*dialed)(d).release()
	f(fd)
	return nil
}

func (d *rawDialed) Read(f func(fd uintptr) bool) error {
	return (*dialed)(d).raw("read", &d.reader, f)
}

func (d *rawDialed) Write(f func(fd uintptr) bool) error {
	return (*dialed)(d).raw("write", &d.writer, f)
}

func (d *dialed) raw(op string, w *waiter, f func(fd uintptr) bool) error {
	if err := d.until(w, f); err != nil {
		return d.opError("raw-"+op, err)
	}
	return nil
}
