package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// loop reads many clients on one goroutine.
type loop struct {
	epoll   int
	clients map[int32]*client
	events  [512]unix.EpollEvent
	buf     [128 << 10]byte
}

func newLoop() (*loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &loop{epoll: fd, clients: make(map[int32]*client)}, nil
}

// add has on called with the payload of each frame of c.
func (l *loop) add(c *client, on func(payload []byte) error) error {
	c.onData = on
	l.clients[int32(c.fd)] = c
	for _, payload := range c.queue {
		if err := on(payload); err != nil {
			return err
		}
	}
	c.queue = nil
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.fd)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, c.fd, &event); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

func (l *loop) close() {
	_ = unix.Close(l.epoll)
	for _, c := range l.clients {
		c.close()
	}
}

// turn waits for data, at most until a time, and reads what has come.
func (l *loop) turn(until time.Time) error {
	wait := max(0, int(time.Until(until).Milliseconds()))
	n, err := retry(func() (int, error) { return unix.EpollWait(l.epoll, l.events[:], wait) })
	if err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	for _, e := range l.events[:n] {
		c := l.clients[e.Fd]
		n, err := c.read(l.buf[:])
		if err != nil {
			return err
		}
		if err := c.in.feed(l.buf[:n], c.onData); err != nil {
			return err
		}
	}
	return nil
}
