// Package presence is the PRESENCE topic: who is logged in. A user is present from
// the first login to the last logout, however many connections and nodes that
// takes: this node counts its connections of each user, and the interest registry
// holds the nodes that have any.
//
// Lock order: Handler.mu before those of the registry, and they before those of the
// hubs.
package presence

import (
	"encoding/json"
	"slices"
	"strconv"
	"sync"

	"github.com/dsproxy/dsproxy/server/hub"
	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/topic"
)

// Handler serves the topic.
type Handler struct {
	registry interest.Registry
	everyone *hub.Hub // under one name
	some     *hub.Hub // by user

	mu    sync.Mutex
	users map[string]int // guarded by mu: connections of each user here
}

// all is the name under which sessions subscribe to everyone.
const all = "everyone"

// New makes a Handler.
func New(c *topic.Cluster) *Handler {
	h := &Handler{registry: c.Interest, everyone: hub.New(nil), some: hub.New(nil), users: make(map[string]int)}
	c.Interest.Watch(interest.Users, h.announce)
	return h
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
	names := slices.DeleteFunc(h.registry.Names(interest.Users), func(name string) bool { return name == s.User().ID })
	slices.Sort(names)
	s.Send(&message.Message{Topic: message.Presence, Action: message.PresenceQueryAllResponse, Names: names})
}

func (h *Handler) query(s *session.Session, m *message.Message) {
	b := []byte{'{'}
	asked := make(map[string]bool, len(m.Names))
	for _, name := range m.Names {
		if asked[name] {
			continue
		}
		if asked[name] = true; len(b) > 1 {
			b = append(b, ',')
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			continue // a string always encodes
		}
		b = append(append(b, quoted...), ':')
		b = strconv.AppendBool(b, h.registry.Has(interest.Users, name))
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
		h.registry.Add(interest.Users, user)
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
		h.registry.Remove(interest.Users, user)
	}
}

// announce tells the subscribers here of a user who came to the cluster or left
// it; the registry calls it in that order.
func (h *Handler) announce(user string, present bool) {
	toAll, toSome := message.PresenceLeaveAll, message.PresenceLeave
	if present {
		toAll, toSome = message.PresenceJoinAll, message.PresenceJoin
	}
	h.everyone.Publish(all, &message.Message{Topic: message.Presence, Action: toAll, Name: user}, nil)
	h.some.Publish(user, &message.Message{Topic: message.Presence, Action: toSome, Name: user}, nil)
}

// Users is the number of users that are present on this node.
func (h *Handler) Users() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.users)
}
