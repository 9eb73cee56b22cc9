// Package endpoint makes sessions out of connections: plain WebSockets for the
// protobuf, JSON and text protocols, and engine.io for the browsers of deepstream
// 1, with its long-polling.
//
// An http.Handler takes the request, upgrades or answers it, and gives the
// session a Conn to write through. After the upgrade of a WebSocket the HTTP
// server's goroutine and buffers are given back. One of the Loops reads, for many;
// until a client is logged in a goroutine of its own does, if that may take long. Where
// it may not, a Door spares the plain handshakes net/http altogether. Lock order:
// wsConn.write before wsConn.mu before a loop's mu before those of the
// session.Flusher; they may be taken while session locks are held, never the other
// way round.
package endpoint

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/wire"
)

// WebSocket serves one protocol, or two, on one path.
type WebSocket struct {
	Sessions *session.Registry
	Codec    wire.ID
	Limits   *session.Limits
	// MaxMessageSize bounds a frame, in bytes.
	MaxMessageSize int64
	// Text, when set, has clients that stay silent for TextGrace, or send a
	// text frame first, served the text protocol of deepstream 2 and 3: they
	// wait for the server to speak, while protobuf clients never do.
	Text      *session.Limits
	TextGrace time.Duration
	Origins   Origins
	// Loops read the clients that are logged in, if there is no limit to the rate of
	// their messages; may be nil.
	Loops *Loops
	// QuickLogins says that logins are judged without waiting, so that Loops
	// read them as well.
	QuickLogins bool
}

func (e *WebSocket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !websocket.IsWebSocketUpgrade(r) {
		http.Error(w, "this path is for WebSocket connections", http.StatusUpgradeRequired)
		return
	}
	if full(w, e.Sessions) {
		return
	}
	if ws := upgrade(w, r, e.Origins); ws != nil {
		loops := e.Loops
		if e.throttled() {
			loops = nil
		}
		c := newWSConn(ws, loops)
		e.begin(c, handshake(r))
		if !e.QuickLogins || !loops.take(c) {
			go c.read()
		}
	}
}

// throttled says that clients may have to wait for the limit of their rate. Each is
// read by a goroutine of its own then: on a loop the others would wait with it.
func (e *WebSocket) throttled() bool {
	return e.Limits.MessagesPerSecond > 0 || e.Text != nil && e.Text.MessagesPerSecond > 0
}

// full refuses a client that the node has no room for, before it costs more.
func full(w http.ResponseWriter, sessions *session.Registry) bool {
	if !sessions.Full() {
		return false
	}
	sessions.Hit(session.LimitConnections)
	http.Error(w, session.ErrFull.Error(), http.StatusServiceUnavailable)
	return true
}

// refusal is the close code for a client that got no session.
func refusal(err error) int {
	if errors.Is(err, session.ErrFull) {
		return session.CloseOverload
	}
	return session.CloseRestart
}

// begin prepares a connection whose handshake is done for being read.
func (e *WebSocket) begin(c *wsConn, h *session.Handshake) {
	c.know(h.RemoteAddress, e.MaxMessageSize, e.Sessions.Hit)
	var once sync.Once
	speak := func(codec wire.ID, limits *session.Limits) {
		once.Do(func() {
			c.speak(wire.For(codec).Traits(), "")
			s, err := e.Sessions.New(c, codec, limits, h)
			if err != nil {
				c.Close(refusal(err), err.Error())
				return
			}
			c.start(s)
		})
	}
	if e.Text == nil {
		speak(e.Codec, e.Limits)
		c.listen(func(_ int, frame []byte) error { return c.toSession(frame) }, c.endSession)
		return
	}
	silence := time.AfterFunc(e.TextGrace, func() { speak(wire.TextG2, e.Text) })
	c.listen(func(kind int, frame []byte) error {
		if kind == websocket.BinaryMessage {
			speak(e.Codec, e.Limits)
		} else {
			speak(wire.TextG2, e.Text)
		}
		return c.toSession(frame)
	}, func() {
		silence.Stop()
		once.Do(func() {}) // a client that left in silence gets no session
		c.endSession()
	})
}
