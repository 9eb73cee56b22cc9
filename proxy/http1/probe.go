package http1

import "syscall"

// State is what Probe saw.
type State uint8

const (
	Quiet    State = iota // open, nothing to read
	Readable              // bytes wait in the socket
	Gone                  // the peer closed or reset
)

// Probe looks at the socket without blocking and without taking bytes from
// it, even while another goroutine is blocked in a read. On connections that
// are not TCP or Unix sockets it looks through NetConn, as *tls.Conn has it,
// and sees the encrypted stream; where there is none it is always Quiet. Bytes
// already Buffered are not its concern.
func (c *Conn) Probe() State {
	if c.socket == nil || !c.probing.CompareAndSwap(false, true) {
		return Quiet
	}
	c.state = Gone
	err := c.socket.Control(c.onProbe)
	s := c.state
	c.probing.Store(false)
	if err != nil {
		return Gone
	}
	return s
}

// probe peeks one byte. It leaves state at Gone for the end of the stream and
// for every error but "nothing there".
func (c *Conn) probe(fd uintptr) {
	n, errno := recv(fd, c.peek[:], syscall.MSG_PEEK)
	switch {
	case n > 0:
		c.state = Readable
	case errno == syscall.EAGAIN:
		c.state = Quiet
	}
}
