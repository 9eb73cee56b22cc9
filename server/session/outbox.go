package session

import (
	"errors"
	"sync"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/wire"
)

// Conn is the way to one client, made by an endpoint.
type Conn interface {
	// TryWrite sends what the network takes without waiting and drops it from
	// b. The batch may be empty when Wake was called. It is done when nothing
	// is left. Calls do not overlap with each other or with Finish.
	TryWrite(b *Batch) (done bool, err error)
	// Finish sends the rest of a batch, waiting as long as the connection's
	// write deadline allows.
	Finish(b *Batch) error
	// Close ends the connection with a WebSocket close code (RFC 6455 section
	// 7.4) where there are such; it may be called more than once.
	Close(code int, reason string)
	RemoteAddr() string
}

// Yielder is a Conn that is read together with others.
type Yielder interface {
	// Yield has another goroutine read for the others. It is called while what was
	// read is handled, and nothing happens where that is over.
	Yield()
}

// WebSocket close codes that the node uses.
const (
	CloseNormal    = 1000
	CloseGoingAway = 1001
	CloseProtocol  = 1002
	ClosePolicy    = 1008
	CloseTooBig    = 1009
	CloseRestart   = 1012
	CloseOverload  = 1013
)

// outbox holds what waits to be written to one client.
type outbox struct {
	mu      sync.Mutex
	waiting Batch // guarded by mu
	queued  bool  // guarded by mu: a worker or a goroutine is going to look here
	woken   bool  // guarded by mu: the connection has frames of its own to send
	closed  bool  // guarded by mu: nothing more is taken
	closing *closing

	// sending belongs to whoever flushes.
	sending Batch
}

type closing struct {
	code   int
	reason string
}

// ErrSlow ends a client for which too much waits; a Conn that keeps what waits
// itself returns it from TryWrite.
var ErrSlow = errors.New("client does not read fast enough")

// Send encodes a message for this client alone.
func (s *Session) Send(m *message.Message) {
	s.sweeper.stats.Out.Add(m.Topic, m.Action, 1)
	e := encodings.Get().(*encoding)
	var enc wire.Encoded
	enc, e.buf = wire.Encode(s.codec, e.buf, m)
	s.sendEncoded(enc, false)
	e.release(enc, false)
}

// reply is Send by the goroutine that reads, which writes the message itself: there
// is none to join it with while a client logs in.
func (s *Session) reply(m *message.Message) {
	s.sweeper.stats.Out.Add(m.Topic, m.Action, 1)
	e := encodings.Get().(*encoding)
	var enc wire.Encoded
	enc, e.buf = wire.Encode(s.codec, e.buf, m)
	if s.enqueue(enc, false) {
		s.flush()
	}
	e.release(enc, false)
}

// sendEncoded queues a message that was encoded with the session's codec. It
// never waits: a client that has too much waiting is closed. Encodings that are
// shared or longer than 2 KiB are kept by reference and must not change.
func (s *Session) sendEncoded(e wire.Encoded, shared bool) {
	if s.enqueue(e, shared) {
		s.flusher.schedule(s)
	}
}

// enqueue reports true to the one who has to see to it that the outbox is flushed.
func (s *Session) enqueue(e wire.Encoded, shared bool) bool {
	if e.Empty() {
		return false
	}
	p := e.Framed
	if s.traits.Joins {
		p = e.Payload
	}
	o := &s.out
	o.mu.Lock()
	if o.closed || o.closing != nil {
		o.mu.Unlock()
		return false
	}
	if o.waiting.size+len(p) > s.limits.OutboxBytes && o.waiting.size > 0 {
		o.closed = true
		o.mu.Unlock()
		s.fail(ErrSlow, CloseOverload)
		return false
	}
	if shared && !s.traits.Joins {
		o.waiting.addShared(p)
	} else {
		o.waiting.add(p)
	}
	first := !o.queued
	o.queued = true
	o.mu.Unlock()
	return first
}

// Wake has the connection's TryWrite called soon, for frames of its own.
func (s *Session) Wake() {
	o := &s.out
	o.mu.Lock()
	schedule := !o.queued && !o.closed
	o.woken = true
	o.queued = o.queued || schedule
	o.mu.Unlock()
	if schedule {
		s.flusher.schedule(s)
	}
}

// Close sends what is waiting and then ends the connection.
func (s *Session) Close(code int, reason string) {
	o := &s.out
	o.mu.Lock()
	if o.closing == nil {
		o.closing = &closing{code, reason}
	}
	o.mu.Unlock()
	s.Wake()
}

// flush sends what waits, once; more that came in the meantime gets its turn
// after the other sessions.
func (s *Session) flush() {
	o := &s.out
	o.mu.Lock()
	o.sending, o.waiting = o.waiting, o.sending
	o.woken = false
	o.mu.Unlock()
	s.sweeper.stats.Sent.Add(uint64(o.sending.size))
	done, err := s.conn.TryWrite(&o.sending)
	switch {
	case err != nil:
		o.sending.reset()
		s.stopWriting(err)
	case !done:
		go s.catchUp()
	default:
		o.sending.reset()
		if s.settle() {
			s.flusher.schedule(s)
		}
	}
}

// catchUp writes with waiting, for a client that is slower than its messages.
func (s *Session) catchUp() {
	err := s.conn.Finish(&s.out.sending)
	s.out.sending.reset()
	if err != nil {
		s.stopWriting(err)
	} else if s.settle() {
		s.flusher.schedule(s)
	}
}

// settle looks whether more is waiting after a batch was sent; if not, it ends
// the flushing, and the connection when that is due.
func (s *Session) settle() (more bool) {
	o := &s.out
	o.mu.Lock()
	if (o.waiting.size > 0 || o.woken) && !o.closed {
		o.mu.Unlock()
		return true
	}
	o.queued = false
	c := o.closing
	if c != nil {
		o.closed = true
	}
	o.mu.Unlock()
	if c != nil {
		s.conn.Close(c.code, c.reason)
	}
	return false
}

func (s *Session) stopWriting(err error) {
	o := &s.out
	o.mu.Lock()
	o.closed = true
	o.queued = false
	o.waiting.reset()
	o.mu.Unlock()
	if errors.Is(err, ErrSlow) {
		s.fail(err, CloseOverload)
		return
	}
	s.fail(err, CloseGoingAway)
}

type encoding struct{ buf []byte }

var encodings = sync.Pool{New: func() any { return &encoding{buf: make([]byte, 0, 512)} }}

// release returns the buffer to the pool unless outboxes may refer to it.
func (e *encoding) release(enc wire.Encoded, shared bool) {
	if shared || len(enc.Framed) > shareFrom {
		e.buf = make([]byte, 0, 512)
	}
	encodings.Put(e)
}
