package proxy

import (
	"context"
	"io"
	"time"

	"github.com/dsproxy/dsproxy/affinity"
	"github.com/dsproxy/dsproxy/proxy/http1"
)

// relay brings the answer whose head is in ex.resp to the client, streaming.
// keep reports whether the client's connection can go on; complete, whether
// the backend's answer was read to its end.
func (ex *exchange) relay(ctx context.Context, up *http1.Conn, upl *upload) (keep, complete bool) {
	body := up.Body()
	up.SetReadTimeout(ex.now, ex.st.cfg.Timeouts.Response)
	ended, held := ex.learn(ctx, body)
	upl.settle()
	ex.status = ex.resp.Status
	ex.answer = answer{
		status: ex.resp.Status, reason: ex.resp.Reason, fields: ex.resp.Fields,
		framing: ex.resp.Framing, declared: -1,
		close: !upl.finished() || ex.p.draining.Load(),
	}
	a := &ex.answer
	if a.status == 304 || string(ex.req.Method) == "HEAD" {
		a.declared = ex.resp.Declared // a 204 must not have one (RFC 9110 section 8.6)
	}
	if ex.choice == choiceNew && ex.st.cookie != nil && !ex.matched {
		ex.addCookie(a)
	}
	ex.down.extendWrite(ex.now, ex.st.cfg.Timeouts.Idle)
	sink, err := ex.down.begin(a)
	if err != nil {
		return false, false
	}
	ex.replied = true
	if ex.match.Poll {
		ex.keepSession() // of a claim that has only now been pinned
	}
	watched := ex.watchedAnswer()
	if len(held) > 0 {
		if _, err = sink.Write(held); err != nil {
			return false, false
		}
		ex.sent += int64(len(held))
	}
	if !ended {
		ended, err = ex.copyAnswer(body, sink, up, watched)
	}
	if !ended || err != nil {
		ex.stalled(err)
		return false, false
	}
	if sink.Close(body.Trailers()) != nil {
		return false, false
	}
	if watched {
		ex.endSession(ctx)
	}
	if sink.Flush() != nil {
		return false, true
	}
	return !a.close, true
}

// stalled counts an answer that was cut because its client took no bytes, or
// its backend sent none, for too long.
func (ex *exchange) stalled(err error) {
	if isTimeout(err) {
		ex.p.metrics.limits.WithLabelValues(limitIdleTime).Inc()
		ex.p.refusalLog.warn(ex.p.log, "answer cut", limitIdleTime, "id", string(ex.id), "client", ex.client, "backend", ex.backend)
	}
}

// copyAnswer passes the body on as it comes: what one read brought is written
// before the next read waits, so that no event lingers here.
func (ex *exchange) copyAnswer(body *http1.BodyReader, sink bodySink, up *http1.Conn, watched bool) (ended bool, err error) {
	idle := ex.st.cfg.Timeouts.Idle
	for first := true; ; first = false { // the first piece often came with the head
		waited := false
		if !body.Ready() {
			if err := sink.Flush(); err != nil {
				return false, err
			}
			ex.now = time.Now()
			up.SetReadTimeout(ex.now, ex.st.cfg.Timeouts.TunnelIdle)
			ex.down.watch(up, ex.now)
			waited = true
		}
		chunk, err := body.Next()
		if waited {
			ex.down.unwatch()
		}
		if waited || !first {
			ex.now = time.Now()
			ex.down.extendWrite(ex.now, idle)
		}
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if watched && len(ex.hold) < ex.match.WatchResponse {
			ex.hold = append(ex.hold, chunk[:min(len(chunk), ex.match.WatchResponse-len(ex.hold))]...)
		}
		if _, err := sink.Write(chunk); err != nil {
			return false, err
		}
		ex.sent += int64(len(chunk))
	}
}

// learn holds the answer of a handshake back until the session's key has been
// read from it and pinned: with another replica the next request may come a
// millisecond later. held is the part of the body already read, ended whether
// that is all of it.
func (ex *exchange) learn(ctx context.Context, body *http1.BodyReader) (ended bool, held []byte) {
	if !ex.matched {
		return false, nil
	}
	if ex.choice == choiceSearch && (ex.resp.Status == 101 || ex.resp.Status/100 == 2) {
		ex.pin(ctx, ex.match.Key, ex.match.TTL()) // found
		return false, nil
	}
	if ex.match.Phase == affinity.Claim {
		if ex.choice != choicePin && ex.match.Claims(ex.resp.Status) {
			ex.pin(ctx, ex.match.Key, ex.match.TTL())
		}
		return false, nil
	}
	if !ex.match.Learns {
		return false, nil
	}
	head := answerHead{&ex.resp}
	ended = ex.resp.Framing.Empty()
	learned, status := ex.match.Learn(head, nil, ended)
	for status == affinity.NeedMore {
		chunk, err := body.Next()
		ended = err == io.EOF
		if err != nil && !ended {
			break // relay meets the same error
		}
		ex.hold = append(ex.hold, chunk...)
		look := ex.hold[:min(len(ex.hold), affinity.LearnLimit)]
		learned, status = ex.match.Learn(head, look, ended)
	}
	switch status {
	case affinity.Done:
		ex.pin(ctx, learned.Key, learned.TTL)
	case affinity.NoSession:
		// The backend refused; its answer says so.
	default:
		ex.stats.unlearned.Inc()
		ex.p.log.Debug("no session key in the answer to a handshake", "rule", ex.match.Rule.Name, "why", status.String(), "id", string(ex.id))
	}
	held = ex.hold
	return ended, held
}

// pin binds a session to the backend that has just vouched for it, before the
// first byte of its answer leaves.
func (ex *exchange) pin(ctx context.Context, key affinity.Key, ttl time.Duration) {
	ex.stats.learned.Inc()
	ex.match.Key, ex.match.HasKey = key, true
	if kept := ex.p.pins.Pin(ctx, key, ex.backend, ttl); kept != ex.backend && kept != "" {
		if !ex.p.servesEstablished(ex.p.pool.Set(), kept) {
			kept = ex.p.pins.Move(ctx, key, kept, ex.backend, ttl)
		}
		if kept != ex.backend {
			ex.p.log.Warn("session is pinned elsewhere", "session", key.Short(), "backend", ex.backend, "pinned", kept)
		}
	}
}

// answerHead shows the head of an answer to the rules.
type answerHead struct{ *http1.Response }

func (a answerHead) Status() int                       { return a.Response.Status }
func (a answerHead) Header(name string) ([]byte, bool) { return a.Response.Get(name) }

// watchedAnswer reports whether the body of the answer may say that the session is over.
func (ex *exchange) watchedAnswer() bool {
	return ex.matched && ex.choice == choicePin
}

// endSession removes the pin of a session that the protocol has ended.
func (ex *exchange) endSession(ctx context.Context) {
	if ex.match.EndsByRequest(ex.watchReq.buf) || ex.match.EndsByResponse(ex.resp.Status, ex.hold) {
		ex.stats.ended.Inc()
		ex.p.pins.Unpin(ctx, ex.match.Key, ex.backend)
	}
}

// keepSession keeps the pin of a session alive while a request of it is open,
// until finish: a poll or a stream may last longer than the pin.
func (ex *exchange) keepSession() {
	if ex.release != nil || !ex.matched || !ex.match.HasKey {
		return
	}
	ex.release = ex.p.pins.Keep(ex.match.Key)
}

func (ex *exchange) addCookie(a *answer) {
	set := ex.p.cookieSet(ex.st, ex.p.pool.Set())
	if v, ok := set.SetCookie(ex.backend, ex.secure); ok {
		a.extra = append(a.extra, http1.Field{Name: []byte("Set-Cookie"), Value: []byte(v), Kind: http1.KindSetCookie})
	}
}
