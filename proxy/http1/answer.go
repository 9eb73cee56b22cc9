package http1

import "syscall"

// ask is what askReady did, for AwaitAnswer.
type ask struct {
	sent  int  // bytes of Out
	asked bool // all were sent
	full  bool // the socket had no room for all
}

// AwaitAnswer flushes a request that is whole in Out and blocks until the
// first bytes of the answer are Buffered; with nothing in Out it is
// AwaitReadable. On a socket it is a system call cheaper than Flush and
// AwaitReadable: one look at the socket serves to see that the connection is
// alive, as Pool.Get does, and to arm the poller. Together with Pool.Take that
// makes three calls of what a request costs at a backend.
//
// If a connection that was used before has been closed, or has spoken, before it
// was asked this time, AwaitAnswer returns ErrStale and has sent nothing: the
// request may go out on another connection, whatever its method, and still waits
// in Out. Other errors are those of Flush and AwaitReadable; after a deadline it
// may be called again to wait on. It uses both halves of the Conn.
func (c *Conn) AwaitAnswer() error {
	if len(c.out) == 0 {
		return c.AwaitReadable()
	}
	if c.r < c.w {
		return ErrStale
	}
	if c.rc == nil {
		if c.used() && c.Probe() != Quiet {
			return ErrStale
		}
		if err := c.Flush(); err != nil {
			return err
		}
		return c.AwaitReadable()
	}
	if c.writeErr != nil {
		return c.writeErr
	}
	c.dropInput()
	c.want = smallSize
	c.ask = ask{}
	err := c.rc.Read(c.onAsk)
	switch {
	case c.asked:
		c.given += int64(c.sent)
		c.dropOutput()
	case err != nil:
		return err
	case c.full:
		return c.askSlowly()
	}
	if err == nil {
		err = c.got
	}
	return err
}

// used reports whether anything was ever sent or received.
func (c *Conn) used() bool { return c.given+c.taken > 0 }

// askReady is called by the runtime's poller. It looks, sends and returns
// false: what the backend sends from the look on wakes the poller, so nothing
// need be read to find out that it has not answered yet.
func (c *Conn) askReady(fd uintptr) bool {
	if c.asked {
		return c.readReady(fd)
	}
	if c.used() {
		if _, errno := recv(fd, c.one[:], syscall.MSG_PEEK); errno != syscall.EAGAIN {
			c.got = ErrStale
			return true
		}
	}
	n, errno := send(fd, c.out)
	switch {
	case n == len(c.out):
		c.sent, c.asked = n, true
		return false
	case errno == 0 || errno == syscall.EAGAIN:
		c.sent, c.full = n, true
	default:
		c.writeErr = c.ioError("write", errno)
		c.got = c.writeErr
	}
	return true
}

// askSlowly sends the rest of a request that the socket had no room for.
func (c *Conn) askSlowly() error {
	c.given += int64(c.sent)
	c.writeErr = c.write(c.out[c.sent:])
	c.dropOutput()
	if c.writeErr != nil {
		return c.writeErr
	}
	return c.AwaitReadable()
}
