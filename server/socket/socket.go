// Package socket makes system calls on sockets that Go's scheduler is not told of.
//
// None of them waits, whatever the mode of the socket, so the scheduler need not know. It
// matters for those that take long though they do not wait: a send over loopback runs the
// receiver's half of TCP as well, and a scheduler that knows of it takes the processor
// away, wakes another thread for it, and watches all threads every 20 µs from then on.
//
// The calls take descriptors, for those who wait with an epoll of their own. A Conn is a
// net.Conn, which waits in the runtime's poller.
package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Conn is a TCP connection that reads and writes with Recv and Send. One goroutine may
// read at a time.
type Conn struct {
	*net.TCPConn
	raw syscall.RawConn

	// Owned by who reads; onRead is bound once.
	onRead func(fd uintptr) bool
	buf    []byte
	n      int
	err    error
}

// Quick returns a connection as a Conn, if it is one of TCP, and itself if not.
func Quick(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	c := &Conn{TCPConn: tcp, raw: raw}
	c.onRead = func(fd uintptr) bool {
		c.n, c.err = Recv(fd, c.buf, 0)
		return !errors.Is(c.err, unix.EAGAIN)
	}
	return c
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	c.buf = p
	err := c.raw.Read(c.onRead)
	c.buf = nil
	switch {
	case err != nil:
		return 0, err
	case c.err != nil:
		return 0, os.NewSyscallError("recvfrom", c.err)
	case c.n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return c.n, nil
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (sent int, err error) {
	var failed error
	err = c.raw.Write(func(fd uintptr) bool {
		for sent < len(p) && failed == nil {
			var n int
			if n, failed = Send(fd, p[sent:], false); errors.Is(failed, unix.EAGAIN) {
				failed = nil
				return false
			}
			sent += n
		}
		return true
	})
	if err == nil {
		err = os.NewSyscallError("sendto", failed)
	}
	return sent, err
}
