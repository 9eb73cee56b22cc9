package record

import (
	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/store"
)

const emptyObject = "{}"

func (h *Handler) respond(s *session.Session, name string, r store.Record) {
	data := r.Data
	if !r.Exists() {
		data = emptyObject
	}
	s.Send(&message.Message{Topic: message.Record, Action: message.RecordReadResponse, Name: name,
		Version: r.Version, HasVersion: true, Data: data})
}

func (h *Handler) read(s *session.Session, m *message.Message) {
	r, err := h.store.Get(h.ctx, m.Name)
	switch {
	case err != nil:
		h.fail(s, m, message.RecordLoadError, err)
	case !r.Exists():
		s.Send(&message.Message{Topic: message.Record, Action: message.RecordNotFound, OriginalAction: m.Action,
			Name: m.Name, IsError: true})
	default:
		h.respond(s, m.Name, r)
	}
}

// head answers HEAD, and HAS of the text protocols.
func (h *Handler) head(s *session.Session, m *message.Message) {
	r, err := h.store.Get(h.ctx, m.Name)
	if err != nil {
		h.fail(s, m, message.RecordLoadError, err)
		return
	}
	if m.Action == message.RecordHas {
		data := "false"
		if r.Exists() {
			data = "true"
		}
		s.Send(&message.Message{Topic: message.Record, Action: m.Action, Name: m.Name, Data: data})
		return
	}
	h.sendHead(s, m.Name, r.Version)
	h.first(m.Name, r.Version)
}

// first notes what subscribers who were told nothing yet know of a record: those
// who ask for its version have it, or ask for it next.
func (h *Handler) first(name string, version int64) {
	if last, wanted := h.versions.told(name); wanted && last == unknown {
		h.versions.tell(name, version, 0)
	}
}

func (h *Handler) sendHead(s *session.Session, name string, version int64) {
	s.Send(&message.Message{Topic: message.Record, Action: message.RecordHeadResponse, Name: name,
		Version: version, HasVersion: true})
}

// notify has records read again that were changed behind the node's back.
func (h *Handler) notify(s *session.Session, m *message.Message) {
	names := m.AllNames()
	var err error
	s.Waits(func() { err = h.store.Forget(h.ctx, names) })
	if err != nil {
		h.failures.note("NOTIFY", err)
		s.Send(&message.Message{Topic: message.Record, Action: message.RecordNotifyError, CorrelationID: m.CorrelationID, IsError: true,
			Data: `"Error deleting messages in bulk when attempting to notify of remote changes"`})
		return
	}
	for _, name := range names {
		h.cluster.Publish(interest.Records, name, &message.Message{Topic: message.Record, Action: m.Action, Name: name})
	}
	ack := message.Message{Topic: message.Record, Action: m.Action, Name: m.Name, Names: m.Names,
		CorrelationID: m.CorrelationID, IsAck: true}
	h.each(s, m, countdown(len(names), func() { s.Send(&ack) }))
}

// reload tells the subscribers of a record what the storage has of it.
func (h *Handler) reload(s *session.Session, m *message.Message) {
	if !h.hub.Has(m.Name) {
		return
	}
	r, err := h.store.Get(h.ctx, m.Name)
	switch {
	case err != nil:
		h.fail(s, m, message.RecordLoadError, err)
	case !r.Exists():
		h.dropHere(m.Name, nil)
	default:
		h.versions.tell(m.Name, r.Version, r.Sum())
		h.hub.Publish(m.Name, &message.Message{Topic: message.Record, Action: message.RecordUpdate, Name: m.Name,
			Version: r.Version, HasVersion: true, Data: r.Data}, nil)
	}
}
