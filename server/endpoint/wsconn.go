package endpoint

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/socket"
	"github.com/dsproxy/dsproxy/server/wire"
)

// writeTimeout is how long a client may leave a write standing, and lingering
// how long it may take to hang up after a close frame.
const (
	writeTimeout = 30 * time.Second
	lingering    = time.Second
)

// wsConn reads and writes WebSocket frames straight from and to the socket; only the
// handshake is gorilla's. So a batch of frames goes out in one system call and no
// buffer is held between batches.
type wsConn struct {
	// Set before the session starts.
	loops   *Loops // nil: the connection's goroutine reads to the end
	hit     func(l session.Limit)
	remote  string
	opcode  byte
	joins   bool   // the batch is the payload of one frame
	prefix  string // in front of a joined payload
	session atomic.Pointer[session.Session]

	write   sync.Mutex  // held while writing to the socket
	waiting atomic.Bool // set under write: the write is one that waits for the client

	// The socket: set under write and mu, read under either and by who reads.
	net net.Conn        // nil once a loop reads
	raw syscall.RawConn // nil also where the socket is wrapped (TLS)
	fd  int             // of the loop, which the runtime's poller does not know; 0 without one

	mu   sync.Mutex
	own  []byte // guarded by mu: frames of the transport itself, to be sent first
	left []byte // guarded by write: what is left of own frames being sent
	// part says that a frame of a batch may have been sent in part, over that the
	// close frame has been sent, after which nothing is; guarded by write.
	part, over bool

	closing atomic.Bool // there is no place for a close frame any more, or not yet
	reading reading

	// guest is what a Door knows before the handshake; owned by who reads.
	guest *guest

	// Owned by whoever reads; the functions are set before that.
	in      wsReader
	receive func(kind int, frame []byte) error
	end     func()
	deaf    bool // after an error of receive
	spent   bool // nothing that comes is looked at any more; owned by who reads
}

// attempt is one non-blocking write; its function is made once, so that a write
// allocates nothing.
type attempt struct {
	parts [][]byte
	one   [1][]byte
	more  bool // something follows, see send
	n     int
	err   error
	run   func(fd uintptr)
}

var attempts = sync.Pool{New: func() any {
	a := new(attempt)
	a.run = func(fd uintptr) {
		for {
			if len(a.parts) == 1 {
				a.n, a.err = socket.Send(fd, a.parts[0], a.more)
			} else {
				a.n, a.err = unix.Writev(int(fd), a.parts)
			}
			if a.err != unix.EINTR {
				return
			}
		}
	}
	return a
}}

// newWSConn takes the connection from a handshake that is done.
func newWSConn(ws *websocket.Conn, loops *Loops) *wsConn {
	c := &wsConn{loops: loops, net: ws.NetConn()}
	if sc, ok := c.net.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	return c
}

// know sets what its endpoint knows of the connection; max bounds its messages in
// bytes.
func (c *wsConn) know(remote string, max int64, hit func(l session.Limit)) {
	c.remote, c.in.max, c.hit = remote, max, hit
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

func (c *wsConn) toSession(frame []byte) error {
	s := c.session.Load()
	if s == nil {
		return session.ErrEnded
	}
	return s.Receive(frame)
}

func (c *wsConn) endSession() {
	if s := c.session.Load(); s != nil {
		s.End()
	}
}

// maxParts bounds one gathering write (IOV_MAX is 1024).
const maxParts = 512

// try writes what the socket takes at once; it keeps nothing of parts.
func (c *wsConn) try(a *attempt, parts [][]byte) (int, error) {
	if c.raw == nil && c.fd == 0 {
		return 0, nil
	}
	a.parts = parts[:min(len(parts), maxParts)]
	var err error
	if c.fd != 0 {
		a.run(uintptr(c.fd))
	} else {
		err = c.raw.Control(a.run)
	}
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

// tryOne is try for a single piece.
func (c *wsConn) tryOne(a *attempt, p []byte) (int, error) {
	a.one[0] = p
	n, err := c.try(a, a.one[:])
	a.one[0] = nil
	return n, err
}

// TryWrite implements session.Conn.
func (c *wsConn) TryWrite(b *session.Batch) (bool, error) {
	c.write.Lock()
	defer c.write.Unlock()
	if c.over {
		b.Advance(b.Size())
		return true, nil
	}
	if b.Size() > 0 && c.joins {
		c.head(b)
	}
	a := attempts.Get().(*attempt)
	defer attempts.Put(a)
	c.takeOwn()
	for len(c.left) > 0 {
		n, err := c.tryOne(a, c.left)
		if err != nil || n == 0 {
			return false, err
		}
		c.left = c.left[n:]
	}
	for b.Size() > 0 {
		n, err := c.try(a, b.Parts())
		if err != nil || n == 0 {
			c.part = true
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
	err := c.patiently(append(net.Buffers{c.left}, b.Parts()...))
	if err == nil {
		c.left, c.part = nil, false
	}
	return err
}

// patiently writes with waiting; write is held.
func (c *wsConn) patiently(bufs net.Buffers) error {
	c.waiting.Store(true)
	defer c.waiting.Store(false)
	conn := c.net
	if conn == nil {
		// The runtime's poller gets to know the socket for as long as it takes.
		file, err := c.dup()
		if err != nil {
			return err
		}
		conn, err = net.FileConn(file)
		_ = file.Close() // conn has its own
		if err != nil {
			return err
		}
		defer conn.Close()
	}
	if err := conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := bufs.WriteTo(conn); err != nil {
		return err
	}
	return conn.SetWriteDeadline(time.Time{})
}

// dup makes another descriptor of a loop's socket; write is held.
func (c *wsConn) dup() (*os.File, error) {
	if c.fd < 0 {
		return nil, net.ErrClosed
	}
	fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), "client"), nil
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
	frame := wire.AppendHeader(nil, websocket.TextMessage, len(payload))
	return c.patiently(net.Buffers{append(frame, payload...)})
}

// leave takes the socket from the runtime's poller, which would wake up for each
// message, and gives it to a loop. It reports false where it must stay.
func (c *wsConn) leave(add func(fd int) error) bool {
	c.write.Lock()
	defer c.write.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.raw == nil || c.closing.Load() {
		return false
	}
	fd := -1
	err := c.raw.Control(func(old uintptr) {
		fd, _ = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err != nil || fd < 0 {
		return false
	}
	old, raw := c.net, c.raw
	c.net, c.raw, c.fd = nil, nil, fd
	if err := add(fd); err != nil {
		c.net, c.raw, c.fd = old, raw, 0
		_ = unix.Close(fd)
		return false
	}
	_ = old.Close() // the descriptor alone
	return true
}

// RemoteAddr implements session.Conn.
func (c *wsConn) RemoteAddr() string { return c.remote }

// Yield implements session.Yielder.
func (c *wsConn) Yield() {
	c.mu.Lock()
	l := c.reading.loop
	c.mu.Unlock()
	if l != nil {
		l.yield(c)
	}
}

// readBuffer is small because it stays with a connection that no loop reads.
const readBuffer = 512

// listen sets who is given the frames and told of the end, before the reading begins.
// After an error of receive the client is only waited for to hang up.
func (c *wsConn) listen(receive func(kind int, frame []byte) error, end func()) {
	c.receive, c.end = receive, end
}

// read reads until the connection ends.
//
// A login may take its time; after it, a loop goes on. Where that cannot be, a fresh
// goroutine does: the login needs a larger stack than what comes later, and a stack
// does not shrink soon.
func (c *wsConn) read() { c.readOn(make([]byte, readBuffer), false) }

func (c *wsConn) readOn(buf []byte, fresh bool) {
	for {
		n, err := c.net.Read(buf)
		if n > 0 && !c.arrived(buf[:n]) {
			break
		}
		if err != nil {
			c.hangUp(closeCode(err), "", true)
			break
		}
		if !fresh && c.loggedIn() {
			if !c.loops.take(c) {
				go c.readOn(buf, true)
			}
			return
		}
	}
	c.finish()
}

// arrived takes what was read, and reports false after the last of it.
func (c *wsConn) arrived(p []byte) bool {
	if c.spent {
		return true
	}
	err := c.in.feed(p, c.frame)
	if err == nil {
		return true
	}
	if errors.Is(err, errTooBig) {
		c.hit(session.LimitMessageSize)
	}
	var end *closed
	if errors.As(err, &end) && end.fault {
		// What follows is thrown away until the client hangs up: left in the
		// socket, it would make the kernel reset the connection, and the reset
		// overtake the close frame.
		c.spent = true
		c.Close(end.code, "")
		return true
	}
	// Unread data has the kernel end the connection at once, without what waits
	// for company: behind a close frame of the client there is none.
	c.hangUp(closeCode(err), "", end != nil)
	return false
}

func (c *wsConn) frame(opcode byte, payload []byte) error {
	switch opcode {
	case websocket.PingMessage:
		return c.sendOwn(wire.OpPong, string(payload))
	case websocket.PongMessage:
		return nil
	}
	if c.deaf {
		return nil
	}
	if err := c.receive(int(opcode), payload); err != nil {
		c.deaf = true
		c.Close(refusalCode(err), err.Error())
	}
	return nil
}

func (c *wsConn) loggedIn() bool {
	s := c.session.Load()
	return s != nil && s.Open()
}

// refusalCode answers a frame after which the connection cannot go on.
func refusalCode(err error) int {
	if errors.Is(err, wire.ErrUTF8) {
		return websocket.CloseInvalidFramePayloadData
	}
	return session.CloseProtocol
}
