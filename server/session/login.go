package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/wire"
)

var (
	errTooManyAttempts = errors.New("too many authentication attempts")
	errBadAuthData     = errors.New("invalid authentication message")
	errLoginOverdue    = errors.New("no login in time")
	errElsewhere       = errors.New("server is stopping, go elsewhere")
)

// challenge waits for the client to say which address it used; a heartbeat is
// let pass.
func (s *Session) challenge(m *message.Message) error {
	if m.Topic != message.Connection {
		s.Send(&message.Message{Topic: message.Connection, Action: message.ConnectionInvalidMessage, Raw: m.Raw})
		return nil
	}
	if m.Action == message.ConnectionChallenge {
		if to := s.sweeper.redirect.Load(); to != nil {
			s.Send(elsewhere(to, m.URL))
			s.Close(CloseGoingAway, errElsewhere.Error())
			s.state = ended
			return nil
		}
		s.state = authenticating
		s.knowClient(m)
		s.reply(&message.Message{Topic: message.Connection, Action: message.ConnectionAccept})
	}
	return nil
}

// elsewhere is a redirection for a client that asked for a URL. Where the redirection
// names no path the client keeps its own: the generations have different ones.
func elsewhere(to *message.Message, asked string) *message.Message {
	target, err := url.Parse(to.URL)
	own, ownErr := url.Parse(asked)
	if err != nil || ownErr != nil || strings.Trim(target.Path, "/") != "" {
		return to
	}
	target.Path, target.RawQuery = own.Path, own.RawQuery
	m := *to
	m.URL = target.String()
	return &m
}

// knowClient adapts the protocol to what the client says it is. It happens before
// anything but the answer to the challenge is sent.
func (s *Session) knowClient(m *message.Message) {
	if s.traits.ID != wire.Protobuf || m.SDKType != "javascript" {
		return
	}
	if before(m.SDKVersion, 7, 1) {
		// Others that look at a session this early do so under the same lock.
		s.sweeper.mu.Lock()
		defer s.sweeper.mu.Unlock()
		s.codec = wire.For(wire.OldProtobuf)
		s.traits = s.codec.Traits()
	}
}

// before reports that a version such as "7.0.5" is lower than major.minor; one that
// cannot be read is not.
func before(version string, major, minor int) bool {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	a, errA := strconv.Atoi(first)
	b, errB := strconv.Atoi(second)
	return errA == nil && errB == nil && (a < major || a == major && b < minor)
}

func (s *Session) login(m *message.Message) error {
	switch {
	case m.Topic == message.Connection:
		return nil // heartbeats; the original leaves them unanswered before the login
	case m.Topic != message.Auth || m.Action != message.AuthRequest:
		s.refuseEarly()
		return nil
	case !isObject(m.Data):
		s.stopDeadline()
		s.Send(&message.Message{Topic: message.Auth, Action: message.AuthInvalidMessageData})
		s.Close(CloseProtocol, errBadAuthData.Error())
		s.state = ended
		return nil
	}
	v := s.handler.Login(s, s.handshake, m.Data)
	s.settled.Store(true)
	s.stopDeadline()
	if s.leaving() {
		s.state = ended // too late: nobody is to take this client for present
		return nil
	}
	if v.OK {
		s.user = v.User
		s.state = open
		s.opened.Store(true)
		s.handshake = nil
		s.sweeper.opened(s)
		s.handler.Opened(s)
		s.reply(&message.Message{Topic: message.Auth, Action: message.AuthSuccessful, Data: v.User.ClientData})
		if s.traits.ServerPings && s.limits.Heartbeat > 0 {
			s.Send(&ping)
		}
		return nil
	}
	s.Send(&message.Message{Topic: message.Auth, Action: message.AuthUnsuccessful, Data: v.User.ClientData})
	s.sweeper.stats.Refused.Add(1)
	s.attempts++
	if s.limits.MaxAuthAttempts > 0 && s.attempts >= s.limits.MaxAuthAttempts {
		s.sweeper.stats.Locked.Add(1)
		s.Send(&message.Message{Topic: message.Auth, Action: message.AuthTooManyAuthAttempts})
		s.Close(CloseNormal, errTooManyAttempts.Error())
		s.state = ended
	}
	return nil
}

// refuseEarly answers what comes before the login. Deepstream 1 hangs up then.
func (s *Session) refuseEarly() {
	s.Send(&message.Message{Topic: message.Auth, Action: message.AuthInvalidMessage})
	if s.traits.ID == wire.TextG1 {
		s.Close(CloseProtocol, errBadAuthData.Error())
		s.state = ended
	}
}

var ping = message.Message{Topic: message.Connection, Action: message.ConnectionPing}

func isObject(data string) bool {
	b := bytes.TrimLeft([]byte(data), " \t\r\n")
	return len(b) > 0 && b[0] == '{' && json.Valid(b)
}

func (s *Session) loginOverdue() {
	if !s.settled.CompareAndSwap(false, true) {
		return // answered while the timer fired
	}
	s.sweeper.stats.Overdue.Add(1)
	s.sweeper.mu.Lock() // see knowClient
	s.Send(&message.Message{Topic: message.Connection, Action: message.ConnectionAuthenticationTimeout})
	s.sweeper.mu.Unlock()
	s.Close(CloseNormal, errLoginOverdue.Error())
}
