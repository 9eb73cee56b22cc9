package main

import (
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

//go:embed demo.html
var demoPage string

const (
	demoPollWait    = 20 * time.Second
	demoSessionIdle = time.Minute
	demoMaxSessions = 10_000
	demoMaxBody     = 64 << 10
)

// demoBackend is a small server of the engine.io 4 protocol: it keeps sessions
// in memory, as realtime servers do, answers messages with its name, and
// refuses sessions that it does not have.
type demoBackend struct {
	name     string
	plain    string // address of the plain round robin, for the page
	upgrader websocket.Upgrader

	mu       sync.Mutex
	sessions map[string]*demoSession // guarded by mu
}

type demoSession struct {
	out   chan string // packets for the client
	timer *time.Timer // ends the session
}

func newDemoBackend(name, plain string) *demoBackend {
	return &demoBackend{
		name: name, plain: plain, sessions: map[string]*demoSession{},
		upgrader: websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }},
	}
}

func (b *demoBackend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Demo-Backend", b.name)
	h.Set("Access-Control-Allow-Origin", "*") // the page also talks to the plain round robin
	h.Set("Access-Control-Expose-Headers", "X-Demo-Backend")
	h.Set("Cache-Control", "no-store")
	q := r.URL.Query()
	switch {
	case r.URL.Path == "/":
		h.Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, strings.Replace(demoPage, "{{plain}}", b.plain, 1))
	case r.URL.Path != "/engine.io/":
		http.NotFound(w, r)
	case q.Get("sid") == "":
		b.handshake(w)
	default:
		s := b.session(q.Get("sid"))
		switch {
		case s == nil:
			h.Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"code":1,"message":"Session ID unknown"}`)
		case q.Get("transport") == "websocket":
			b.upgrade(w, r, s)
		case r.Method == http.MethodPost:
			b.receive(w, r, s)
		default:
			b.poll(w, r, s)
		}
	}
}

func (b *demoBackend) handshake(w http.ResponseWriter) {
	var raw [12]byte
	rand.Read(raw[:])
	sid := base64.RawURLEncoding.EncodeToString(raw[:])
	s := &demoSession{out: make(chan string, 64)}
	b.mu.Lock()
	full := len(b.sessions) >= demoMaxSessions
	if !full {
		b.sessions[sid] = s
		s.timer = time.AfterFunc(demoSessionIdle, func() { b.end(sid) })
	}
	b.mu.Unlock()
	if full {
		http.Error(w, "too many sessions", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintf(w, `0{"sid":%q,"upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":%d}`, sid, demoMaxBody)
}

func (b *demoBackend) session(sid string) *demoSession {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sessions[sid]
	if s != nil {
		s.timer.Reset(demoSessionIdle)
	}
	return s
}

func (b *demoBackend) end(sid string) {
	b.mu.Lock()
	delete(b.sessions, sid)
	b.mu.Unlock()
}

// poll waits for a packet, or releases the client with a noop.
func (b *demoBackend) poll(w http.ResponseWriter, r *http.Request, s *demoSession) {
	wait := time.NewTimer(demoPollWait)
	defer wait.Stop()
	select {
	case p := <-s.out:
		io.WriteString(w, p)
	case <-wait.C:
		io.WriteString(w, "6")
	case <-r.Context().Done():
	}
}

func (b *demoBackend) receive(w http.ResponseWriter, r *http.Request, s *demoSession) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, demoMaxBody))
	if err != nil {
		return
	}
	if text, ok := strings.CutPrefix(string(body), "4"); ok {
		select {
		case s.out <- b.answer(text):
		default: // a client that does not poll gets no more
		}
	}
	io.WriteString(w, "ok")
}

func (b *demoBackend) answer(text string) string { return "4" + b.name + ":" + text }

// upgrade moves the session to a WebSocket: probe, upgrade packet, messages.
func (b *demoBackend) upgrade(w http.ResponseWriter, r *http.Request, s *demoSession) {
	ws, err := b.upgrader.Upgrade(w, r, http.Header{"X-Demo-Backend": {b.name}})
	if err != nil {
		return
	}
	defer ws.Close()
	ws.SetReadLimit(demoMaxBody)
	for {
		_, p, err := ws.ReadMessage()
		if err != nil {
			return
		}
		var reply string
		switch packet := string(p); {
		case packet == "2probe":
			reply = "3probe"
			select {
			case s.out <- "6": // releases a poll that waits
			default:
			}
		case strings.HasPrefix(packet, "4"):
			reply = b.answer(packet[1:])
		default:
			continue
		}
		if ws.WriteMessage(websocket.TextMessage, []byte(reply)) != nil {
			return
		}
	}
}
