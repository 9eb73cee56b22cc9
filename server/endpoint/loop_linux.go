package endpoint

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/socket"
)

// poller is an epoll descriptor that is itself waited for in the runtime's poller,
// so that no thread blocks.
type poller struct {
	epoll int
	file  *os.File
	raw   syscall.RawConn
	door  *Door // guarded by the loop's mu: who lets in clients when they come; may be nil
}

func (p *poller) open() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	// Nonblock is what makes os.NewFile hand it to the runtime's poller.
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return os.NewSyscallError("fcntl", err)
	}
	p.epoll, p.file = fd, os.NewFile(uintptr(fd), "epoll")
	p.raw, err = p.file.SyscallConn()
	if err == nil {
		err = p.file.SetReadDeadline(time.Time{}) // fails if the poller did not take it
	}
	if err != nil {
		_ = p.file.Close()
	}
	return err
}

// shut ends gather.
func (p *poller) shut() { _ = p.file.Close() }

// watchSocket adds a socket, edge-triggered. The kernel forgets it when it is
// closed. l.mu is held.
func (l *loop) watchSocket(fd int, id uint64) error {
	event := unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET,
		Fd:     int32(id), Pad: int32(id >> 32),
	}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event))
}

// doorID is the id of the door's events; those of connections are above it.
const doorID = 0

// admit has the loop let in those who come through a door, whose listener is fd.
func (l *loop) admit(d *Door, fd int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	// Not edge-triggered: there may be more than are let in at once.
	event := unix.EpollEvent{Events: unix.EPOLLIN}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	l.door = d
	return nil
}

// forget undoes watchSocket, for a socket that another descriptor keeps open.
func (l *loop) forget(fd int) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, fd, nil))
}

// reader is what a goroutine in charge reads with.
type reader struct {
	buf    []byte
	events [128]unix.EpollEvent
	n      int
	wait   bool // for an event, if there is none
	poll   func(fd uintptr) bool
}

// readSize is how much of a connection is read before others get their turn.
const readSize = 64 << 10

// readers are kept for the goroutines that take over.
var readers = sync.Pool{New: func() any {
	w := &reader{buf: make([]byte, readSize)}
	w.poll = func(fd uintptr) bool {
		w.n = 0
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd,
			uintptr(unsafe.Pointer(&w.events[0])), uintptr(len(w.events)), 0, 0, 0)
		if errno == 0 {
			w.n = int(n)
		}
		return w.n > 0 || !w.wait || errno == unix.EINTR
	}
	return w
}}

func newReader() *reader { return readers.Get().(*reader) }

func (w *reader) free() { readers.Put(w) }

// gather marks the connections that there are events of, and waits for one where nothing
// is ready; it reports false when the loop is closed. Who is at the door is let in.
func (l *loop) gather(w *reader) bool {
	w.wait = !l.waiting()
	if err := l.raw.Read(w.poll); err != nil {
		return false
	}
	if d := l.note(w.events[:w.n]); d != nil {
		d.letIn()
	}
	return true
}

// note marks the connections of events, and returns the door if there is one of it.
func (l *loop) note(events []unix.EpollEvent) (door *Door) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		id := uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32
		if id == doorID {
			door = l.door
			continue
		}
		c := l.conns[id]
		if c == nil {
			continue // it ended after the kernel had noted the event
		}
		if e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			c.reading.drain = true
		}
		l.mark(c)
	}
	return door
}

// read takes what has come; more says that the socket may hold more, and ok that
// the connection goes on.
func (w *reader) read(c *wsConn) (more, ok bool) {
	if c.guest != nil {
		ok = c.guest.look(c, w.buf)
		return ok && c.ending(), ok
	}
	n, err := socket.Recv(uintptr(c.fd), w.buf, 0)
	switch {
	case err == unix.EAGAIN:
		return false, true
	case err != nil || n == 0:
		c.hangUp(session.CloseNormal, "", true)
		return false, false
	case !c.arrived(w.buf[:n]):
		return false, false
	}
	// A read that did not fill the buffer took all there was (epoll(7)), but for
	// the end, which is not told twice.
	return n == len(w.buf) || c.ending(), true
}

// ending says that the socket's end has been reported, or is near: a loop that is closed
// hears of nothing more.
func (c *wsConn) ending() bool {
	l := c.reading.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	return c.reading.drain || l.closed
}
