package session

import (
	"sync/atomic"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/wire"
)

// Actions counts messages by topic and action. It is safe for concurrent use.
type Actions struct {
	counts [message.Presence + 1][256]atomic.Uint64
}

// Add counts n messages; those of topics that clients know nothing of are left out.
func (a *Actions) Add(t message.Topic, action message.Action, n uint64) {
	if t <= message.Presence {
		a.counts[t][action].Add(n)
	}
}

// Count returns how many messages of an action there were.
func (a *Actions) Count(t message.Topic, action message.Action) uint64 {
	return a.counts[t][action].Load()
}

// Each calls f with every action that occurred. Actions without a name are counted
// together, as name "".
func (a *Actions) Each(f func(t message.Topic, name string, n uint64)) {
	for t := range a.counts {
		unknown := uint64(0)
		for action := range a.counts[t] {
			n := a.counts[t][action].Load()
			name := message.ActionName(message.Topic(t), message.Action(action))
			switch {
			case n == 0:
			case name == "":
				unknown += n
			default:
				f(message.Topic(t), name, n)
			}
		}
		if unknown > 0 {
			f(message.Topic(t), "", unknown)
		}
	}
}

// protocol is the codec by which a connection is counted: a client that turns out
// to be an old one stays where it was.
func protocol(id wire.ID) wire.ID {
	if id == wire.OldProtobuf {
		return wire.Protobuf
	}
	return id
}

// Connections calls f with the number of connections of each protocol.
func (r *Registry) Connections(f func(protocol string, n int)) {
	for id := range wire.Codecs {
		if protocol(id) == id {
			f(wire.For(id).Traits().Name, int(r.protocols[id].Load()))
		}
	}
}

// Waiting is how many bytes wait in the outboxes of all clients.
func (r *Registry) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for s := range r.sessions {
		s.out.mu.Lock()
		n += s.out.waiting.Size()
		s.out.mu.Unlock()
	}
	return n
}
