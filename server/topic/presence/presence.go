// Package presence is the PRESENCE topic: who is logged in. A user is present from
// the first login to the last logout, however many connections that takes.
//
// Lock order: Handler.mu before the locks of the hubs.
package presence

import (
	"encoding/json"
	"slices"
	"strconv"
	"sync"

	"github.com/dsproxy/dsproxy/server/hub"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/topic"
)

// Handler serves the topic.
type Handler struct {
	everyone *hub.Hub // under one name
	some     *hub.Hub // by user

	mu    sync.Mutex
	users map[string]int // guarded by mu: connections of each user here
}

// all is the name under which sessions subscribe to everyone.
const all = "everyone"

// New makes a Handler.
func New() *Handler {
	return &Handler{everyone: hub.New(), some: hub.New(), users: make(map[string]int)}
}

var words = topic.Words{Multiple: message.PresenceMultipleSubscriptions, NotSubscribed: message.PresenceNotSubscribed}

// Handle serves one message; it reports false for an action that clients do not
// send.
func (h *Handler) Handle(s *session.Session, m *message.Message) bool {
	switch m.Action {
	case message.PresenceQueryAll:
		h.queryAll(s)
	case message.PresenceQuery:
		h.query(s, m)
	case message.PresenceSubscribeAll:
		if ok, _ := h.everyone.Subscribe(s, all); !ok {
			s.Send(&message.Message{Topic: m.Topic, Action: words.Multiple, OriginalAction: m.Action, Name: "%_EVERYONE_%"})
		}
		ack(s, m)
	case message.PresenceUnsubscribeAll:
		h.everyone.Unsubscribe(s, all)
		ack(s, m)
	case message.PresenceSubscribe:
		topic.Subscribe(h.some, words, s, m, nil)
		ack(s, m)
	case message.PresenceUnsubscribe:
		topic.Unsubscribe(h.some, words, s, m, nil)
		ack(s, m)
	default:
		return false
	}
	return true
}

// ack acknowledges; the text protocol too knows these by their correlation id.
func ack(s *session.Session, m *message.Message) {
	s.Send(&message.Message{Topic: m.Topic, Action: m.Action, CorrelationID: m.CorrelationID, IsAck: true})
}

// queryAll leaves the asking user out and, as the original, the correlation id.
func (h *Handler) queryAll(s *session.Session) {
	h.mu.Lock()
	names := make([]string, 0, len(h.users))
	for name := range h.users {
		if name != s.User().ID {
			names = append(names, name)
		}
	}
	h.mu.Unlock()
	slices.Sort(names)
	s.Send(&message.Message{Topic: message.Presence, Action: message.PresenceQueryAllResponse, Names: names})
}

func (h *Handler) query(s *session.Session, m *message.Message) {
	online := make(map[string]bool, len(m.Names))
	h.mu.Lock()
	for _, name := range m.Names {
		online[name] = h.users[name] > 0
	}
	h.mu.Unlock()
	b := []byte{'{'}
	for i, name := range m.Names {
		if i > 0 {
			b = append(b, ',')
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			continue // a string always encodes
		}
		b = append(append(b, quoted...), ':')
		b = strconv.AppendBool(b, online[name])
	}
	b = append(b, '}')
	s.Send(&message.Message{Topic: message.Presence, Action: message.PresenceQueryResponse,
		CorrelationID: m.CorrelationID, Data: string(b)})
}

// Opened counts a login.
func (h *Handler) Opened(s *session.Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	user := s.User().ID
	if h.users[user]++; h.users[user] == 1 {
		h.announce(user, message.PresenceJoinAll, message.PresenceJoin)
	}
}

// Closed forgets a session and counts its logout.
func (h *Handler) Closed(s *session.Session) {
	h.everyone.RemoveSession(s)
	h.some.RemoveSession(s)
	h.mu.Lock()
	defer h.mu.Unlock()
	user := s.User().ID
	if h.users[user]--; h.users[user] <= 0 {
		delete(h.users, user)
		h.announce(user, message.PresenceLeaveAll, message.PresenceLeave)
	}
}

// announce is called with mu held, so that joins and leaves keep their order.
func (h *Handler) announce(user string, toAll, toSome message.Action) {
	h.everyone.Publish(all, &message.Message{Topic: message.Presence, Action: toAll, Name: user}, nil)
	h.some.Publish(user, &message.Message{Topic: message.Presence, Action: toSome, Name: user}, nil)
}

// Users is the number of users that are present.
func (h *Handler) Users() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.users)
}
