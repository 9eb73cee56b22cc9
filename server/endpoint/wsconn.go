package endpoint

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/wire"
)

// writeTimeout is how long a client may leave a write standing, and lingering
// how long it may take to hang up after a close frame.
const (
	writeTimeout = 30 * time.Second
	lingering    = time.Second
)

// wsConn writes WebSocket frames straight to the socket. The handshake and the
// reading are gorilla's; its writer is never used, so that a batch of frames
// goes out in one system call and no buffer is held between batches.
type wsConn struct {
	// Set before the session starts.
	ws      *websocket.Conn
	hit     func(l session.Limit)
	net     net.Conn
	raw     syscall.RawConn // nil where the socket is wrapped (TLS)
	remote  string
	opcode  byte
	joins   bool   // the batch is the payload of one frame
	prefix  string // in front of a joined payload
	session atomic.Pointer[session.Session]

	write   sync.Mutex // held while writing to the socket
	attempt attempt    // guarded by write

	mu   sync.Mutex
	own  []byte // guarded by mu: frames of the transport itself, to be sent first
	left []byte // guarded by write: what is left of own frames being sent

	closing atomic.Bool
}

// attempt is one non-blocking write; its function is made once, so that a write
// allocates nothing.
type attempt struct {
	parts [][]byte
	one   [1][]byte
	n     int
	err   error
	run   func(fd uintptr) bool
}

func newWSConn(ws *websocket.Conn, remote string, hit func(l session.Limit)) *wsConn {
	c := &wsConn{ws: ws, hit: hit, net: ws.NetConn(), remote: remote}
	if sc, ok := c.net.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	ws.SetPingHandler(func(data string) error { return c.sendOwn(wire.OpPong, data) })
	// The close frame is answered when the reading ends.
	ws.SetCloseHandler(func(int, string) error { return nil })
	a := &c.attempt
	a.run = func(fd uintptr) bool {
		for {
			if len(a.parts) == 1 {
				a.n, a.err = unix.Write(int(fd), a.parts[0])
			} else {
				a.n, a.err = unix.Writev(int(fd), a.parts)
			}
			if a.err != unix.EINTR {
				return true
			}
		}
	}
	return c
}

// speak sets the protocol; prefix goes in front of the payload of each frame of a
// protocol that joins messages.
func (c *wsConn) speak(traits *wire.Traits, prefix string) {
	c.opcode, c.joins, c.prefix = traits.DataOpcode(), traits.Joins, prefix
}

// start ties the connection to its session and opens the conversation.
func (c *wsConn) start(s *session.Session) {
	c.session.Store(s)
	s.Start()
}

func (c *wsConn) receive(frame []byte) error {
	s := c.session.Load()
	if s == nil {
		return session.ErrEnded
	}
	return s.Receive(frame)
}

func (c *wsConn) end() {
	if s := c.session.Load(); s != nil {
		s.End()
	}
}

// maxParts bounds one gathering write (IOV_MAX is 1024).
const maxParts = 512

// try writes what the socket takes at once.
func (c *wsConn) try(parts [][]byte) (int, error) {
	if c.raw == nil {
		return 0, nil
	}
	a := &c.attempt
	a.parts = parts[:min(len(parts), maxParts)]
	err := c.raw.Write(a.run)
	a.parts = nil
	switch {
	case err != nil:
		return 0, err
	case a.err == unix.EAGAIN:
		return 0, nil
	case a.err != nil:
		return 0, a.err
	}
	return a.n, nil
}

// TryWrite implements session.Conn.
func (c *wsConn) TryWrite(b *session.Batch) (bool, error) {
	c.write.Lock()
	defer c.write.Unlock()
	if b.Size() > 0 && c.joins {
		c.head(b)
	}
	c.takeOwn()
	for len(c.left) > 0 {
		c.attempt.one[0] = c.left
		n, err := c.try(c.attempt.one[:])
		c.attempt.one[0] = nil
		if err != nil || n == 0 {
			return false, err
		}
		c.left = c.left[n:]
	}
	for b.Size() > 0 {
		n, err := c.try(b.Parts())
		if err != nil || n == 0 {
			return false, err
		}
		b.Advance(n)
	}
	return true, nil
}

// head puts the frame header before a joined payload.
func (c *wsConn) head(b *session.Batch) {
	var room [wire.HeaderSpace + 1]byte
	h := wire.AppendHeader(room[:0], c.opcode, b.Size()+len(c.prefix))
	b.Prepend(append(h, c.prefix...))
}

func (c *wsConn) takeOwn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.own) > 0 {
		c.left = append(c.left, c.own...)
		c.own = nil
	}
}

// Finish implements session.Conn.
func (c *wsConn) Finish(b *session.Batch) error {
	c.write.Lock()
	defer c.write.Unlock()
	if err := c.net.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if len(c.left) > 0 {
		if _, err := c.net.Write(c.left); err != nil {
			return err
		}
		c.left = nil
	}
	// Buffers changes its slices while it writes: give it a copy.
	bufs := append(net.Buffers(nil), b.Parts()...)
	if _, err := bufs.WriteTo(c.net); err != nil {
		return err
	}
	return c.net.SetWriteDeadline(time.Time{})
}

// maxOwn bounds the frames that a client can make the transport owe it.
const maxOwn = 4 << 10

var errTooManyPings = errors.New("client pings without reading")

// sendOwn queues a frame of the transport itself, ahead of what the outbox holds.
func (c *wsConn) sendOwn(opcode byte, payload string) error {
	c.mu.Lock()
	if len(c.own) > maxOwn {
		c.mu.Unlock()
		return errTooManyPings
	}
	c.own = wire.AppendHeader(c.own, opcode, len(payload))
	c.own = append(c.own, payload...)
	c.mu.Unlock()
	if s := c.session.Load(); s != nil {
		s.Wake()
	}
	return nil
}

// queueOwn queues a frame of the transport whatever its size.
func (c *wsConn) queueOwn(opcode byte, payload string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own = wire.AppendHeader(c.own, opcode, len(payload))
	c.own = append(c.own, payload...)
}

// writeNow writes a text frame past the session, before the connection is its
// transport.
func (c *wsConn) writeNow(payload string) error {
	c.write.Lock()
	defer c.write.Unlock()
	if err := c.net.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	frame := wire.AppendHeader(nil, websocket.TextMessage, len(payload))
	if _, err := c.net.Write(append(frame, payload...)); err != nil {
		return err
	}
	return c.net.SetWriteDeadline(time.Time{})
}

// Close implements session.Conn: a close frame if the socket takes it at once,
// then a moment for the client to hang up. The reading goroutine notices and
// closes the socket.
func (c *wsConn) Close(code int, reason string) {
	if !c.closing.CompareAndSwap(false, true) {
		return
	}
	if c.write.TryLock() {
		if len(c.left) == 0 {
			body := websocket.FormatCloseMessage(code, reason[:min(len(reason), 120)])
			frame := append(wire.AppendHeader(nil, wire.OpClose, len(body)), body...)
			if c.raw == nil {
				c.writeClose(frame)
			} else {
				c.attempt.one[0] = frame
				_, _ = c.try(c.attempt.one[:]) // the connection ends either way
			}
		}
		c.write.Unlock()
	} else {
		// A write is stuck: there is no place for a frame.
		_ = c.net.Close()
	}
	_ = c.net.SetReadDeadline(time.Now().Add(lingering))
}

// writeClose writes to a wrapped socket without making the caller wait for long.
func (c *wsConn) writeClose(frame []byte) {
	_ = c.net.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	_, _ = c.net.Write(frame)
}

// RemoteAddr implements session.Conn.
func (c *wsConn) RemoteAddr() string { return c.remote }

// read hands over frames until the connection ends and then calls end. After an
// error of receive it only waits for the client to hang up.
//
// The login needs a larger stack than what comes later, and a stack does not
// shrink soon: after it, a fresh goroutine goes on.
func (c *wsConn) read(receive func(kind int, frame []byte) error, end func()) {
	fresh := c.loggedIn()
	for ended := false; ; {
		kind, r, err := c.ws.NextReader()
		if err != nil {
			c.Close(c.closeCode(err), "")
			break
		}
		f := frames.Get().(*frame)
		f.b, err = readInto(f.b[:0], r)
		if err == nil && !ended {
			if err := receive(kind, f.b); err != nil {
				ended = true
				c.Close(refusalCode(err), err.Error())
			}
		}
		if cap(f.b) <= keepFrame {
			frames.Put(f)
		}
		if err != nil {
			c.Close(c.closeCode(err), "")
			break
		}
		if !fresh && !ended && c.loggedIn() {
			go c.read(receive, end)
			return
		}
	}
	_ = c.net.Close()
	end()
}

func (c *wsConn) loggedIn() bool {
	s := c.session.Load()
	return s != nil && s.Open()
}

// closeCode answers the end of the reading.
func (c *wsConn) closeCode(err error) int {
	var ce *websocket.CloseError
	switch {
	case errors.As(err, &ce) && ce.Code != websocket.CloseNoStatusReceived && ce.Code != websocket.CloseAbnormalClosure:
		return ce.Code
	case errors.Is(err, websocket.ErrReadLimit):
		c.hit(session.LimitMessageSize)
		return session.CloseTooBig
	}
	return session.CloseNormal
}

// refusalCode answers a frame after which the connection cannot go on.
func refusalCode(err error) int {
	if errors.Is(err, wire.ErrUTF8) {
		return websocket.CloseInvalidFramePayloadData
	}
	return session.CloseProtocol
}

// frame is a buffer for one incoming frame; connections hold none while idle.
type frame struct{ b []byte }

const keepFrame = 64 << 10

var frames = sync.Pool{New: func() any { return &frame{b: make([]byte, 0, 1024)} }}

func readInto(dst []byte, r io.Reader) ([]byte, error) {
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}
