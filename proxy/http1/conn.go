package http1

import (
	"net"
	"time"
)

// Conn is one side of a proxied exchange: a client's connection or one to a
// backend. See the package doc for its life, validity and concurrency.
type Conn struct {
	nc net.Conn
}

// NewConn wraps nc. A *net.TCPConn or *net.UnixConn is read by readiness, so
// that no buffer is held while waiting; of any other type AwaitReadable holds
// one byte and other reads one buffer.
func NewConn(nc net.Conn) *Conn { return &Conn{nc: nc} }

// NewConnPending is NewConn for a connection from which pending has already
// been read; pending is copied and parsed first.
func NewConnPending(nc net.Conn, pending []byte) *Conn { panic("skeleton") }

// NetConn returns the wrapped connection.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Buffered returns the bytes read from the connection but not consumed by a
// head or body; valid until the next use of the read half.
func (c *Conn) Buffered() []byte { panic("skeleton") }

// AwaitReadable blocks until Buffered is not empty: at once if it is not.
// io.EOF means the peer closed its side. A deadline that passes is an
// os.ErrDeadlineExceeded.
func (c *Conn) AwaitReadable() error { panic("skeleton") }

// ReadRequest parses the next request head into req. The body, if any, must
// then be read through Body. Errors: *Error for a request to be answered with
// Error.Status; io.EOF when the peer closed before the first byte;
// io.ErrUnexpectedEOF within the head; os.ErrDeadlineExceeded when the read
// deadline passed before the first byte; other errors of the connection.
//
// The head timeout of lim costs nothing for a head that comes in one piece:
// the read deadline is moved to now+HeadTimeout only when a head has begun and
// more bytes are needed; so set the read timeout again after ReadRequest. When
// it passes the Error is 408. At most one empty line before the request line
// is skipped.
func (c *Conn) ReadRequest(req *Request, lim Limits) error { panic("skeleton") }

// ReadResponse parses the next response head into resp; method is that of the
// request it answers. Interim (1xx) responses are returned as they come: call
// again for the final one, and bound their number. After a 101 only Buffered
// and Detach make sense. Errors as for ReadRequest, with Error.Status 502;
// lim.HeadTimeout is not used: the caller's read timeout bounds the wait.
func (c *Conn) ReadResponse(resp *Response, method []byte, lim Limits) error { panic("skeleton") }

// Body returns the reader of the body that follows the head read last. It
// belongs to the Conn and is valid until the next head is read.
func (c *Conn) Body() *BodyReader { panic("skeleton") }

// Release gives the buffer of the head read last back to the pool, so that an
// exchange that waits long (a long poll) holds nothing: all slices of its
// Request or Response become invalid. Unread bytes are kept.
func (c *Conn) Release() { panic("skeleton") }

// Out returns the bytes that wait to be flushed; append to it and hand the
// result to SetOut. The buffer is taken from a pool on first use and goes back
// in Flush.
func (c *Conn) Out() []byte { panic("skeleton") }

// SetOut replaces the bytes that wait to be flushed.
func (c *Conn) SetOut(out []byte) { panic("skeleton") }

// StartBody begins the body of the message whose head has been appended to
// Out. With an empty framing no Write is needed, only Close. The writer
// belongs to the Conn.
func (c *Conn) StartBody(f Framing) *BodyWriter { panic("skeleton") }

// Flush writes what Out holds, in one call.
func (c *Conn) Flush() error { panic("skeleton") }

// SetReadTimeout moves the deadline of reads to d after now; d of 0 removes
// it. It is coarse: the deadline fires not before now+d and at most
// min(d/8, 1 s) later, and costs no timer operation while the one set before
// lies within that span.
func (c *Conn) SetReadTimeout(now time.Time, d time.Duration) { panic("skeleton") }

// SetWriteTimeout is SetReadTimeout for writes.
func (c *Conn) SetWriteTimeout(now time.Time, d time.Duration) { panic("skeleton") }

// InterruptRead makes a read that blocks now, and later ones, fail with
// os.ErrDeadlineExceeded until the next SetReadTimeout.
func (c *Conn) InterruptRead() { panic("skeleton") }

// InterruptWrite is InterruptRead for writes.
func (c *Conn) InterruptWrite() { panic("skeleton") }

// Probe looks at the socket without blocking and without taking bytes from
// it, even while another goroutine is blocked in a read. It reports what it
// saw: Quiet, Readable or Gone. On connections that are not TCP or Unix
// sockets it is always Quiet; below TLS it sees the encrypted stream.
func (c *Conn) Probe() State { panic("skeleton") }

// State is what Probe saw.
type State uint8

const (
	Quiet    State = iota // open, nothing to read
	Readable              // bytes wait in the socket
	Gone                  // the peer closed or reset
)

// Reusable reports whether the exchange on a backend's connection is over
// without a doubt, so that another may follow: the last head said keep-alive,
// its body was read to the end, nothing is buffered behind it, all that was
// written is complete and flushed, and no error happened.
func (c *Conn) Reusable() bool { panic("skeleton") }

// Detach gives the connection away (after a 101): the bytes read but not
// consumed, which the new owner must treat as first, are a copy of its own.
// Bytes not yet flushed are dropped, so Flush before. The Conn is dead
// afterwards.
func (c *Conn) Detach() (nc net.Conn, pending []byte) { panic("skeleton") }

// CloseWrite shuts down the sending side, if the connection can.
func (c *Conn) CloseWrite() error { panic("skeleton") }

// Close closes the connection. The buffers go back with it unless another
// goroutine is using them.
func (c *Conn) Close() error { panic("skeleton") }

// CloseLingering closes after an answer that the peer may not have read while
// it still sends: it flushes, shuts down the sending side, discards at most
// max bytes for at most d until the peer closes, and closes. Closing at once
// would make the kernel reset the connection and destroy the answer (RFC 9112
// section 9.6).
func (c *Conn) CloseLingering(max int64, d time.Duration) error { panic("skeleton") }
