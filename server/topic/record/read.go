package record

import (
	"sync/atomic"

	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/store"
	"github.com/dsproxy/dsproxy/server/topic"
)

const emptyObject = "{}"

// subscribeAndRead subscribes before it reads, so that no update of another node
// falls between; those of this node wait in the line.
func (h *Handler) subscribeAndRead(s *session.Session, m *message.Message) {
	added, first := h.hub.Subscribe(s, m.Name)
	_, failed := h.astray.take(s, m.Name)
	switch {
	case !added && !failed:
		s.Send(&message.Message{Topic: message.Record, Action: words.Multiple,
			OriginalAction: message.RecordSubscribe, Name: m.Name})
	case s.PerName():
		topic.Ack(s, m, []string{m.Name})
	}
	r, err := h.load(m.Name, m.Action)
	switch {
	case err == nil:
		h.respond(s, m.Name, r)
		h.seen(m.Name, r)
	case !store.Lasting(err):
		h.fail(s, m, message.RecordLoadError, err)
		h.astray.add(s, m.Name, m.Action)
	default:
		if added {
			// A listener may have been asked for it meanwhile.
			_, last := h.hub.Unsubscribe(s, m.Name)
			h.unsubscribed(m.Name, last)
		}
		h.fail(s, m, message.RecordLoadError, err)
		return
	}
	if added {
		h.listen.Subscribed(s, m.Name, first)
	}
}

// load reads a record for a subscriber, and makes it if the action says so.
func (h *Handler) load(name string, action message.Action) (store.Record, error) {
	r, err := h.store.Get(h.ctx, name)
	if err == nil && !r.Exists() && action == message.RecordSubscribeCreateAndRead {
		return h.create(name)
	}
	return r, err
}

// create makes an empty record, unless another node was faster.
func (h *Handler) create(name string) (store.Record, error) {
	r := store.Record{Version: 0, Data: emptyObject}
	current, ok, err := h.store.Write(h.ctx, name, store.Missing, r, nil)
	if err != nil || ok {
		return r, err
	}
	return current, nil
}

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
		h.versions.tell(name, version)
	}
}

func (h *Handler) sendHead(s *session.Session, name string, version int64) {
	s.Send(&message.Message{Topic: message.Record, Action: message.RecordHeadResponse, Name: name,
		Version: version, HasVersion: true})
}

// subscribeAndHead answers what the cache knows in one message; a record that it
// does not know is looked for in the storage and answered on its own. It answers
// before it subscribes: client 7 takes an update that comes before the version for one
// that it missed. What was written between the two is sent at once.
func (h *Handler) subscribeAndHead(s *session.Session, m *message.Message) {
	names := m.AllNames()
	versions, err := h.store.Versions(h.ctx, names)
	if err != nil {
		h.fail(s, m, message.RecordLoadError, err)
		topic.Ack(s, m, topic.Subscribe(h.hub, words, s, m, func(name string, first bool) { h.listen.Subscribed(s, name, first) }))
		h.heads.later(s, names)
		return
	}
	answered := h.sendHeads(s, names, versions)
	var unsure []string
	fresh := topic.Subscribe(h.hub, words, s, m, func(name string, first bool) {
		h.listen.Subscribed(s, name, first)
		if version, known := answered[name]; known && h.toldHead(s, name, version) {
			unsure = append(unsure, name)
		}
	})
	topic.Ack(s, m, fresh)
	h.headsToldOf(s, names, answered, unsure)
}

// sendHeads sends the versions that the cache has, and returns them.
func (h *Handler) sendHeads(s *session.Session, names []string, versions []int64) (answered map[string]int64) {
	bulk := message.Message{Topic: message.Record, Action: message.RecordHeadResponseBulk}
	answered = make(map[string]int64, len(names))
	for i, name := range names {
		if versions[i] != store.Missing {
			bulk.Versions = append(bulk.Versions, message.NameVersion{Name: name, Version: versions[i]})
			answered[name] = versions[i]
		}
	}
	if len(bulk.Versions) > 0 {
		// Clients take the map for given: an empty one is not sent.
		s.Send(&bulk)
	}
	return answered
}

// toldHead is called with a version that a subscriber was just told. It reports whether
// the record may have been written since.
func (h *Handler) toldHead(s *session.Session, name string, version int64) (unsure bool) {
	switch last, _ := h.versions.told(name); last {
	case unknown:
		h.first(name, version)
		return true
	case version:
	default:
		h.lines.add(name, task{from: s, catchUp: true, m: &message.Message{Name: name}})
	}
	return false
}

// headsToldOf has those records looked at that may have been written since, and those
// looked for that the cache does not have.
func (h *Handler) headsToldOf(s *session.Session, names []string, answered map[string]int64, unsure []string) {
	if len(unsure) > 0 && !h.store.Immediate() {
		h.checker.later(unsure...)
	}
	for _, name := range names {
		if _, known := answered[name]; !known {
			one := message.Message{Topic: message.Record, Action: message.RecordSubscribeAndHead, Name: name}
			h.lines.add(name, task{from: s, m: &one})
		}
	}
}

// notify has records read again that were changed behind the node's back.
func (h *Handler) notify(s *session.Session, m *message.Message) {
	names := m.AllNames()
	if err := h.store.Forget(h.ctx, names); err != nil {
		h.log.Error("record store failed", "action", "NOTIFY", "err", err)
		s.Send(&message.Message{Topic: message.Record, Action: message.RecordNotifyError, CorrelationID: m.CorrelationID, IsError: true,
			Data: `"Error deleting messages in bulk when attempting to notify of remote changes"`})
		return
	}
	for _, name := range names {
		h.cluster.Publish(interest.Records, name, &message.Message{Topic: message.Record, Action: m.Action, Name: name})
	}
	ack := message.Message{Topic: message.Record, Action: m.Action, Name: m.Name, Names: m.Names,
		CorrelationID: m.CorrelationID, IsAck: true}
	var left atomic.Int64
	left.Store(int64(len(names)))
	if len(names) == 0 {
		s.Send(&ack)
		return
	}
	h.each(s, m, func() {
		if left.Add(-1) == 0 {
			s.Send(&ack)
		}
	})
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
		h.versions.tell(m.Name, r.Version)
		h.hub.Publish(m.Name, &message.Message{Topic: message.Record, Action: message.RecordUpdate, Name: m.Name,
			Version: r.Version, HasVersion: true, Data: r.Data}, nil)
	}
}
