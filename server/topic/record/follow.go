package record

import (
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/store"
)

// Remote takes what another node says about records, into the lines of their
// names: it does not overtake what this node is telling its clients about them.
func (h *Handler) Remote(node string, m *message.Message) {
	if h.listen.Remote(node, m) {
		return
	}
	for _, name := range m.AllNames() {
		one := *m
		one.Name, one.Names = name, nil
		h.lines.add(name, task{m: &one})
	}
}

// remote is called by the lines for what another node said.
func (h *Handler) remote(m *message.Message) {
	switch m.Action {
	case message.RecordUpdate, message.RecordPatch, message.RecordPatchMulti:
		h.follow(m)
	case message.RecordDeleted:
		h.dropHere(m.Name, nil)
	case message.RecordNotify:
		h.reload(nil, m)
	}
}

// follow passes a write of another node on to the subscribers here, if it is the
// next that they are to be told of. Two nodes that write in turn may be heard in the
// other order, and a message may have been lost; then the record is read again.
func (h *Handler) follow(m *message.Message) {
	last, wanted := h.versions.told(m.Name)
	switch {
	case !wanted:
	case h.isHot(m.Name, m.Version), last == unknown, m.Version == last+1:
		h.versions.tell(m.Name, m.Version)
		h.hub.Publish(m.Name, m, nil)
	default:
		h.lines.add(m.Name, task{catchUp: true, m: &message.Message{Name: m.Name}})
	}
}

// isHot tells the versions that say nothing.
func (h *Handler) isHot(name string, version int64) bool { return version == 0 && h.hot(name) }

// catchUp tells the subscribers of a record what it is now, if they know another
// version of it.
func (h *Handler) catchUp(name string) {
	last, wanted := h.versions.told(name)
	if !wanted {
		return
	}
	r, err := h.store.Get(h.ctx, name)
	switch {
	case err != nil:
		h.log.Warn("record cannot be read again yet", "err", err)
		h.checker.later(name)
	case last == unknown:
		h.versions.tell(name, r.Version)
	case r.Exists() && (r.Version != last || h.isHot(name, r.Version)):
		h.tellAll(name, r, nil)
	case !r.Exists() && last != store.Missing:
		h.dropHere(name, nil)
	}
}

// seen is called with what a subscriber was just told of a record. If the others
// were told something else, they are told this now: what lies between is still on
// its way, and will be passed over.
func (h *Handler) seen(name string, r store.Record, by *session.Session) {
	switch last, wanted := h.versions.told(name); {
	case !wanted || r.Version == last:
	case last == unknown || !r.Exists():
		h.versions.tell(name, r.Version)
	default:
		h.tellAll(name, r, by)
	}
}

// tellAll sends the whole of a record to its subscribers here.
func (h *Handler) tellAll(name string, r store.Record, except *session.Session) {
	h.versions.tell(name, r.Version)
	h.hub.Publish(name, whole(name, r), except)
}

func whole(name string, r store.Record) *message.Message {
	return &message.Message{Topic: message.Record, Action: message.RecordUpdate, Name: name,
		Version: r.Version, HasVersion: true, Data: r.Data, HasWriteAck: true}
}

// Gap has all records looked at: updates of them may have been lost.
func (h *Handler) Gap(node string) {
	h.checker.checkAll()
	h.listen.Gap(node)
}

// Left has all records looked at: the node may have died between a write and its
// publication.
func (h *Handler) Left(string) { h.checker.checkAll() }
