// Package session is one client's conversation: challenge, login, open, closed;
// and the way back to it, the outbox.
//
// An endpoint makes a Session with New for each connection, calls Start, feeds
// it what arrives through Receive, and calls End when the connection is gone. The
// session decodes, leads the challenge and the login itself, and hands every
// message of a logged-in client to the Handler. Anyone may Send to it at any
// time: the message is encoded and appended to the outbox, and the Flusher
// writes what has gathered.
//
// Lock order: recv, then anything of the layers above, then out.mu, then a
// worker's mu. Handlers run under recv of their own session and must not wait for
// another session's Receive.
package session

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/wire"
)

// User is who logged in.
type User struct {
	ID         string
	ClientData string // JSON, given to the client; may be empty
	ServerData string // JSON, for permissions; may be empty
}

// Handshake is what the connection said before the first message. A session
// forgets it with the login.
type Handshake struct {
	Header        http.Header // without the host
	Host          string
	RemoteAddress string
}

// Verdict is the answer to a login.
type Verdict struct {
	OK   bool
	User User
}

// Handler is what the layers above do with a session. Its methods are called by
// one goroutine at a time for a session, in the order Login..., Opened,
// Message..., Closed; Closed is only called after Opened.
type Handler interface {
	// Login judges the auth data, which is a JSON object. It may take its time.
	Login(s *Session, h *Handshake, authData string) Verdict
	Opened(s *Session)
	// Message may keep nothing of m after it returns.
	Message(s *Session, m *message.Message)
	Closed(s *Session)
}

// Limits bounds what one client may do.
type Limits struct {
	// MaxAuthAttempts failed logins end the connection.
	MaxAuthAttempts int
	// UnauthenticatedTimeout ends a connection whose first login is not
	// answered within it; 0 means never.
	UnauthenticatedTimeout time.Duration
	// Heartbeat is the interval of the protocols that have one; a client silent
	// for more than twice as long is closed. 0 means never.
	Heartbeat time.Duration
	// OutboxBytes may wait for the client before it is closed as too slow.
	OutboxBytes int
	// MessagesPerSecond slows the reading down to a rate; 0 means no limit.
	MessagesPerSecond int
}

type state uint8

const (
	challenging state = iota
	authenticating
	open
	ended
)

// Session is one client. Its exported methods are safe for concurrent use.
type Session struct {
	// Set by New.
	id      uint64
	codec   wire.Codec
	traits  *wire.Traits
	conn    Conn
	flusher *Flusher
	handler Handler
	limits  *Limits
	sweeper *Registry
	limiter *rate.Limiter

	user   User         // set before the state is open
	heard  atomic.Int64 // Unix nanoseconds
	pinged atomic.Int64 // Unix nanoseconds
	fatal  atomic.Pointer[error]
	gone   atomic.Bool
	opened atomic.Bool
	// settled is set by what comes first, the answer to a login or its deadline.
	settled atomic.Bool

	recv      sync.Mutex
	state     state       // guarded by recv
	attempts  int         // guarded by recv
	deadline  *time.Timer // guarded by recv
	handshake *Handshake  // guarded by recv

	out outbox
}

// ID is unique among the sessions of this process.
func (s *Session) ID() uint64 { return s.id }

// User is valid once the session is open.
func (s *Session) User() *User { return &s.user }

// Codec is the protocol of the client.
func (s *Session) Codec() wire.ID { return s.traits.ID }

// PerName says that the client wants an answer for each name (wire.Traits).
func (s *Session) PerName() bool { return s.traits.PerName }

// RemoteAddr is where the client connects from.
func (s *Session) RemoteAddr() string { return s.conn.RemoteAddr() }

// Start opens the conversation.
func (s *Session) Start() {
	s.recv.Lock()
	defer s.recv.Unlock()
	if s.limits.UnauthenticatedTimeout > 0 {
		s.deadline = time.AfterFunc(s.limits.UnauthenticatedTimeout, s.loginOverdue)
	}
	if s.traits.ServerFirst {
		s.Send(&message.Message{Topic: message.Connection, Action: message.ConnectionChallenge})
	}
}

// ErrEnded is returned by Receive once the session is over.
var ErrEnded = errors.New("session has ended")

// Receive handles one frame. After an error the endpoint closes the connection
// and calls End; the client has been told. What comes while the connection is
// being closed is passed over: the last words may be on their way yet.
func (s *Session) Receive(frame []byte) error {
	s.recv.Lock()
	defer s.recv.Unlock()
	if s.state == ended {
		return s.rest(ErrEnded)
	}
	s.Heard()
	if err := s.codec.Decode(frame, (*receiver)(s)); err != nil {
		return s.rest(err)
	}
	if e := s.fatal.Load(); e != nil {
		return *e
	}
	return nil
}

// Open reports that the client has logged in.
func (s *Session) Open() bool { return s.opened.Load() }

// Gone reports that End was called; Handler.Closed follows.
func (s *Session) Gone() bool { return s.gone.Load() }

// Heard notes a sign of life.
func (s *Session) Heard() { s.heard.Store(s.sweeper.now().UnixNano()) }

// Waits calls f, in which a handler waits for others. When it has waited for a moment
// the clients are read by another goroutine that the same one reads for.
func (s *Session) Waits(f func()) {
	if c, ok := s.conn.(Yielder); ok {
		defer time.AfterFunc(moment, c.Yield).Stop()
	}
	f()
}

// moment is what a store takes that answers, as a rule.
const moment = 500 * time.Microsecond

// End is called by the endpoint when the connection is gone.
func (s *Session) End() {
	s.gone.Store(true)
	s.out.mu.Lock()
	s.out.closed = true
	s.out.mu.Unlock()
	s.sweeper.remove(s)

	s.recv.Lock()
	defer s.recv.Unlock()
	was := s.state
	s.state = ended
	s.stopDeadline()
	if was == open {
		s.sweeper.loggedIn.Add(-1)
		s.handler.Closed(s)
	}
}

// rest is the error for what comes after the end.
func (s *Session) rest(err error) error {
	if errors.Is(err, ErrEnded) && !s.gone.Load() && s.fatal.Load() == nil && s.leaving() {
		return nil
	}
	return err
}

// leaving reports that the connection is being closed.
func (s *Session) leaving() bool {
	if s.gone.Load() || s.fatal.Load() != nil {
		return true
	}
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	return s.out.closing != nil
}

// fail closes the connection without ceremony.
func (s *Session) fail(err error, code int) {
	if s.fatal.CompareAndSwap(nil, &err) && errors.Is(err, ErrSlow) {
		s.sweeper.stats.Slow.Add(1)
	}
	s.conn.Close(code, err.Error())
}

func (s *Session) stopDeadline() {
	if s.deadline != nil {
		s.deadline.Stop()
		s.deadline = nil
	}
}

// receiver is the session as the sink of its decoder.
type receiver Session

func (r *receiver) Message(m *message.Message) error {
	s := (*Session)(r)
	s.sweeper.stats.Received.Add(1)
	if s.limiter != nil {
		if d := s.limiter.Reserve().Delay(); d > 0 {
			s.sweeper.stats.Slowed.Add(1)
			time.Sleep(d)
			if s.leaving() {
				return ErrEnded // the rest of the frame could take for ever
			}
		}
	}
	switch s.state {
	case open:
		return s.converse(m)
	case challenging:
		return s.challenge(m)
	case authenticating:
		return s.login(m)
	}
	return ErrEnded
}

func (r *receiver) Malformed(reply *message.Message) error {
	s := (*Session)(r)
	if s.state != open && reply.Topic == message.Parser {
		if s.state == challenging {
			s.Send(&message.Message{Topic: message.Connection, Action: message.ConnectionInvalidMessage, Raw: reply.Raw})
		} else {
			s.refuseEarly()
		}
		return nil
	}
	s.Send(reply)
	return nil
}

// converse handles a message of a logged-in client.
func (s *Session) converse(m *message.Message) error {
	switch m.Topic {
	case message.Connection:
		switch m.Action {
		case message.ConnectionPing:
			s.Send(&pong)
		case message.ConnectionPong:
		default:
			s.Send(&message.Message{Topic: message.Parser, Action: message.ParserUnknownTopic, Raw: "C"})
		}
	case message.Auth, message.Parser:
		s.Send(&message.Message{Topic: message.Parser, Action: message.ParserUnknownTopic, Raw: "A"})
	default:
		s.sweeper.stats.In.Add(m.Topic, m.Action, 1)
		s.handler.Message(s, m)
	}
	return nil
}

var pong = message.Message{Topic: message.Connection, Action: message.ConnectionPong}

func (s *Session) String() string {
	return fmt.Sprintf("session %d (%s)", s.id, s.traits.Name)
}
