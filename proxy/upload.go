package proxy

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/dsproxy/dsproxy/proxy/http1"
)

// upload is the request body on its way to the backend. What is at hand when
// the head is sent goes with it; the rest is carried by a goroutine of its
// own, because the answer may start, or a 100 Continue be due, before the body
// has ended. A nil *upload is a body that was sent whole.
type upload struct {
	up    *http1.Conn
	moved atomic.Int64
	seen  int64 // moved at the last look; owned by the exchange
	done  chan struct{}

	// Set before done is closed.
	clientErr error // the client's side failed
	complete  bool
}

// sendBody puts the body behind the head that waits in up's buffer. If all of
// it is at hand it returns nil and leaves the flushing to the caller.
func (ex *exchange) sendBody(up *http1.Conn) (*upload, error) {
	sink := up.StartBody(ex.req.Framing)
	if ex.req.Framing.Empty() {
		return nil, sink.Close(nil)
	}
	if len(ex.prefix) > 0 {
		if err := ex.passBody(sink, ex.prefix); err != nil {
			return nil, err
		}
	}
	src := ex.down.source()
	for src.Ready() {
		chunk, err := src.Next()
		if err == io.EOF {
			return nil, sink.Close(src.Trailers())
		}
		if err != nil {
			return &upload{up: up, clientErr: err, done: closedChan}, err
		}
		if err := ex.passBody(sink, chunk); err != nil {
			return &upload{up: up, clientErr: err, done: closedChan}, err
		}
	}
	if err := up.Flush(); err != nil {
		return nil, err
	}
	u := &upload{up: up, done: make(chan struct{})}
	go ex.uploadRest(u, src, sink)
	return u, nil
}

var errBodyTooLarge = errors.New("request body is longer than limits.body_bytes")

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (ex *exchange) passBody(sink bodySink, chunk []byte) error {
	ex.received += int64(len(chunk))
	if max := ex.st.cfg.Limits.BodyBytes; max > 0 && ex.received > max {
		return errBodyTooLarge
	}
	if limit := ex.match.WatchRequest; limit > 0 {
		ex.watchReq.add(chunk, limit)
	}
	_, err := sink.Write(chunk)
	return err
}

// uploadRest carries the body until it ends or either side fails. It touches
// the client's read half and the backend's write half only.
func (ex *exchange) uploadRest(u *upload, src bodySource, sink bodySink) {
	defer close(u.done)
	idle := ex.st.cfg.Timeouts.Idle
	for {
		if !src.Ready() {
			ex.down.extendRead(time.Now(), idle)
		}
		chunk, err := src.Next()
		if err == io.EOF {
			if sink.Close(src.Trailers()) == nil && sink.Flush() == nil {
				u.complete = true
			}
			return
		}
		if err != nil {
			u.clientErr = err
			u.up.InterruptRead() // the answer will not come
			return
		}
		u.up.SetWriteTimeout(time.Now(), idle)
		// A backend that takes no more may have answered already: its answer,
		// or its silence, is for the exchange to judge.
		err = ex.passBody(sink, chunk)
		if err == errBodyTooLarge {
			u.clientErr = err
			u.up.InterruptRead()
			return
		}
		if err != nil || !src.Ready() && sink.Flush() != nil {
			return
		}
		u.moved.Add(int64(len(chunk)))
	}
}

// advanced reports whether the body is still moving: then it is too early to
// expect an answer.
func (u *upload) advanced() bool {
	if u == nil {
		return false
	}
	select {
	case <-u.done:
		return false
	default:
	}
	n := u.moved.Load()
	moved := n != u.seen
	u.seen = n
	return moved
}

// finished reports whether the whole body has been sent by now.
func (u *upload) finished() bool {
	if u == nil {
		return true
	}
	select {
	case <-u.done:
		return u.complete
	default:
		return false
	}
}

// stop ends the upload and waits for its goroutine. It reports whether the
// whole body had been sent: if not, neither connection can be used again.
func (u *upload) stop(down downstream) (complete bool) {
	if u == nil {
		return true
	}
	if !u.finished() {
		down.interruptBody()
		u.up.InterruptWrite()
		<-u.done
		if u.complete { // it ended in this very moment: both connections go on
			u.up.Resume()
			down.resumeBody()
		}
	}
	return u.complete
}

// settle gives the body the moment to end that it mostly needs when its answer
// is there: a connection that must be closed for it is a loss.
func (u *upload) settle() {
	if u.finished() {
		return
	}
	t := time.NewTimer(settleTime)
	defer t.Stop()
	select {
	case <-u.done:
	case <-t.C:
	}
}

// settleTime is what an answer is held back at most for a body still on its way.
const settleTime = 5 * time.Millisecond

// refusal is what to tell the client if it was its own body that failed. The
// upload must have been stopped.
func (u *upload) refusal() *refusal {
	if u == nil || u.clientErr == nil {
		return nil
	}
	return bodyRefusal(u.clientErr)
}

func bodyRefusal(err error) *refusal {
	var bad *http1.Error
	switch {
	case errors.Is(err, errBodyTooLarge):
		return refuseBodySize.with(err)
	case errors.As(err, &bad):
		return &refusal{status: bad.Status, cause: bad.Cause, detail: err.Error(), close: true}
	case isTimeout(err):
		return refuseBodyTime.with(err)
	default:
		return &refusal{status: 400, cause: "body_cut", detail: err.Error(), close: true}
	}
}
