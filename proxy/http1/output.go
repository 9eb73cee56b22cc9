package http1

// output is the write half's buffer: the bytes that wait to be flushed.
type output struct {
	out      []byte
	writeErr error
	given    int64
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
	n, err := c.nc.Write(c.out)
	c.given += int64(n)
	c.dropOutput()
	c.writeErr = err
	return err
}

func (c *Conn) dropOutput() {
	putBuffer(c.out)
	c.out = nil
}
