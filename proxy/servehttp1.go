package proxy

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/dsproxy/dsproxy/proxy/http1"
)

// h1Conn is a client's HTTP/1 connection: it reads one request after the other
// and is the downstream of each.
type h1Conn struct {
	p    *Proxy
	cc   *clientConn
	conn *http1.Conn
	req  http1.Request

	// Of the request being served.
	body  bodySource
	taken bool // the connection now belongs to a tunnel
}

// h1Conns keeps those of ended connections, for the memory of their heads.
var h1Conns = sync.Pool{New: func() any { return new(h1Conn) }}

var http2Preface = []byte("PRI * HTTP/2.0")

// serveHTTP speaks HTTP/1 on a connection, or hands it to HTTP/2 when the
// client begins with that version's preface (prior knowledge, RFC 9113 section 3.3).
func (p *Proxy) serveHTTP(cc *clientConn) {
	h := h1Conns.Get().(*h1Conn)
	h.p, h.cc, h.conn = p, cc, http1.NewConnPending(cc.conn(), cc.pending)
	cc.pending = nil
	defer h.recycle()
	cc.http.Store(h.conn)
	idle := p.state.Load().cfg.Timeouts.Header // until the first byte of a fresh connection
	for first := true; ; first = false {
		h.conn.SetReadTimeout(time.Now(), idle)
		cc.idle.Store(true)
		if p.draining.Load() && !first {
			break
		}
		err := h.conn.AwaitHead()
		cc.idle.Store(false)
		if err != nil {
			break
		}
		if first && bytes.HasPrefix(h.conn.Buffered(), http2Preface) {
			cc.http.Store(nil)
			nc, pending := h.conn.Detach()
			nc.SetDeadline(time.Time{})
			cc.setConn(&replayConn{Conn: nc, pending: pending})
			p.h2.take(cc)
			return
		}
		if !h.serveOne() {
			break
		}
		idle = p.state.Load().cfg.Timeouts.Idle
	}
	if h.taken {
		return
	}
	cc.http.Store(nil)
	h.conn.Close()
	p.conns.release(cc)
}

func (h *h1Conn) recycle() {
	h.req.Reset()
	clear(h.req.Fields[:cap(h.req.Fields)])
	*h = h1Conn{req: h.req}
	h1Conns.Put(h)
}

// serveOne serves one request and reports whether another may follow.
func (h *h1Conn) serveOne() (keep bool) {
	st := h.p.state.Load()
	err := h.conn.ReadRequest(&h.req, st.wire)
	if err != nil {
		h.badRequest(err)
		return false
	}
	now := time.Now()
	h.conn.SetReadTimeout(now, st.cfg.Timeouts.Idle)
	h.body = h.conn.Body()
	ex := h.p.newExchange(h, &h.req, h.cc, now)
	defer ex.recycle()
	if h.cc.listener.cfg.RedirectHTTPS {
		return ex.redirectHTTPS() && h.req.Framing.Empty()
	}
	keep = ex.run(context.Background())
	if h.taken || h.cc.watched.wasGone() {
		return false
	}
	if !keep {
		// Bytes of the request that nobody will read would reset the
		// connection under the answer.
		h.conn.CloseLingering(lingerBytes, lingerTime)
		return false
	}
	return h.req.KeepAlive
}

// What a client may still send while it reads the last answer of its connection.
const (
	lingerBytes = 256 << 10
	lingerTime  = 2 * time.Second
)

// badRequest answers what is not a request. The connection is closed: where
// one message ends and the next begins is not known any more.
func (h *h1Conn) badRequest(err error) {
	var bad *http1.Error
	if !errors.As(err, &bad) {
		return // closed, or silent, before or within the head
	}
	h.req.Reset()
	ex := h.p.newExchange(h, &h.req, h.cc, time.Now())
	defer ex.recycle()
	ex.stats = ex.st.none
	defer ex.finish()
	r := &refusal{status: bad.Status, cause: bad.Cause, detail: err.Error(), close: true}
	switch bad.Cause {
	case http1.CauseHeadTimeout:
		r.limit = limitHeaderTime
	case http1.CauseHeadBytes, http1.CauseHeaderLines:
		r.limit = limitHead
	}
	ex.refuse(r)
	h.conn.CloseLingering(lingerBytes, lingerTime)
}

func (h *h1Conn) source() bodySource                         { return h.body }
func (h *h1Conn) extendRead(now time.Time, d time.Duration)  { h.conn.SetReadTimeout(now, d) }
func (h *h1Conn) extendWrite(now time.Time, d time.Duration) { h.conn.SetWriteTimeout(now, d) }
func (h *h1Conn) watch(up *http1.Conn, now time.Time)        { h.cc.watched.watch(up, now) }
func (h *h1Conn) unwatch()                                   { h.cc.watched.unwatch() }
func (h *h1Conn) gone() bool                                 { return h.cc.watched.wasGone() }
func (h *h1Conn) bare() bool                                 { _, ok := h.conn.NetConn().(*net.TCPConn); return ok }
func (h *h1Conn) interruptBody()                             { h.conn.InterruptRead() }
func (h *h1Conn) resumeBody()                                { h.conn.Resume() }

func (h *h1Conn) interim(resp *http1.Response) error {
	if h.req.Minor == 0 {
		return nil // HTTP/1.0 knows no 1xx (RFC 9110 section 15.2)
	}
	out := http1.AppendStatusLine(h.conn.Out(), resp.Status, resp.Reason)
	out = appendAnswerFields(out, resp.Fields)
	h.conn.SetOut(http1.AppendHeadEnd(out))
	return h.conn.Flush()
}

func (h *h1Conn) begin(a *answer) (bodySink, error) {
	f := a.framing
	switch {
	case f.Kind == http1.Chunked && h.req.Minor == 0:
		f = http1.Framing{Kind: http1.UntilClose}
	case f.Kind == http1.UntilClose && h.req.Minor == 1:
		f = http1.Framing{Kind: http1.Chunked}
	}
	if f.Kind == http1.UntilClose || !h.req.KeepAlive {
		a.close = true
	}
	out := http1.AppendStatusLine(h.conn.Out(), a.status, a.reason)
	out = appendAnswerFields(out, a.fields)
	for _, x := range a.extra {
		out = http1.AppendField(out, x.Name, x.Value)
	}
	if f.Kind == http1.None && a.declared >= 0 {
		out = http1.AppendFraming(out, http1.Framing{Kind: http1.Length, Length: a.declared})
	} else {
		out = http1.AppendFraming(out, f)
	}
	switch {
	case a.close:
		out = append(out, "Connection: close\r\n"...)
	case h.req.Minor == 0:
		out = append(out, "Connection: keep-alive\r\n"...)
	}
	h.conn.SetOut(http1.AppendHeadEnd(out))
	return h.conn.StartBody(f), nil
}

// switchProtocols passes the 101 on and leaves the connection to a tunnel.
// What the backend has sent behind its 101 travels in the same segment.
func (h *h1Conn) switchProtocols(ex *exchange, up *http1.Conn) error {
	out := http1.AppendStatusLine(h.conn.Out(), 101, ex.resp.Reason)
	out = appendAnswerFields(out, ex.resp.Fields)
	out = append(out, "Connection: Upgrade\r\n"...)
	if ex.resp.Upgrade != nil {
		out = http1.AppendField(out, "Upgrade", ex.resp.Upgrade)
	}
	h.conn.SetOut(http1.AppendHeadEnd(out))
	h.conn.SetWriteTimeout(time.Now(), ex.st.cfg.Timeouts.Idle)
	if err := h.conn.Flush(); err != nil {
		up.Close()
		return err
	}
	h.cc.http.Store(nil)
	h.taken = true
	p, cc := h.p, h.cc // the tunnel must not keep h, with its buffers, alive
	p.conns.becameTunnel(cc)
	nc, pending := h.conn.Detach()
	return p.startTunnel(ex, nc, pending, up, func() { p.conns.release(cc) })
}
