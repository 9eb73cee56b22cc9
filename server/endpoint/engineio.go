package endpoint

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/wire"
)

// EngineIO serves the clients of deepstream 1 in browsers: engine.io protocol 3
// with polling (text, binary and JSONP) and WebSocket, and the upgrade from one to
// the other; and the framing of protocol 4. The socket id is in the answer to the
// handshake, in the cookie io, and in every later request, which is what a proxy
// needs to keep a client on its node.
type EngineIO struct {
	// Set before the first request.
	Sessions *session.Registry
	Limits   *session.Limits
	// MaxMessageSize bounds the body of a POST and a WebSocket frame, in bytes.
	MaxMessageSize int64
	// MaxSockets bounds the sockets; 0 means no bound.
	MaxSockets int
	// A client silent for PingInterval and PingTimeout together is closed.
	PingInterval time.Duration
	PingTimeout  time.Duration
	Origins      Origins
	// Loops read the WebSockets; may be nil.
	Loops *Loops

	mu      sync.Mutex
	sockets map[string]*eioSocket // guarded by mu
}

// The errors of engine.io 1.
const (
	unknownTransport = iota
	unknownSID
	badHandshakeMethod
	badRequest
)

var eioErrors = [...]string{"Transport unknown", "Session ID unknown", "Bad handshake method", "Bad request"}

// refuse answers with an error of engine.io.
func refuse(w http.ResponseWriter, r *http.Request, code int) {
	allowOrigin(w, r)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = fmt.Fprintf(w, `{"code":%d,"message":"%s"}`, code, eioErrors[code]) // a client that is gone needs no answer
}

func allowOrigin(w http.ResponseWriter, r *http.Request) {
	if origin := r.Header.Get("Origin"); origin != "" {
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		w.Header().Set("Access-Control-Allow-Origin", origin)
	} else {
		w.Header().Set("Access-Control-Allow-Origin", "*")
	}
}

func (e *EngineIO) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !e.Origins.Allowed(r) {
		http.Error(w, "Forbidden Origin.", http.StatusForbidden)
		return
	}
	q := r.URL.Query()
	transport, sid := q.Get("transport"), q.Get("sid")
	upgrade := websocket.IsWebSocketUpgrade(r)
	switch {
	case transport != "polling" && transport != "websocket":
		refuse(w, r, unknownTransport)
	case sid == "" && r.Method != http.MethodGet:
		refuse(w, r, badHandshakeMethod)
	case sid != "":
		e.existing(w, r, sid, upgrade)
	case upgrade:
		e.open(w, r)
	case transport == "websocket":
		refuse(w, r, badRequest)
	default:
		e.handshake(w, r, q.Get("EIO") == "4")
	}
}

// existing serves a request of a known socket.
func (e *EngineIO) existing(w http.ResponseWriter, r *http.Request, sid string, upgrade bool) {
	e.mu.Lock()
	s := e.sockets[sid]
	e.mu.Unlock()
	switch {
	case s == nil && upgrade:
		hangUp(w) // as engine.io does: no answer at all
	case s == nil:
		refuse(w, r, unknownSID)
	case upgrade:
		s.probe(w, r)
	case r.Method == http.MethodOptions:
		s.common(w, r)
		w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
		w.WriteHeader(http.StatusOK)
	case s.onWebSocket(), r.URL.Query().Get("transport") == "websocket":
		refuse(w, r, badRequest)
	case r.Method == http.MethodGet:
		s.get(w, r)
	case r.Method == http.MethodPost:
		s.post(w, r)
	default:
		refuse(w, r, badRequest)
	}
}

func hangUp(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if c, _, err := h.Hijack(); err == nil {
			_ = c.Close() // that is all there is to say
			return
		}
	}
	w.WriteHeader(http.StatusBadRequest)
}

// sidBytes makes ids of 20 characters, as long as the original's.
const sidBytes = 15

// add makes a socket and its session.
func (e *EngineIO) add(r *http.Request, eio4 bool) (*eioSocket, error) {
	var id [sidBytes]byte
	_, err := rand.Read(id[:])
	if err != nil {
		return nil, err
	}
	h := handshake(r)
	s := &eioSocket{
		server: e, sid: base64.RawURLEncoding.EncodeToString(id[:]), remote: h.RemoteAddress,
		eio4: eio4, b64: r.URL.Query().Get("b64") != "",
	}
	if err := e.enter(s); err != nil {
		return nil, err
	}
	s.session, err = e.Sessions.New(s, wire.TextG1, e.Limits, h)
	if err != nil {
		e.remove(s)
		return nil, err
	}
	s.startTimers()
	return s, nil
}

var errTooManySockets = errors.New("node has too many engine.io sockets")

// enter makes the socket one of the known, if there is room.
func (e *EngineIO) enter(s *eioSocket) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.MaxSockets > 0 && len(e.sockets) >= e.MaxSockets {
		e.Sessions.Hit(session.LimitSockets)
		return errTooManySockets
	}
	if e.sockets == nil {
		e.sockets = make(map[string]*eioSocket)
	}
	e.sockets[s.sid] = s
	return nil
}

func (e *EngineIO) remove(s *eioSocket) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.sockets, s.sid)
}

// opening is the data of the open packet.
func (e *EngineIO) opening(s *eioSocket, upgrades ...string) []byte {
	if upgrades == nil {
		upgrades = []string{}
	}
	o := struct {
		SID          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval int64    `json:"pingInterval"`
		PingTimeout  int64    `json:"pingTimeout"`
		MaxPayload   int64    `json:"maxPayload,omitempty"`
	}{SID: s.sid, Upgrades: upgrades, PingInterval: e.PingInterval.Milliseconds(), PingTimeout: e.PingTimeout.Milliseconds()}
	if s.eio4 {
		o.MaxPayload = e.MaxMessageSize
	}
	b, err := json.Marshal(o)
	if err != nil {
		panic("engine.io handshake cannot be encoded: " + err.Error()) // a struct of strings and numbers
	}
	return append([]byte{eioOpen}, b...)
}

// handshake opens a socket on polling; what the session has to say comes with the
// next poll.
func (e *EngineIO) handshake(w http.ResponseWriter, r *http.Request, eio4 bool) {
	s, err := e.add(r, eio4)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	form := s.form(r)
	s.answer(w, r, form, form.appendPacket(nil, e.opening(s, "websocket")))
	s.session.Start()
}

// open opens a socket directly on a WebSocket.
func (e *EngineIO) open(w http.ResponseWriter, r *http.Request) {
	if full(w, e.Sessions) {
		return
	}
	ws := upgrade(w, r, e.Origins)
	if ws == nil {
		return
	}
	s, err := e.add(r, r.URL.Query().Get("EIO") == "4")
	if err != nil {
		_ = ws.Close() // the node is stopping or full
		return
	}
	c := s.adopt(ws)
	s.mu.Lock()
	s.ws = c
	s.mu.Unlock()
	if c.writeNow(string(e.opening(s))) != nil {
		s.destroy()
		return
	}
	s.session.Start()
	go s.serve(c)
}
