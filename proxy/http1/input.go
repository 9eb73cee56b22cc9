package http1

import (
	"io"
	"os"
	"syscall"
)

// input is the read half's buffer: in[r:w] are the bytes read and not yet
// consumed. head keeps the memory that the slices of the last Request or
// Response point into; while shared it is the same buffer as in, and only
// bytes behind the head may then be overwritten.
type input struct {
	in      []byte
	r, w    int
	head    []byte
	shared  bool
	want    int // size of the next buffer
	readErr error
	got     error // what readReady found, for its caller
	one     [1]byte
	taken   int64
}

// Buffered returns the bytes read from the connection but not consumed by a
// head or body; valid until the next use of the read half.
func (c *Conn) Buffered() []byte { return c.in[c.r:c.w] }

// Received returns how many bytes have come over the connection so far.
func (c *Conn) Received() int64 { return c.taken }

// AwaitReadable blocks until Buffered is not empty: at once if it is not.
// io.EOF means the peer closed its side. It leaves the head read last valid,
// so it can watch a client while its request is served. A deadline that passes
// is an os.ErrDeadlineExceeded and may be followed by another try.
func (c *Conn) AwaitReadable() error {
	if c.r < c.w {
		return nil
	}
	if c.readErr != nil {
		return c.readErr
	}
	if c.rc != nil {
		c.want = smallSize
		return c.fill()
	}
	c.dropInput()
	n, err := c.nc.Read(c.one[:])
	if n == 0 {
		return err
	}
	c.in = getBuffer(smallSize)
	c.in[0] = c.one[0]
	c.w = 1
	c.taken++
	return nil
}

// AwaitHead is AwaitReadable between two exchanges: it calls Release, so that
// an idle connection holds no buffer.
func (c *Conn) AwaitHead() error {
	c.Release()
	return c.AwaitReadable()
}

// Release gives the buffer of the head read last back to the pool, so that an
// exchange that waits long (a long poll) holds nothing: all slices of its
// Request or Response become invalid, and the last piece of its body. Unread
// bytes are kept.
func (c *Conn) Release() {
	c.unpin()
	if c.body.Done() {
		c.dropInput()
	}
}

// unpin lets go of the last head; in keeps the buffer while it has unread
// bytes.
func (c *Conn) unpin() {
	if c.head != nil && !c.shared {
		putBuffer(c.head)
	}
	c.head, c.shared = nil, false
}

// dropInput gives in back when it holds nothing unread, except to a head that
// still uses it.
func (c *Conn) dropInput() {
	if c.in == nil || c.r < c.w {
		return
	}
	if !c.shared {
		putBuffer(c.in)
	}
	c.in, c.r, c.w, c.shared = nil, 0, 0, false
}

// pin keeps the bytes consumed so far for the head just parsed from them.
func (c *Conn) pin() { c.head, c.shared = c.in, true }

// fill reads at least one byte behind those that are unread; moved tells
// fillMore's callers that these now lie elsewhere.
func (c *Conn) fill() error {
	c.dropInput()
	if c.rc != nil {
		if err := c.rc.Read(c.onRead); err != nil {
			return err
		}
		return c.got
	}
	if c.in == nil {
		c.in = getBuffer(c.want)
	}
	n, err := c.nc.Read(c.in[c.w:])
	if n > 0 {
		c.arrived(n)
		return nil
	}
	c.dropInput()
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// fillMore is fill after making room: by moving the unread bytes to the front
// or to a larger buffer. moved tells that it did; offsets from r stay right.
func (c *Conn) fillMore() (moved bool, err error) {
	if c.r < c.w && c.w == len(c.in) {
		c.makeRoom()
		moved = true
	}
	return moved, c.fill()
}

func (c *Conn) makeRoom() {
	unread := c.w - c.r
	if c.r > 0 && !c.shared {
		copy(c.in, c.in[c.r:c.w])
		c.r, c.w = 0, unread
		return
	}
	size := len(c.in)
	if c.r == 0 {
		size *= 2
	}
	b := getBuffer(size)
	copy(b, c.in[c.r:c.w])
	if !c.shared {
		putBuffer(c.in)
	}
	c.in, c.r, c.w, c.shared = b, 0, unread, false
}

// readReady is called by the runtime's poller: it tries one read and returns
// false to wait. A buffer is taken only for the try.
func (c *Conn) readReady(fd uintptr) bool {
	b := c.in
	if b == nil {
		b = getBuffer(c.want)
	}
	n, errno := recv(fd, b[c.w:], 0)
	if n > 0 {
		c.in, c.got = b, nil
		c.arrived(n)
		return true
	}
	if c.in == nil {
		putBuffer(b)
	}
	switch errno {
	case syscall.EAGAIN:
		return false
	case 0:
		c.got = io.EOF
	default:
		c.got = c.ioError("read", errno)
	}
	return true
}

// arrived counts n bytes into the buffer. One that was filled to the end tells
// of a stream: the next buffer is a large one.
func (c *Conn) arrived(n int) {
	c.w += n
	c.taken += int64(n)
	if c.w == len(c.in) {
		c.want = largeSize
	}
}

// broken makes err the answer of every further read, unless waiting again can
// help.
func (c *Conn) broken(err error) error {
	if !os.IsTimeout(err) {
		c.readErr = err
	}
	return err
}
