// Package topic holds what the topics of the protocol mean; each has a package of
// its own below this one, and listen serves both events and records. Here is what
// they share: the answers to subscriptions.
package topic

import (
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
)

// Ack acknowledges a message about names. Clients that are answered name by name
// get the names; the others recognise the correlation id.
func Ack(s *session.Session, m *message.Message, names []string) {
	ack := message.Message{Topic: m.Topic, Action: m.Action, CorrelationID: m.CorrelationID, IsAck: true}
	if s.PerName() {
		if len(names) == 0 {
			return
		}
		ack.Names = names
	}
	s.Send(&ack)
}

// Set is a set of subscriptions, as hub.Hub is.
type Set interface {
	Subscribe(s *session.Session, name string) (added, first bool)
	Unsubscribe(s *session.Session, name string) (removed, last bool)
}

// Words are the actions by which a topic refuses a subscription.
type Words struct {
	Multiple, NotSubscribed message.Action
}

// Subscribe subscribes to every name of m. A name that was subscribed already is
// refused with an error of its own. It returns the names that are new, and calls
// added, if set, for each of them.
func Subscribe(set Set, w Words, s *session.Session, m *message.Message, added func(name string, first bool)) []string {
	names := m.AllNames()
	var fresh []string
	for i, name := range names {
		ok, first := set.Subscribe(s, name)
		if !ok {
			if fresh == nil {
				fresh = append(make([]string, 0, len(names)), names[:i]...)
			}
			s.Send(&message.Message{Topic: m.Topic, Action: w.Multiple, OriginalAction: m.Action, Name: name})
			continue
		}
		if fresh != nil {
			fresh = append(fresh, name)
		}
		if added != nil {
			added(name, first)
		}
	}
	if fresh == nil {
		return names
	}
	return fresh
}

// Unsubscribe is the reverse. Only clients that are answered name by name hear of
// a name that was not subscribed.
func Unsubscribe(set Set, w Words, s *session.Session, m *message.Message, removed func(name string, last bool)) []string {
	names := m.AllNames()
	gone := make([]string, 0, len(names))
	for _, name := range names {
		ok, last := set.Unsubscribe(s, name)
		if !ok {
			if s.PerName() {
				s.Send(&message.Message{Topic: m.Topic, Action: w.NotSubscribed, OriginalAction: m.Action, Name: name})
			}
			continue
		}
		gone = append(gone, name)
		if removed != nil {
			removed(name, last)
		}
	}
	return gone
}
