package endpoint

import (
	"testing"
	"time"

	"github.com/gorilla/websocket"

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
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
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
