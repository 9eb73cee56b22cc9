package proxy

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/dsproxy/dsproxy/proxy/http1"
	_ "github.com/dsproxy/dsproxy/proxy/xconnect" // before net/http: WebSockets over HTTP/2
)

// h2Server terminates HTTP/2 with net/http, whose limits against rapid resets
// and floods of headers are kept up for us, and turns each stream into an
// exchange. Connections are handed to it once their protocol is known.
type h2Server struct {
	p    *Proxy
	http *http.Server
	in   handoff

	mu    sync.Mutex
	conns map[net.Conn]*clientConn // guarded by mu
}

type clientConnKey struct{}

func newH2Server(p *Proxy) *h2Server {
	s := &h2Server{
		p: p, conns: map[net.Conn]*clientConn{},
		in: handoff{conns: make(chan net.Conn), closed: make(chan struct{})},
	}
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	t, l := p.cfg.Timeouts, p.cfg.Limits
	s.http = &http.Server{
		Handler:           s,
		Protocols:         &protocols,
		ReadHeaderTimeout: t.Header,
		IdleTimeout:       t.Idle,
		MaxHeaderBytes:    l.HeadBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: l.StreamsPerConnection},
		ErrorLog:          log.New(http2Log{p.log}, "", 0),
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			s.mu.Lock()
			defer s.mu.Unlock()
			return context.WithValue(ctx, clientConnKey{}, s.conns[nc])
		},
		ConnState: func(nc net.Conn, st http.ConnState) {
			if st == http.StateClosed {
				s.forget(nc)
			}
		},
	}
	return s
}

// take serves a connection that has chosen HTTP/2.
func (s *h2Server) take(cc *clientConn) {
	nc := cc.conn()
	s.mu.Lock()
	s.conns[nc] = cc
	s.mu.Unlock()
	if !s.in.give(nc) {
		nc.Close()
		s.forget(nc)
	}
}

func (s *h2Server) forget(nc net.Conn) {
	s.mu.Lock()
	cc, ok := s.conns[nc]
	delete(s.conns, nc)
	s.mu.Unlock()
	if ok {
		s.p.conns.release(cc)
	}
}

func (s *h2Server) run() error {
	if err := s.http.Serve(&s.in); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// drain sends GOAWAY, waits for the open streams, and cuts them when ctx ends.
func (s *h2Server) drain(ctx context.Context) {
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
}

func (s *h2Server) close() { s.http.Close() }

// ServeHTTP serves one stream.
func (s *h2Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	cc := r.Context().Value(clientConnKey{}).(*clientConn)
	d := &h2Stream{s: s, cc: cc, w: w, r: r, ctl: http.NewResponseController(w)}
	req, r2 := requestOf(r, s.p.state.Load().cfg.Limits)
	ex := s.p.newExchange(d, req, cc, time.Now())
	defer ex.recycle()
	d.connect = r2.connect
	stop := context.AfterFunc(r.Context(), d.left)
	defer stop()
	switch {
	case r2.refusal != nil:
		ex.stats = ex.st.none
		ex.refuse(r2.refusal)
		ex.finish()
	case cc.listener.cfg.RedirectHTTPS:
		ex.redirectHTTPS()
	default:
		keep := ex.run(r.Context())
		if !keep && ex.replied && !d.finished {
			panic(http.ErrAbortHandler) // the answer was cut: RST_STREAM says so
		}
	}
}

// h2Stream is the downstream of one stream.
type h2Stream struct {
	s        *h2Server
	cc       *clientConn
	w        http.ResponseWriter
	r        *http.Request
	ctl      *http.ResponseController
	connect  bool // RFC 8441: the stream wants to become a WebSocket
	finished bool // the answer was sent to its end
	body     *h2Source

	mu          sync.Mutex
	up          *http1.Conn // guarded by mu; the backend that is waited for
	hasLeft     bool        // guarded by mu
	interrupted bool        // guarded by mu; the request's body is not read any more
}

func (d *h2Stream) source() bodySource {
	if d.body == nil {
		d.body = &h2Source{r: d.r}
	}
	return d.body
}

// extendRead does nothing after interruptBody, which a reader about to wait must not undo.
func (d *h2Stream) extendRead(now time.Time, t time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.interrupted {
		d.ctl.SetReadDeadline(now.Add(t))
	}
}

func (d *h2Stream) interruptBody() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.interrupted = true
	d.ctl.SetReadDeadline(time.Unix(1, 0))
}

func (d *h2Stream) bare() bool                                 { return false }
func (d *h2Stream) extendWrite(now time.Time, t time.Duration) { d.ctl.SetWriteDeadline(now.Add(t)) }

func (d *h2Stream) resumeBody() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.interrupted = false
}

func (d *h2Stream) watch(up *http1.Conn, _ time.Time) {
	d.mu.Lock()
	d.up = up
	left := d.hasLeft
	d.mu.Unlock()
	if left {
		up.Abort()
	}
}

func (d *h2Stream) unwatch() {
	d.mu.Lock()
	d.up = nil
	d.mu.Unlock()
}

func (d *h2Stream) gone() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hasLeft
}

// left is called when the client resets the stream or its connection ends.
func (d *h2Stream) left() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hasLeft = true
	if d.up != nil {
		d.up.Abort()
		d.up = nil
	}
}

func (d *h2Stream) interim(resp *http1.Response) error {
	if resp.Status == http.StatusContinue {
		return nil // net/http has sent it when the body was first read
	}
	d.addFields(resp.Fields)
	d.w.WriteHeader(resp.Status)
	clear(d.w.Header())
	return nil
}

func (d *h2Stream) addFields(fields []http1.Field) {
	h := d.w.Header()
	for i := range fields {
		if f := &fields[i]; forClient(f) {
			h.Add(string(f.Name), string(f.Value))
		}
	}
}

func (d *h2Stream) begin(a *answer) (bodySink, error) {
	d.addFields(a.fields)
	h := d.w.Header()
	for _, x := range a.extra {
		h.Add(string(x.Name), string(x.Value))
	}
	setLength(h, a)
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // the backend sent none, so none is guessed
	}
	d.w.WriteHeader(a.status)
	return (*h2Sink)(d), nil
}

// h2Sink is the body of the answer.
type h2Sink h2Stream

func (s *h2Sink) Write(p []byte) (int, error) { return s.w.Write(p) }
func (s *h2Sink) Flush() error {
	if s.finished {
		return nil // net/http ends the stream when its handler returns
	}
	return s.ctl.Flush()
}

func (s *h2Sink) Close(trailers []http1.Field) error {
	for i := range trailers {
		s.w.Header().Add(http.TrailerPrefix+string(trailers[i].Name), string(trailers[i].Value))
	}
	s.finished = true
	return nil
}

// http2Log has what net/http says in the log: of clients that err for who asks for it,
// of a mistake of ours for all.
type http2Log struct{ log *slog.Logger }

func (h http2Log) Write(line []byte) (int, error) {
	text, level := strings.TrimSpace(string(line)), slog.LevelDebug
	if strings.Contains(text, "panic") {
		level = slog.LevelError
	}
	h.log.Log(context.Background(), level, "http2", "says", text)
	return len(line), nil
}
