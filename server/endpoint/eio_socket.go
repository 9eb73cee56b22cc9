package endpoint

import (
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/wire"
)

// eioSocket is one engine.io socket: the session's Conn, over whatever transport
// the client is on.
//
// Lock order: mu before the locks of wsConn; no session method is called under mu.
type eioSocket struct {
	// Set before the session starts.
	server  *EngineIO
	sid     string
	remote  string
	eio4    bool
	b64     bool // the client takes no binary: it need say so in the handshake only
	session *session.Session

	mu      sync.Mutex
	silence *time.Timer // guarded by mu
	pinger  *time.Timer // guarded by mu: of engine.io 4
	ws      *wsConn     // guarded by mu: the transport after an upgrade
	probing bool        // guarded by mu: an upgrade is under way
	pending []byte      // guarded by mu: deepstream text waiting for a poll
	control []byte      // guarded by mu: packet types waiting for a poll, one byte each
	poll    *poll       // guarded by mu: the poll that is waiting
	posting bool        // guarded by mu
	closing bool        // guarded by mu: the next poll is the last
	ended   bool        // guarded by mu
}

// poll is a GET that waits for something to answer.
type poll struct {
	wake chan struct{}
}

// startTimers is called once the session exists; the node may have closed it already.
func (s *eioSocket) startTimers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	patience := s.server.PingInterval + s.server.PingTimeout
	if s.closing {
		patience = lastPoll
	}
	s.silence = time.AfterFunc(patience, s.silent)
	if s.eio4 {
		s.pinger = time.AfterFunc(s.server.PingInterval, s.ping)
	}
}

// TryWrite implements session.Conn: on polling it moves the batch to where the
// next poll finds it.
func (s *eioSocket) TryWrite(b *session.Batch) (bool, error) {
	s.mu.Lock()
	if ws := s.ws; ws != nil {
		s.mu.Unlock()
		return ws.TryWrite(b)
	}
	defer s.mu.Unlock()
	if len(s.pending) > 0 && len(s.pending)+b.Size() > s.server.Limits.OutboxBytes {
		return false, session.ErrSlow
	}
	for _, p := range b.Parts() {
		s.pending = append(s.pending, p...)
	}
	b.Advance(b.Size())
	s.wakePoll()
	return true, nil
}

// Finish implements session.Conn.
func (s *eioSocket) Finish(b *session.Batch) error {
	s.mu.Lock()
	ws := s.ws
	s.mu.Unlock()
	return ws.Finish(b) // only a WebSocket leaves anything to finish
}

// Yield implements session.Yielder.
func (s *eioSocket) Yield() {
	s.mu.Lock()
	ws := s.ws
	s.mu.Unlock()
	if ws != nil {
		ws.Yield()
	}
}

// RemoteAddr implements session.Conn.
func (s *eioSocket) RemoteAddr() string { return s.remote }

// lastPoll is how long a closed socket waits for the poll that tells the client.
const lastPoll = 2 * time.Second

// Close implements session.Conn.
func (s *eioSocket) Close(code int, reason string) {
	s.mu.Lock()
	if s.closing || s.ended {
		s.mu.Unlock()
		return
	}
	s.closing = true
	ws := s.ws
	if ws == nil && s.poll == nil && s.silence != nil {
		s.silence.Reset(lastPoll)
	}
	s.wakePoll()
	s.mu.Unlock()
	if ws != nil {
		ws.Close(code, reason) // its reader ends the socket
	}
}

// destroy ends the socket at once. It must not be called under any lock.
func (s *eioSocket) destroy() {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended, s.closing = true, true
	ws := s.ws
	s.wakePoll()
	s.silence.Stop()
	if s.pinger != nil {
		s.pinger.Stop()
	}
	s.mu.Unlock()
	s.server.remove(s)
	if ws != nil {
		ws.Close(session.CloseNormal, "")
	}
	s.session.End()
}

func (s *eioSocket) silent() { s.destroy() }

// heard puts the end of the client's silence off.
func (s *eioSocket) heard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.silence.Reset(s.server.PingInterval + s.server.PingTimeout)
	}
}

// ping is the heartbeat of engine.io 4, where it is the server's.
func (s *eioSocket) ping() {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.pinger.Reset(s.server.PingInterval)
	s.mu.Unlock()
	s.sendControl(eioPing, "")
}

// sendControl sends a packet of engine.io itself.
func (s *eioSocket) sendControl(kind byte, data string) error {
	s.mu.Lock()
	ws := s.ws
	if ws == nil {
		defer s.mu.Unlock()
		if len(s.control) >= maxOwn {
			return errTooManyPings
		}
		s.control = append(s.control, kind)
		s.wakePoll()
		return nil
	}
	s.mu.Unlock()
	return ws.sendOwn(websocket.TextMessage, string(kind)+data)
}

// packet handles one packet of either transport.
func (s *eioSocket) packet(kind byte, data []byte) error {
	s.heard()
	switch kind {
	case eioMessage:
		return s.session.Receive(data)
	case eioPing:
		if !utf8.Valid(data) {
			return wire.ErrUTF8 // the answer repeats it
		}
		s.session.Heard()
		return s.sendControl(eioPong, string(data))
	case eioClose:
		return session.ErrEnded
	case eioPong, eioUpgrade, eioNoop:
	}
	return nil
}

// wakePoll has the waiting poll look again; mu is held.
func (s *eioSocket) wakePoll() {
	if s.poll != nil {
		select {
		case s.poll.wake <- struct{}{}:
		default:
		}
	}
}

func (s *eioSocket) onWebSocket() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ws != nil
}

// adopt makes a WebSocket speak for the socket.
func (s *eioSocket) adopt(ws *websocket.Conn) *wsConn {
	loops := s.server.Loops
	if s.server.Limits.MessagesPerSecond > 0 {
		loops = nil // see WebSocket.throttled
	}
	c := newWSConn(ws, loops)
	c.know(s.remote, s.server.MaxMessageSize, s.server.Sessions.Hit)
	c.speak(wire.For(wire.TextG1).Traits(), string(eioMessage))
	c.session.Store(s.session)
	return c
}

// serve reads a WebSocket that is the transport.
func (s *eioSocket) serve(c *wsConn) {
	c.listen(func(_ int, frame []byte) error {
		if len(frame) == 0 {
			return nil
		}
		return s.packet(frame[0], frame[1:])
	}, s.destroy)
	c.read()
}

// probeInterval is how often a waiting poll is released while the client gets
// ready to move, probeTimeout how long it may take.
const (
	probeInterval = 100 * time.Millisecond
	probeTimeout  = 10 * time.Second
)

// probe takes a WebSocket that wants to become the transport.
func (s *eioSocket) probe(w http.ResponseWriter, r *http.Request) {
	ws := upgrade(w, r, s.server.Origins)
	if ws == nil {
		return
	}
	s.mu.Lock()
	refused := s.ws != nil || s.probing || s.closing
	s.probing = s.probing || !refused
	s.mu.Unlock()
	if refused {
		_ = ws.Close() // one upgrade is enough
		return
	}
	go s.serveProbe(s.adopt(ws))
}

func (s *eioSocket) serveProbe(c *wsConn) {
	timeout := time.AfterFunc(probeTimeout, c.cut)
	release := newTicker(probeInterval, s.releasePoll)
	moved := false // by one read at a time
	c.listen(func(_ int, frame []byte) error {
		switch {
		case len(frame) == 0:
			return nil
		case moved:
			return s.packet(frame[0], frame[1:])
		case string(frame) == "2probe":
			release.start()
			return c.writeNow("3probe")
		case frame[0] == eioUpgrade:
			release.stop()
			if !timeout.Stop() || !s.move(c) {
				return session.ErrEnded
			}
			moved = true
			return nil
		}
		return errPayload
	}, func() {
		timeout.Stop()
		release.stop()
		if moved {
			s.destroy()
			return
		}
		// The client stays on polling.
		s.mu.Lock()
		s.probing = false
		s.mu.Unlock()
	})
	c.read()
}

// move makes c the transport; what waits for a poll goes ahead on it.
func (s *eioSocket) move(c *wsConn) bool {
	s.heard()
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return false
	}
	for _, kind := range s.control {
		c.queueOwn(websocket.TextMessage, string(kind))
	}
	if len(s.pending) > 0 {
		c.queueOwn(websocket.TextMessage, string(eioMessage)+string(s.pending))
	}
	s.pending, s.control = nil, nil
	s.ws, s.probing = c, false
	s.wakePoll()
	s.mu.Unlock()
	s.session.Wake()
	return true
}

// releasePoll answers a waiting poll with nothing, so that the client can move.
func (s *eioSocket) releasePoll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.poll != nil && len(s.control) == 0 && len(s.pending) == 0 {
		s.control = append(s.control, eioNoop)
		s.wakePoll()
	}
}

// ticker calls f again and again between start and stop.
type ticker struct {
	every time.Duration
	f     func()

	mu      sync.Mutex
	timer   *time.Timer // guarded by mu
	stopped bool        // guarded by mu
}

func newTicker(every time.Duration, f func()) *ticker { return &ticker{every: every, f: f} }

func (t *ticker) start() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer == nil && !t.stopped {
		t.timer = time.AfterFunc(t.every, t.tick)
	}
}

func (t *ticker) tick() {
	t.f()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.stopped {
		t.timer.Reset(t.every)
	}
}

func (t *ticker) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	if t.timer != nil {
		t.timer.Stop()
	}
}
