package http1

import "syscall"

// output is the write half's buffer: the bytes that wait to be flushed.
type output struct {
	out      []byte
	writeErr error
	given    int64
	toSend   []byte        // of the write under way
	sendErr  syscall.Errno // of that, 0 for none
}

// Out returns the bytes that wait to be flushed; append to it and hand the
// result to SetOut. The buffer is taken from a pool on first use and goes back
// in Flush.
func (c *Conn) Out() []byte {
	if c.out == nil {
		c.out = getBuffer(smallSize)[:0]
	}
	return c.out
}

// SetOut replaces the bytes that wait to be flushed. The Conn owns out from
// now on and may pool its memory: pass only what was appended to Out or Reserve.
func (c *Conn) SetOut(out []byte) { c.out = out }

// Reserve is Out with room for n more bytes, so that appending a large head
// does not allocate: a forwarder passes HeadBytes plus what it adds.
func (c *Conn) Reserve(n int) []byte {
	if c.out == nil {
		c.out = getBuffer(n)[:0]
	} else if n > cap(c.out)-len(c.out) {
		b := getBuffer(len(c.out) + n)
		k := copy(b, c.out)
		putBuffer(c.out)
		c.out = b[:k]
	}
	return c.out
}

// Sent returns how many bytes were written to the connection so far.
func (c *Conn) Sent() int64 { return c.given }

// Flush writes what Out holds, in one call, and gives the buffer back. After
// an error the write half is dead: every further call returns it.
func (c *Conn) Flush() error {
	if c.writeErr != nil {
		return c.writeErr
	}
	if len(c.out) == 0 {
		c.dropOutput()
		return nil
	}
	c.writeErr = c.write(c.out)
	c.dropOutput()
	return c.writeErr
}

// write sends all of p and counts what the connection took.
func (c *Conn) write(p []byte) error {
	if c.rc == nil || len(p) == 0 {
		n, err := c.nc.Write(p)
		c.given += int64(n)
		return err
	}
	c.toSend, c.sendErr = p, 0
	err := c.rc.Write(c.onSend)
	c.given += int64(len(p) - len(c.toSend))
	c.toSend = nil
	if err == nil && c.sendErr != 0 {
		err = c.ioError("write", c.sendErr)
	}
	return err
}

// sendReady is called by the runtime's poller: it sends what the socket takes
// and returns false to wait for room.
func (c *Conn) sendReady(fd uintptr) bool {
	n, errno := send(fd, c.toSend)
	c.toSend = c.toSend[n:]
	if errno == syscall.EAGAIN {
		return false
	}
	c.sendErr = errno
	return errno != 0 || len(c.toSend) == 0
}

func (c *Conn) dropOutput() {
	putBuffer(c.out)
	c.out = nil
}
