package proxy

import (
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/dsproxy/dsproxy/affinity"
	"github.com/dsproxy/dsproxy/backend"
	"github.com/dsproxy/dsproxy/proxy/http1"
)

// maxTries bounds how many backends see a request before its client is told.
const maxTries = 4

// maxInterim bounds the 1xx answers in front of a final one.
const maxInterim = 16

// run takes the request through its life. It reports whether the client's
// connection may carry another one.
func (ex *exchange) run(ctx context.Context) (keep bool) {
	ex.stats = ex.st.none
	defer ex.finish()
	if http1.HasToken(ex.req.Upgrade, "h2c") {
		// A backend that switched to HTTP/2 would serve requests that the
		// proxy cannot see. A server may ignore the wish (RFC 9110 section 7.8).
		ex.req.Upgrade = nil
	}
	if r := ex.recognise(); r != nil {
		return ex.refuse(r)
	}
	order, lost := ex.route(ctx)
	if lost != nil {
		return ex.answerLost(lost)
	}
	out := ex.tryEach(ctx, order)
	if out.dead && ex.choice == choicePin {
		// The process that held the session is gone, so the session is too.
		ex.p.pins.Unpin(ctx, ex.match.Key, ex.backend)
		if order, lost = ex.fallback(ex.p.pool.Set(), true); lost != nil {
			return ex.answerLost(lost)
		}
		out = ex.tryEach(ctx, order)
	} else if out.dead && ex.choice == choiceCookie {
		ex.choice = choiceNew
		out = ex.tryEach(ctx, ex.p.pool.Set().Least(leastOf))
	}
	switch {
	case out.done:
		return out.keep
	case out.refusal != nil:
		return ex.refuse(out.refusal)
	default:
		return ex.refuse(&refuseNoBackend)
	}
}

// recognise matches the request against the rules, and reads the beginning of
// its body where the session's key is in there.
func (ex *exchange) recognise() *refusal {
	if max := ex.st.cfg.Limits.BodyBytes; max > 0 && ex.req.Framing.Length > max {
		return &refuseBodySize
	}
	if ex.st.rules == nil {
		return nil
	}
	if ex.match, ex.matched = ex.st.rules.match(ex); !ex.matched {
		return nil
	}
	ex.stats = ex.st.stats[ex.match.Rule.Name]
	if ex.match.NeedBody > 0 {
		if r := ex.readPrefix(); r != nil {
			return r
		}
	}
	if ex.match.Phase != affinity.Stateless {
		ex.stats.transport[ex.match.Transport].Inc()
	}
	return nil
}

// readPrefix buffers the beginning of the request body until the rule has
// found its key in it, at most as much as the rule asks for.
func (ex *exchange) readPrefix() *refusal {
	src := ex.down.source()
	for {
		if !src.Ready() {
			ex.now = time.Now()
			ex.down.extendRead(ex.now, ex.st.cfg.Timeouts.Idle)
		}
		chunk, err := src.Next()
		final := err != nil
		if err != nil && err != io.EOF {
			return bodyRefusal(err)
		}
		ex.prefix = append(ex.prefix, chunk...)
		look := ex.prefix[:min(len(ex.prefix), ex.match.NeedBody)]
		if len(look) == ex.match.NeedBody && !final {
			ex.p.metrics.limits.WithLabelValues(limitBody).Inc()
			final = true
		}
		if ex.match.KeyFromBody(look, final) || final {
			return nil
		}
	}
}

// outcome is what came of sending the request to one backend, or to several.
type outcome struct {
	done    bool // the client has its answer, or is gone
	keep    bool
	unseen  bool // the backend has not seen a byte of the request
	dead    bool // no connection could be made, and not for want of time
	refusal *refusal
}

// tryEach sends the request to the first backend that takes it. Only a request
// of which no backend has seen a byte goes on to the next.
func (ex *exchange) tryEach(ctx context.Context, order iter.Seq[*backend.Member]) outcome {
	ex.ctx, ex.out = ctx, outcome{}
	ex.maxTries = max(maxTries, ex.search)
	order(ex.tryOne)
	return ex.out
}

// tryNext is the body of tryEach's loop; it reports whether to go on. It is
// kept as ex.tryOne, so that a request does not allocate a closure.
func (ex *exchange) tryNext(m *backend.Member) (next bool) {
	if ex.tries++; ex.tries > 1 {
		ex.p.metrics.retries.WithLabelValues("backend").Inc()
	}
	ex.member, ex.backend = m, m.ID
	if !m.Acquire() {
		ex.out = outcome{refusal: refuseBusy.with(nil), unseen: true}
	} else {
		ex.out = ex.try(ex.ctx, m)
		m.Release()
	}
	return ex.out.unseen && ex.tries < ex.maxTries
}

// try sends the request to one backend and the answer back.
func (ex *exchange) try(ctx context.Context, m *backend.Member) outcome {
	us := ex.p.upstreams.of(m)
	ex.resend, ex.received, ex.watchReq.buf = ex.resend[:0], 0, ex.watchReq.buf[:0]
	if ex.req.Upgrade != nil {
		up, err := ex.dialUpgrade(ctx, us)
		if err != nil {
			return ex.dialFailed(m, err)
		}
		return ex.upgrade(ctx, m, up)
	}
	pool := us.pool
	up, reused, err := pool.Take(ctx)
	if err != nil {
		return ex.dialFailed(m, err)
	}
	out, again := ex.roundTrip(ctx, m, pool, up, reused)
	if again {
		ex.p.metrics.retries.WithLabelValues("stale_connection").Inc()
		if up, err = pool.Dial(ctx); err != nil {
			return ex.dialFailed(m, err)
		}
		out, _ = ex.roundTrip(ctx, m, pool, up, false)
	}
	return out
}

func (ex *exchange) dialFailed(m *backend.Member, err error) outcome {
	ex.p.log.Debug("dial failed", "backend", m.ID, "err", err)
	if isOurs(err) {
		return outcome{refusal: refuseOurs.with(err)}
	}
	m.Report(backend.DialFailed)
	var de *http1.DialError
	if errors.As(err, &de) && de.Timeout() {
		return outcome{unseen: true, refusal: refuseDialTime.with(err)}
	}
	return outcome{unseen: true, dead: true, refusal: refuseDial.with(err)}
}

// isOurs recognises what keeps this machine from dialing, whatever the backend:
// no more files, ports or memory.
func isOurs(err error) bool {
	for _, e := range [...]error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// roundTrip carries one request and its answer over a connection. again is
// true when the connection was a kept one that had died, and the request may be
// sent on another one without doubt.
func (ex *exchange) roundTrip(ctx context.Context, m *backend.Member, pool *http1.Pool, up *http1.Conn, reused bool) (out outcome, again bool) {
	if ex.match.Poll && ex.choice == choicePin {
		ex.keepSession()
	}
	upl, err := ex.send(up, reused)
	if err == nil {
		err = ex.awaitHead(up, upl)
	}
	if err != nil {
		up.Abort()
		upl.stop(ex.down)
		stale := reused && errors.Is(err, http1.ErrStale)
		if stale && upl == nil && ex.composed {
			// Not a byte has left: what waits in there, body and all, still can.
			ex.resend = append(ex.resend[:0], up.Out()...)
		}
		up.Close()
		if stale || reused && ex.repeatable() && isClosed(err) {
			return outcome{}, true
		}
		return ex.answerFailed(m, upl, err), false
	}
	ex.reportAnswer(m)
	if ex.searchesOn(upl) {
		up.Close()
		return outcome{unseen: true}, false
	}
	keep, complete := ex.relay(ctx, up, upl)
	uploaded := upl.stop(ex.down)
	if complete && uploaded {
		pool.Put(up)
	} else {
		up.Close()
	}
	return outcome{done: true, keep: keep && uploaded}, false
}

// send leaves a request whose body is at hand waiting in up, to go out when its
// answer is awaited, and starts sending any other.
func (ex *exchange) send(up *http1.Conn, reused bool) (*upload, error) {
	up.SetWriteTimeout(ex.now, ex.st.cfg.Timeouts.Idle)
	ex.composed = false
	if len(ex.resend) > 0 {
		ex.composed = true
		up.SetOut(append(up.Reserve(len(ex.resend)), ex.resend...))
		up.StartBody(http1.Framing{}).Close(nil) // it is in there
		return nil, nil
	}
	up.SetOut(ex.appendRequestHead(up.Reserve(ex.req.HeadBytes+addedHead), false))
	if reused && !ex.req.Framing.Empty() && up.Probe() != http1.Quiet {
		return nil, http1.ErrStale
	}
	upl, err := ex.sendBody(up)
	ex.composed = upl == nil && err == nil
	return upl, err
}

// addedHead is about what the proxy adds to the head of a request, in bytes.
const addedHead = 512

// reportAnswer tells the pool what it may learn from an answer: a backend that
// fails at handshakes is not healthy, whatever its port says.
func (ex *exchange) reportAnswer(m *backend.Member) {
	switch {
	case !ex.matched || ex.match.Phase != affinity.Handshake:
		m.Report(backend.Answered)
	case ex.resp.Status >= 500:
		m.Report(backend.HandshakeFailed)
	default:
		m.Report(backend.HandshakeServed)
	}
}

// repeatable reports whether sending the request twice can do no harm: a
// pending poll destroys an engine.io session when it is doubled, and a body
// is gone once it was sent.
func (ex *exchange) repeatable() bool {
	if ex.match.Poll || !ex.req.Framing.Empty() || len(ex.prefix) > 0 {
		return false
	}
	switch string(ex.req.Method) {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	}
	return false
}

// isClosed recognises a kept connection that the backend closed in the moment it was used.
func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// awaitHead reads the head of the answer into ex.resp, passing on the 1xx that
// come before it.
func (ex *exchange) awaitHead(up *http1.Conn, upl *upload) error {
	timeout := ex.st.cfg.Timeouts.Response
	if ex.match.Poll {
		timeout = max(timeout, ex.st.cfg.Timeouts.LongPoll)
	}
	for range maxInterim {
		if len(up.Buffered()) == 0 {
			up.SetReadTimeout(ex.now, timeout)
			ex.down.watch(up, ex.now)
			err := awaitAnswer(up, upl)
			for isTimeout(err) && upl.advanced() {
				up.SetReadTimeout(time.Now(), timeout)
				err = awaitAnswer(up, upl)
			}
			ex.down.unwatch()
			ex.now = time.Now()
			if err != nil {
				return err
			}
		}
		if err := up.ReadResponse(&ex.resp, ex.req.Method, ex.st.wire); err != nil {
			return err
		}
		if !ex.resp.Interim() {
			return nil
		}
		if err := ex.down.interim(&ex.resp); err != nil {
			return errClientGone
		}
	}
	return errTooManyInterim
}

// awaitAnswer sends a request that waits in up, unless an upload is sending, and
// waits for the first byte of its answer.
func awaitAnswer(up *http1.Conn, upl *upload) error {
	if upl != nil {
		return up.AwaitReadable()
	}
	return up.AwaitAnswer()
}

var (
	errClientGone     = errors.New("client closed the connection")
	errTooManyInterim = errors.New("more than 16 interim answers")
)

// answerFailed decides what to tell the client of a backend that took a
// request and gave no usable answer.
func (ex *exchange) answerFailed(m *backend.Member, upl *upload, err error) outcome {
	if ex.down.gone() || errors.Is(err, errClientGone) {
		return outcome{done: true}
	}
	if r := upl.refusal(); r != nil {
		return outcome{refusal: r}
	}
	if ex.matched && ex.match.Phase == affinity.Handshake {
		m.Report(backend.HandshakeFailed)
	}
	var bad *http1.Error
	switch {
	case errors.As(err, &bad) || errors.Is(err, errTooManyInterim):
		return outcome{refusal: refuseBadAnswer.with(err)}
	case isTimeout(err):
		return outcome{refusal: refuseAnswerTime.with(err)}
	default:
		return outcome{refusal: refuseNoAnswer.with(err)}
	}
}

func isTimeout(err error) bool {
	if err == nil {
		return false
	}
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}
