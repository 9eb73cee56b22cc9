// Package event is the EVENT topic: messages that are delivered to whoever
// subscribes to their name at that moment, and to nobody else.
package event

import (
	"github.com/dsproxy/dsproxy/server/hub"
	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/topic"
	"github.com/dsproxy/dsproxy/server/topic/listen"
)

// Handler serves the topic.
type Handler struct {
	cluster *topic.Cluster
	hub     *hub.Hub
	listen  *listen.Registry
}

// New makes a Handler.
func New(c *topic.Cluster, options listen.Options) *Handler {
	h := hub.New(topic.Watcher{Registry: c.Interest, Kind: interest.Events})
	return &Handler{cluster: c, hub: h, listen: listen.New(message.Event, c, h, options)}
}

var words = topic.Words{Multiple: message.EventMultipleSubscriptions, NotSubscribed: message.EventNotSubscribed}

// Handle serves one message; it reports false for an action that clients do not
// send.
func (h *Handler) Handle(s *session.Session, m *message.Message) bool {
	switch m.Action {
	case message.EventEmit:
		if m.Name == "" {
			return false
		}
		out := message.Message{Topic: message.Event, Action: message.EventEmit, Name: m.Name, Data: m.Data}
		h.hub.Publish(m.Name, &out, s)
		h.cluster.Publish(interest.Events, m.Name, &out)
	case message.EventSubscribe:
		fresh := topic.Subscribe(h.hub, words, s, m, func(name string, first bool) { h.listen.Subscribed(s, name, first) })
		topic.Ack(s, m, fresh)
	case message.EventUnsubscribe:
		gone := topic.Unsubscribe(h.hub, words, s, m, h.unsubscribed)
		topic.Ack(s, m, gone)
	default:
		return h.listen.Handle(s, m)
	}
	return true
}

// Remote delivers what was emitted on another node.
func (h *Handler) Remote(node string, m *message.Message) {
	if m.Action == message.EventEmit {
		h.hub.Publish(m.Name, m, nil)
		return
	}
	h.listen.Remote(node, m)
}

// Gap has the providers looked at: what a node said of them may have been lost.
func (h *Handler) Gap(node string) { h.listen.Gap(node) }

func (h *Handler) unsubscribed(name string, last bool) {
	if last {
		h.listen.Unwanted(name)
	}
}

// Closed forgets a session. Its subscriptions go first, so that nobody is asked to
// provide what it alone wanted and provided.
func (h *Handler) Closed(s *session.Session) {
	for _, name := range h.hub.RemoveSession(s) {
		h.listen.Unwanted(name)
	}
	h.listen.Closed(s)
}

// Close ends the searches for providers.
func (h *Handler) Close() { h.listen.Close() }

// Names is the number of event names with subscribers.
func (h *Handler) Names() int { return h.hub.Len() }
