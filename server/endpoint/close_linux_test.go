package endpoint

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/wire"
)

// conn is the one connection of the one loop.
func (n *node) conn() *wsConn {
	for _, l := range *n.loops.list.Load() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, c := range l.conns {
			return c
		}
	}
	n.t.Fatal("no loop has a connection")
	return nil
}

// closed awaits the close frame.
func (c *client) closed(code int) {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	var err error
	for err == nil {
		_, _, err = c.ReadMessage()
	}
	if !websocket.IsCloseError(err, code) {
		c.t.Errorf("ended with %v, want a close frame with %d", err, code)
	}
}

// TestCloseDuringWrite: a close that meets a write under way is said after it.
func TestCloseDuringWrite(t *testing.T) {
	n := startNode(t, 1)
	a := n.connect()
	c := n.conn()
	c.write.Lock()
	done := make(chan struct{})
	go func() { c.Close(session.ClosePolicy, "enough"); close(done) }()
	await(t, "the close", c.closing.Load)
	c.write.Unlock()
	a.closed(session.ClosePolicy)
	<-done
}

// TestCloseOfStuckWrite: a close that meets a write that waits for a client which
// takes nothing cuts the connection.
func TestCloseOfStuckWrite(t *testing.T) {
	n := startNode(t, 1)
	a := n.connect()
	c := n.conn()
	c.write.Lock()
	c.waiting.Store(true)
	c.Close(session.ClosePolicy, "enough")
	c.waiting.Store(false)
	c.write.Unlock()
	a.closed(websocket.CloseAbnormalClosure)
}

// TestNothingAfterClose: a close frame is the last that a client gets (RFC 6455
// section 5.5.1), whatever others have to say to it.
func TestNothingAfterClose(t *testing.T) {
	n := startNode(t, 1)
	a := n.connect()
	c := n.conn()
	c.Close(session.ClosePolicy, "enough")
	sent := n.endpoint.Sessions.Stats().Sent.Load()
	c.session.Load().Send(&message.Message{Topic: message.Event, Action: message.EventEmit, Name: "late"})
	await(t, "the event to leave", func() bool { return n.endpoint.Sessions.Stats().Sent.Load() > sent })
	got, err := io.ReadAll(a.NetConn())
	if err != nil {
		t.Fatal(err)
	}
	want := append([]byte{0x88, byte(2 + len("enough")), session.ClosePolicy >> 8, session.ClosePolicy & 0xff}, "enough"...)
	if !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestNoCloseWithinFrame: there is no place for a close frame in another frame.
func TestNoCloseWithinFrame(t *testing.T) {
	n := startNode(t, 1)
	a := n.connect()
	c := n.conn()
	c.write.Lock()
	c.part = true
	c.write.Unlock()
	c.Close(session.ClosePolicy, "enough")
	if got, err := io.ReadAll(a.NetConn()); err != nil || len(got) > 0 {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestCloseOfFault: a client whose frames are faulty is told so, whatever it has
// sent behind them.
func TestCloseOfFault(t *testing.T) {
	n := startNode(t, 1)
	a := n.connect()
	faulty := append(wire.AppendHeader(nil, websocket.TextMessage, 0), make([]byte, 4<<20)...) // not masked
	if _, err := a.NetConn().Write(faulty); err != nil {
		t.Fatal(err)
	}
	a.closed(session.CloseProtocol)
}
