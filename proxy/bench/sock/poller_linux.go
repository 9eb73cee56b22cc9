package sock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Token names a socket in events. Generation lets a reader skip events of a
// socket that was closed while they waited in the same batch.
type Token struct {
	Index, Generation int32
}

// Event says what can be done with a socket. With Closed set the peer will
// send no more, so it must be read up to its end: no further event will come.
type Event struct {
	Token                      Token
	Readable, Writable, Closed bool
}

// Poller is an edge-triggered epoll: an event is told once, then the socket
// must be read until it has no more.
type Poller struct {
	fd     int
	raw    []unix.EpollEvent
	events []Event
}

// batch is how many events one Wait takes at most.
const batch = 256

// NewPoller makes an empty one.
func NewPoller() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &Poller{fd: fd, raw: make([]unix.EpollEvent, batch), events: make([]Event, 0, batch)}, nil
}

// Close frees the poller, not its sockets.
func (p *Poller) Close() { unix.Close(p.fd) }

// Add watches a socket for reading and, if writes, for becoming writable. A
// closed socket leaves by itself.
func (p *Poller) Add(fd int, t Token, writes bool) error {
	mask := uint32(unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET)
	if writes {
		mask |= unix.EPOLLOUT
	}
	e := unix.EpollEvent{Events: mask, Fd: t.Index, Pad: t.Generation}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		return fmt.Errorf("epoll: add a socket: %w", err)
	}
	return nil
}

// Wait returns the next events, none after the timeout or when a signal came; a
// negative timeout waits without end. The slice is good until the next call.
func (p *Poller) Wait(timeout time.Duration) ([]Event, error) {
	ms := -1
	if timeout >= 0 {
		ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	n, err := unix.EpollWait(p.fd, p.raw, ms)
	if err == unix.EINTR {
		n, err = 0, nil
	}
	if err != nil {
		return nil, fmt.Errorf("epoll: wait: %w", err)
	}
	p.events = p.events[:0]
	for _, e := range p.raw[:n] {
		p.events = append(p.events, Event{
			Token:    Token{Index: e.Fd, Generation: e.Pad},
			Readable: e.Events&(unix.EPOLLIN|unix.EPOLLERR|unix.EPOLLHUP|unix.EPOLLRDHUP) != 0,
			Writable: e.Events&unix.EPOLLOUT != 0,
			Closed:   e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0,
		})
	}
	return p.events, nil
}

// Waker wakes a Poller from another goroutine.
type Waker struct{ fd int }

// NewWaker makes one that shows up in p as readable under t.
func NewWaker(p *Poller, t Token) (*Waker, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	if err := p.Add(fd, t, false); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &Waker{fd: fd}, nil
}

// Wake makes Wait return.
func (w *Waker) Wake() error {
	if _, err := unix.Write(w.fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		return fmt.Errorf("wake: %w", err)
	}
	return nil
}

// Close frees the waker.
func (w *Waker) Close() { unix.Close(w.fd) }
