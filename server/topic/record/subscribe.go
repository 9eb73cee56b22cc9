package record

import (
	"sync/atomic"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/store"
	"github.com/dsproxy/dsproxy/server/topic"
)

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

// subscribe subscribes to one record, and acknowledges that to a client that is answered
// name by name.
func (h *Handler) subscribe(s *session.Session, m *message.Message) (added bool) {
	fresh := topic.Subscribe(h.hub, words, s, m, func(name string, first bool) {
		added = true
		h.listen.Subscribed(s, name, first)
	})
	if s.PerName() {
		topic.Ack(s, m, fresh)
	}
	return added
}

// unsubscribe is the reverse.
func (h *Handler) unsubscribe(s *session.Session, m *message.Message) {
	gone := topic.Unsubscribe(h.hub, words, s, m, func(name string, last bool) {
		h.astray.take(s, name)
		h.unsubscribed(name, last)
	})
	if s.PerName() {
		topic.Ack(s, m, gone)
	}
}

// whenAll returns what acknowledges a message after one call for each of its names. A
// client that is answered name by name needs none.
func whenAll(s *session.Session, m *message.Message) (done func()) {
	if s.PerName() {
		return nil
	}
	ack := message.Message{Topic: m.Topic, Action: m.Action, CorrelationID: m.CorrelationID, IsAck: true}
	return countdown(len(m.AllNames()), func() { s.Send(&ack) })
}

// countdown returns a function whose n-th call calls f. With an n of 0 that is done
// already.
func countdown(n int, f func()) func() {
	if n == 0 {
		f()
	}
	var left atomic.Int64
	left.Store(int64(n))
	return func() {
		if left.Add(-1) == 0 {
			f()
		}
	}
}

// subscribeAndHead answers what the cache knows in one message; a record that it does
// not know is looked for in the storage and answered on its own. It answers before it
// subscribes: client 7 takes an update that comes before the version for one that it
// missed. What was written between the two is sent at once. A record whose line has
// something to do, which may be what this client wanted of it before, has to wait for
// that.
func (h *Handler) subscribeAndHead(s *session.Session, m *message.Message) {
	done := whenAll(s, m)
	one := *m // the lines copy what they keep
	one.Names = nil
	var names []string
	for _, name := range m.AllNames() {
		if h.lines.idle(name) {
			names = append(names, name)
			continue
		}
		one.Name = name
		h.lines.add(name, task{from: s, m: &one, done: done})
	}
	var versions []int64
	var err error
	s.Waits(func() { versions, err = h.store.Versions(h.ctx, names) })
	var answered map[string]int64
	if err != nil {
		h.fail(s, m, message.RecordLoadError, err)
	} else {
		answered = h.sendHeads(s, names, versions)
	}
	var unsure []string
	for _, name := range names {
		one.Name = name
		version, known := answered[name]
		if h.subscribe(s, &one) && known && h.toldHead(s, name, version) {
			unsure = append(unsure, name)
		}
		if done != nil {
			done()
		}
	}
	h.lookAgain(unsure)
	if err != nil {
		h.heads.later(s, names)
		return
	}
	for _, name := range names {
		if _, known := answered[name]; !known {
			one.Name = name
			h.lines.add(name, task{from: s, head: true, m: &one})
		}
	}
}

// headAndSubscribe is subscribeAndHead of one name, in its line.
func (h *Handler) headAndSubscribe(s *session.Session, m *message.Message) {
	r, err := h.store.Get(h.ctx, m.Name)
	if err != nil {
		h.fail(s, m, message.RecordLoadError, err)
	} else {
		h.sendHead(s, m.Name, r.Version)
	}
	added := h.subscribe(s, m)
	switch {
	case err != nil && !store.Lasting(err):
		h.heads.later(s, []string{m.Name})
	case err == nil && added && h.toldHead(s, m.Name, r.Version):
		h.lookAgain([]string{m.Name})
	}
}

// tellHead tells a subscriber the version of a record, or at its own request that this
// has to wait.
func (h *Handler) tellHead(s *session.Session, m *message.Message) {
	if !h.hub.Subscribed(s, m.Name) {
		return
	}
	r, err := h.store.Get(h.ctx, m.Name)
	if err == nil {
		h.sendHead(s, m.Name, r.Version)
		h.first(m.Name, r.Version)
		return
	}
	if m.Action == message.RecordSubscribeAndHead {
		h.fail(s, m, message.RecordLoadError, err)
	}
	if !store.Lasting(err) {
		h.heads.later(s, []string{m.Name})
	}
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

// lookAgain has records compared that may have been written since their version was
// told.
func (h *Handler) lookAgain(names []string) {
	if len(names) > 0 && !h.store.Immediate() {
		h.checker.later(names...)
	}
}
