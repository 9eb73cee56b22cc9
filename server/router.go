package server

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"

	"github.com/dsproxy/dsproxy/server/auth"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/wire"
)

// topicHandler is one topic of the protocol.
type topicHandler interface {
	// Handle serves a message and reports false for an action that clients do
	// not send.
	Handle(s *session.Session, m *message.Message) bool
	Closed(s *session.Session)
}

// lastTopic is the last one that clients talk about.
const lastTopic = message.Presence

// router takes the messages of logged-in clients to their topics.
type router struct {
	ctx    context.Context // ends with the node; logins under way are given up
	log    *slog.Logger
	auth   auth.Method
	topics [lastTopic + 1]topicHandler
	opened func(s *session.Session)
}

// Login implements session.Handler.
func (r *router) Login(s *session.Session, h *session.Handshake, authData string) session.Verdict {
	result, err := r.auth.Authenticate(r.ctx, &auth.Connection{
		Header: h.Header, Host: h.Host, RemoteAddress: h.RemoteAddress, Log: r.log,
	}, authData)
	if err != nil {
		r.log.Error("authentication failed to judge", "remote", s.RemoteAddr(), "err", err)
		return session.Verdict{}
	}
	return session.Verdict{OK: result.Valid, User: session.User{
		ID: result.ID, ClientData: value(result.ClientData), ServerData: value(result.ServerData),
	}}
}

// value leaves out a JSON null, which the clients take for data.
func value(j json.RawMessage) string {
	if string(j) == "null" {
		return ""
	}
	return string(j)
}

// Opened implements session.Handler.
func (r *router) Opened(s *session.Session) {
	if r.opened != nil {
		r.opened(s)
	}
}

// Closed implements session.Handler.
func (r *router) Closed(s *session.Session) {
	for _, t := range r.topics {
		if t != nil {
			t.Closed(s)
		}
	}
}

// hasMarks finds marks of the text protocols where those have no way to escape them.
// Clients of those protocols could not say such a name, and must not be told it.
func hasMarks(m *message.Message) bool {
	return wire.HasMarks(m.Name) || wire.HasMarks(m.CorrelationID) || wire.HasMarks(m.Subscription) ||
		wire.HasMarks(m.Path) || slices.ContainsFunc(m.Names, wire.HasMarks)
}

// Message implements session.Handler.
func (r *router) Message(s *session.Session, m *message.Message) {
	var t topicHandler
	if m.Topic <= lastTopic {
		t = r.topics[m.Topic]
	}
	switch {
	case t == nil:
		s.Send(&message.Message{Topic: message.Parser, Action: message.ParserUnknownTopic, Raw: m.Raw, IsError: true})
	case m.Data != "" && !json.Valid([]byte(m.Data)), hasMarks(m):
		s.Send(&message.Message{Topic: m.Topic, Action: wire.InvalidData(m.Topic), OriginalAction: m.Action,
			Name: m.Name, CorrelationID: m.CorrelationID, IsError: true, IsWriteAck: m.IsWriteAck, HasWriteAck: m.IsWriteAck, Raw: m.Raw})
	case !t.Handle(s, m):
		s.Send(&message.Message{Topic: message.Parser, Action: message.ParserUnknownAction, Raw: m.Raw, IsError: true})
	}
}
