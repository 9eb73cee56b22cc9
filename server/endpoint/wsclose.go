package endpoint

import (
	"runtime"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"github.com/dsproxy/dsproxy/server/wire"

	"github.com/dsproxy/dsproxy/server/socket"
)

// Close implements session.Conn: a close frame if the socket takes it at once,
// then a moment for the client to hang up. Who reads notices and closes the
// socket.
func (c *wsConn) Close(code int, reason string) {
	if !c.hangUp(code, reason, false) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.net == nil {
		time.AfterFunc(lingering, c.cut)
	} else {
		_ = c.net.SetReadDeadline(time.Now().Add(lingering))
	}
}

// hangUp sends a close frame if the socket takes it at once; it reports false where
// that has been. The last that is said to a client leaves together with the end of
// the connection, which must follow.
func (c *wsConn) hangUp(code int, reason string, last bool) bool {
	if !c.closing.CompareAndSwap(false, true) {
		return false
	}
	for !c.write.TryLock() {
		if c.waiting.Load() {
			// The client takes nothing: there is no place for a frame.
			c.cut()
			return true
		}
		runtime.Gosched() // the write is about to end
	}
	defer c.write.Unlock()
	if len(c.left) > 0 || c.part {
		return true
	}
	c.over = true
	body := websocket.FormatCloseMessage(code, reason[:min(len(reason), 120)])
	frame := append(wire.AppendHeader(nil, wire.OpClose, len(body)), body...)
	if c.raw == nil && c.fd == 0 {
		c.writeClose(frame)
		return true
	}
	a := attempts.Get().(*attempt)
	a.more = last
	_, _ = c.tryOne(a, frame) // the connection ends either way
	a.more = false
	attempts.Put(a)
	return true
}

// cut has the reading end. A loop would not hear of a socket that is closed.
func (c *wsConn) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.net != nil:
		_ = c.net.Close()
	case c.fd > 0:
		_ = unix.Shutdown(c.fd, unix.SHUT_RDWR)
	}
}

// closeSocket closes the socket of a loop; nobody reads any more.
func (c *wsConn) closeSocket() {
	c.write.Lock()
	defer c.write.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	socket.Close(c.fd)
	c.fd = -1
}

// writeClose writes to a wrapped socket without making the caller wait for long.
func (c *wsConn) writeClose(frame []byte) {
	_ = c.net.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	_, _ = c.net.Write(frame)
}

// finish is called once, by who reads.
func (c *wsConn) finish() {
	switch {
	case c.fd == 0:
		c.cut()
	case c.write.TryLock():
		c.write.Unlock()
		c.closeSocket()
	default:
		// A write that is stuck ends by the cut, but not at once.
		c.cut()
		go c.closeSocket()
	}
	c.end()
}
