package proxy

import (
	"context"
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/dsproxy/dsproxy/affinity"
	"github.com/dsproxy/dsproxy/backend"
	"github.com/dsproxy/dsproxy/proxy/http1"
)

// exchange is one request on its way through the proxy, whatever the version
// of HTTP it came by. It is pooled: a request allocates next to nothing.
type exchange struct {
	p    *Proxy
	st   *state // the configuration this request lives under
	down downstream
	req  *http1.Request
	resp http1.Response

	// Set by admit.
	started  time.Time
	now      time.Time  // read when something was waited for, since it costs a call
	peer     netip.Addr // the other end of the connection
	client   netip.Addr // the client, as far as it is believed
	trusted  bool       // peer is in trust: its forwarding headers are believed
	listener *listener
	secure   bool
	idBuf    [32]byte
	id       []byte // the request id, idBuf or the client's own

	// Set by route.
	match   affinity.Match
	matched bool
	stats   *ruleMetrics
	choice  choice

	// Set by forward.
	ctx      context.Context              // of the attempts
	tryOne   func(m *backend.Member) bool // tryNext, bound once in the life of a pooled exchange
	out      outcome                      // of the last attempt
	answer   answer
	member   *backend.Member // the last one tried
	backend  string          // its ID, or empty
	status   int
	sent     int64 // body bytes of the answer
	received int64 // body bytes of the request
	tries    int
	maxTries int
	search   int    // how many backends to ask for a session the table may have forgotten; 0 does not search
	composed bool   // the request waits whole in the connection's buffer
	replied  bool   // the head of an answer has left: nothing else can be said
	release  func() // ends keepSession

	resend   []byte // a request of which a stale connection took nothing
	prefix   []byte // body bytes read before routing; sent first
	watchReq tally  // what EndsByRequest sees
	hold     []byte // the answer's body while it is being learned; what EndsByResponse sees
}

// choice is how the backend was chosen, for the log and for /explain.
type choice string

const (
	choicePin      choice = "pin"      // the table knows the session
	choiceNew      choice = "new"      // least sessions
	choiceFallback choice = "fallback" // unknown or lost session: rendezvous over its key
	choiceSearch   choice = "search"   // the table may have forgotten it: backends are asked in turn
	choiceHash     choice = "hash"     // rendezvous by rule
	choiceCookie   choice = "cookie"   // the affinity cookie names it
	choiceNone     choice = "none"     // answered here
)

// bodySource is the body of a request or an answer, pulled piece by piece; see http1.BodyReader.
type bodySource interface {
	Next() ([]byte, error)
	Ready() bool
	Trailers() []http1.Field
}

// bodySink is where a body goes; see http1.BodyWriter.
type bodySink interface {
	Write([]byte) (int, error)
	Flush() error
	Close(trailers []http1.Field) error
}

// downstream is the client's half of an exchange: a connection of HTTP/1, or a
// stream of HTTP/2.
type downstream interface {
	// source is the request's body.
	source() bodySource
	// interim passes on a 1xx other than 101.
	interim(resp *http1.Response) error
	// begin starts the answer; its bytes leave with the sink's Flush.
	begin(a *answer) (bodySink, error)
	// extend gives the client another idle timeout to send or to take bytes.
	extendRead(now time.Time, d time.Duration)
	extendWrite(now time.Time, d time.Duration)
	// watch closes up when the client is gone while its answer is awaited, until unwatch.
	watch(up *http1.Conn, now time.Time)
	unwatch()
	// gone reports whether watch found the client gone.
	gone() bool
	// interruptBody makes a source that waits for the client fail, until resumeBody.
	interruptBody()
	resumeBody()
	// bare reports whether the client is at the other end of a socket of its own.
	bare() bool
	// switchProtocols hands the client's side over to a tunnel after a 101.
	switchProtocols(ex *exchange, up *http1.Conn) error
}

// answer is the head of a response on its way to the client. fields are
// filtered: what speaks of one connection only does not pass.
type answer struct {
	status   int
	reason   []byte
	fields   []http1.Field
	extra    []http1.Field
	framing  http1.Framing
	declared int64 // Content-Length to pass on where no body follows (HEAD, 304), or -1
	close    bool  // end the connection afterwards
}

var exchanges = sync.Pool{New: func() any {
	ex := &exchange{}
	ex.tryOne = ex.tryNext
	return ex
}}

func (p *Proxy) newExchange(down downstream, req *http1.Request, cc *clientConn, now time.Time) *exchange {
	ex := exchanges.Get().(*exchange)
	hold, prefix, watch, resend := ex.hold[:0], ex.prefix[:0], ex.watchReq.buf[:0], ex.resend[:0]
	resp, tryOne := ex.resp, ex.tryOne
	resp.Reset()
	*ex = exchange{
		p: p, st: p.state.Load(), down: down, req: req, resp: resp, tryOne: tryOne,
		peer: cc.peer, listener: cc.listener, secure: cc.secure,
		choice: choiceNone, resend: resend, hold: hold, prefix: prefix, watchReq: tally{buf: watch},
	}
	ex.started = now
	ex.now = now
	ex.admit()
	return ex
}

func (ex *exchange) recycle() {
	ex.down, ex.req, ex.st, ex.ctx, ex.release = nil, nil, nil, nil, nil
	exchanges.Put(ex)
}

// admit settles who is asking and under which request id.
func (ex *exchange) admit() {
	ex.client = ex.peer
	if ex.trusted = ex.st.trust.contains(ex.peer); ex.trusted {
		if v, ok := ex.req.Lookup(http1.KindXForwardedFor); ok {
			ex.client = ex.st.trust.client(ex.peer, v)
		}
	}
	if v, ok := ex.req.Lookup(http1.KindXRequestID); ok && len(v) > 0 && len(v) <= 128 {
		ex.id = v
		return
	}
	var raw [16]byte
	for i := 0; i < 16; i += 8 {
		u := rand.Uint64()
		for j := range 8 {
			raw[i+j] = byte(u >> (8 * j))
		}
	}
	hex.Encode(ex.idBuf[:], raw[:])
	ex.id = ex.idBuf[:]
}

// The methods below make an exchange an affinity.Request.

func (ex *exchange) Method() []byte                    { return ex.req.Method }
func (ex *exchange) Path() []byte                      { return ex.req.Path }
func (ex *exchange) Query() []byte                     { return ex.req.RawQuery }
func (ex *exchange) Host() []byte                      { return ex.req.Host }
func (ex *exchange) Header(name string) ([]byte, bool) { return ex.req.Get(name) }
func (ex *exchange) RemoteIP() netip.Addr              { return ex.client }

// finish counts and logs the exchange once, however it ended.
func (ex *exchange) finish() {
	if ex.release != nil {
		ex.release()
	}
	took := time.Since(ex.started)
	ex.stats.answered(ex.status, took)
	if !ex.st.cfg.Log.Access {
		return
	}
	attrs := []slog.Attr{
		slog.String("id", string(ex.id)), slog.String("client", ex.client.String()),
		slog.String("method", string(ex.req.Method)), slog.String("path", ex.loggedPath()),
		slog.Int("status", ex.status), slog.String("backend", ex.backend),
		slog.String("choice", string(ex.choice)), slog.Int("tries", ex.tries),
		slog.Int64("received", ex.received), slog.Int64("sent", ex.sent), slog.Duration("took", took),
	}
	if ex.matched {
		attrs = append(attrs, slog.String("rule", ex.match.Rule.Name), slog.String("transport", ex.match.Transport.String()))
		if ex.match.HasKey {
			attrs = append(attrs, slog.String("session", ex.match.Key.Short()))
		}
	}
	ex.p.log.LogAttrs(context.Background(), slog.LevelInfo, "request", attrs...)
}

// loggedPath is the path without a session's id.
func (ex *exchange) loggedPath() string {
	if !ex.matched || !ex.match.KeyInPath() {
		return string(ex.req.Path)
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(string(ex.req.Path), "/"), "/")
	return "/" + first + "/..."
}

// tally keeps the first bytes of a body that passes by.
type tally struct{ buf []byte }

// add keeps what still fits into limit.
func (t *tally) add(p []byte, limit int) {
	if room := limit - len(t.buf); room > 0 {
		t.buf = append(t.buf, p[:min(room, len(p))]...)
	}
}
