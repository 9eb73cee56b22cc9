package http1

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// Conn is one side of a proxied exchange: a client's connection or one to a
// backend. See the package doc for its life, validity and concurrency.
type Conn struct {
	// Set by NewConn.
	nc      net.Conn
	rc      syscall.RawConn    // nil when nc cannot be read by readiness
	socket  syscall.RawConn    // rc, or the one below TLS, or nil
	onRead  func(uintptr) bool // bound once, so that a read allocates nothing
	onAsk   func(uintptr) bool
	onSend  func(uintptr) bool
	onProbe func(uintptr)
	vectors bool // nc writes several slices in one system call

	readDeadline, writeDeadline deadline

	// Owned by the read half.
	input
	headKeepAlive bool // of the last head, false after an interim response
	emptyLine     bool // an empty line was skipped before the head being read
	body          BodyReader

	// Owned by the write half.
	output
	writer BodyWriter
	ask

	// Written by Probe; probing admits one at a time.
	probing atomic.Bool
	state   State
	peek    [1]byte
}

// NewConn wraps nc. A *net.TCPConn, *net.UnixConn or BareSocket is read by
// readiness, so that no buffer is held while waiting; of any other type the Await methods
// hold one byte, and other reads one buffer.
func NewConn(nc net.Conn) *Conn {
	c := &Conn{nc: nc}
	c.body.c, c.writer.c = c, c
	c.readDeadline.nc, c.writeDeadline.nc, c.writeDeadline.write = nc, nc, true
	c.body.state, c.writer.closed = bodyDone, true
	if c.rc = rawConn(nc); c.rc != nil {
		_, other := nc.(BareSocket)
		c.socket, c.vectors = c.rc, !other
		c.onRead, c.onAsk, c.onSend = c.readReady, c.askReady, c.sendReady
	} else if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		c.socket = rawConn(t.NetConn())
	}
	if c.socket != nil {
		c.onProbe = c.probe
	}
	return c
}

// BareSocket is a connection of another type that is nothing but a stream socket.
type BareSocket interface {
	syscall.Conn
	BareSocket()
}

// rawConn returns nil unless nc is itself a stream socket: another type may
// hold bytes that its socket no longer has.
func rawConn(nc net.Conn) syscall.RawConn {
	var rc syscall.RawConn
	switch s := nc.(type) {
	case *net.TCPConn:
		rc, _ = s.SyscallConn()
	case *net.UnixConn:
		rc, _ = s.SyscallConn()
	case BareSocket:
		rc, _ = s.SyscallConn()
	}
	return rc
}

// NewConnPending is NewConn for a connection from which pending has already
// been read; pending is copied and parsed first.
func NewConnPending(nc net.Conn, pending []byte) *Conn {
	c := NewConn(nc)
	if len(pending) > 0 {
		c.in = getBuffer(len(pending))
		c.w = copy(c.in, pending)
	}
	return c
}

// NetConn returns the wrapped connection.
func (c *Conn) NetConn() net.Conn { return c.nc }

// SetReadTimeout moves the deadline of reads to d after now; d of 0 removes
// it. It is coarse: the deadline fires not before now+d and at most
// min(d/8, 1 s) later, and costs no timer operation while the one set before
// lies within that span.
func (c *Conn) SetReadTimeout(now time.Time, d time.Duration) { c.readDeadline.within(now, d) }

// SetWriteTimeout is SetReadTimeout for writes.
func (c *Conn) SetWriteTimeout(now time.Time, d time.Duration) { c.writeDeadline.within(now, d) }

// InterruptRead makes a read that blocks now, and later ones, fail with
// os.ErrDeadlineExceeded until Resume. Timeouts set meanwhile have no effect,
// so a goroutine that is about to block is stopped for certain.
func (c *Conn) InterruptRead() { c.readDeadline.interrupt() }

// InterruptWrite is InterruptRead for writes.
func (c *Conn) InterruptWrite() { c.writeDeadline.interrupt() }

// Resume ends interruptions; the timeouts must then be set again.
func (c *Conn) Resume() {
	c.readDeadline.resume()
	c.writeDeadline.resume()
}

// Reusable reports whether the exchange on a backend's connection is over
// without a doubt, so that another may follow: the last head said keep-alive,
// its body was read to the end, nothing is buffered behind it, all that was
// written is complete and flushed, and no error happened.
func (c *Conn) Reusable() bool {
	return c.headKeepAlive && c.readErr == nil && c.body.Done() && c.r == c.w &&
		c.writeErr == nil && c.writer.closed && len(c.out) == 0
}

// Detach gives the connection away (after a 101): pending holds the bytes read
// but not consumed, which the new owner must treat as first; it is a copy of
// its own, nil when there are none. Bytes not yet flushed are dropped, so
// Flush before. The deadlines set stay in force. The Conn is dead afterwards.
func (c *Conn) Detach() (nc net.Conn, pending []byte) {
	if c.r < c.w {
		pending = append([]byte(nil), c.in[c.r:c.w]...)
	}
	c.dropBuffers()
	c.readErr, c.writeErr = ErrDetached, ErrDetached
	return c.nc, pending
}

// CloseWrite flushes nothing and shuts down the sending side; for a connection
// that has no such thing it returns errors.ErrUnsupported.
func (c *Conn) CloseWrite() error {
	if h, ok := c.nc.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection and gives its buffers back. Unlike Abort it may
// not be called while another goroutine uses a half of the Conn.
func (c *Conn) Close() error {
	if errors.Is(c.readErr, ErrDetached) {
		return ErrDetached
	}
	c.dropBuffers()
	c.readErr, c.writeErr = net.ErrClosed, net.ErrClosed
	return c.nc.Close()
}

// Abort closes the connection under whoever uses it, from any goroutine; its
// owner must still call Close.
func (c *Conn) Abort() { c.nc.Close() }

// CloseLingering closes after an answer that the peer may not have read while
// it still sends: it flushes, shuts down the sending side, discards at most
// max bytes for at most d until the peer closes, and closes. Closing at once
// would make the kernel reset the connection and destroy the answer (RFC 9112
// section 9.6). Where the message before was read to its end and nothing has
// come since, there is nothing to wait for. It works on an interrupted Conn.
func (c *Conn) CloseLingering(max int64, d time.Duration) error {
	c.nc.SetDeadline(time.Now().Add(d))
	if c.Flush() == nil && !c.drained() && c.CloseWrite() == nil {
		c.discard(max)
	}
	return c.Close()
}

// drained reports whether the peer has sent nothing that was not read; a head
// that was rejected never counts as read.
func (c *Conn) drained() bool {
	return c.body.Done() && c.r == c.w && c.Probe() == Quiet
}

// discard reads until the peer closes, an error, or max bytes.
func (c *Conn) discard(max int64) {
	c.Release()
	c.want = smallSize
	for {
		max -= int64(c.w - c.r)
		c.r = c.w
		if max < 0 || c.fill() != nil {
			return
		}
	}
}

func (c *Conn) dropBuffers() {
	c.Release()
	c.r = c.w
	c.dropInput()
	putBuffer(c.out)
	c.out = nil
}

// ioError gives an error of a raw read the shape that nc's own have.
func (c *Conn) ioError(op string, err error) error {
	return &net.OpError{Op: op, Net: c.nc.LocalAddr().Network(), Source: c.nc.LocalAddr(),
		Addr: c.nc.RemoteAddr(), Err: os.NewSyscallError(op, err)}
}
