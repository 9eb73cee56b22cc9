package record

import (
	"strings"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/store"
)

// Remote takes what another node says about records, into the lines of their
// names: it does not overtake what this node is telling its clients about them. It never
// waits, be there ever so much to do.
func (h *Handler) Remote(node string, m *message.Message) {
	switch {
	case h.listen.Remote(node, m):
		return
	case m.Action == message.RecordNotify && m.Name == "" && len(m.Names) == 0:
		h.checker.checkAll()
		return
	}
	one := *m // the lines copy what they keep
	one.Names = nil
	for _, name := range m.AllNames() {
		one.Name = name
		if !h.lines.offer(name, task{m: &one}) { // then it is as if it had been lost
			h.versions.doubt(name)
			h.checker.later(strings.Clone(name))
		}
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

// follow passes a write of another node on to the subscribers here.
func (h *Handler) follow(m *message.Message) {
	last, wanted := h.versions.last(m.Name)
	switch {
	case !wanted:
	case h.isHot(m.Name, m.Version), last.told == unknown:
		h.versions.wrote(m.Name, m)
		h.hub.Publish(m.Name, m, nil)
	case m.Version > last.told:
		kept := *m
		h.inTurn(m.Name, m.Version, update{&kept, nil})
	case m.Version == last.told && m.Sum == last.sum && m.Sum != 0: // a second time
	case m.Version == last.told: // or the store has lost the write that was told
		h.versions.doubt(m.Name)
		h.catchUpSoon(m.Name)
	default: // or it was emptied and versions began anew
		h.catchUpSoon(m.Name)
	}
}

// isHot tells the versions that say nothing.
func (h *Handler) isHot(name string, version int64) bool { return version == 0 && h.hot(name) }

// inTurn publishes a write when the subscribers know the version before it, which is
// now unless another node's write lies between and is on its way: they hear of every
// write once and in order, as if all had been made here. When what is missing does
// not come the record is read again.
func (h *Handler) inTurn(name string, version int64, u update) {
	last, wanted := h.versions.told(name)
	switch {
	case !wanted:
		return
	case last != unknown && version != following(last):
		if !h.versions.hold(name, func(t *turn) { t.ahead[version] = u }, h.overdue(name)) {
			h.catchUpSoon(name)
		}
		return
	}
	if !h.versions.wrote(name, u.m) {
		h.catchUpSoon(name)
		return
	}
	h.hub.Publish(name, u.m, u.except)
	for {
		u, ok := h.versions.next(name)
		if !ok {
			break
		}
		h.hub.Publish(name, u.m, u.except)
	}
	for _, send := range h.versions.ripe(name) {
		send()
	}
}

// afterwards sends an answer when the subscribers know a version: clients hear of a
// write before they hear that it was faster than theirs.
func (h *Handler) afterwards(name string, version int64, send func()) {
	last, wanted := h.versions.told(name)
	if !wanted || last == unknown || last >= version ||
		!h.versions.hold(name, func(t *turn) { t.answers = append(t.answers, answer{version, send}) }, h.overdue(name)) {
		send()
	}
}

func (h *Handler) overdue(name string) func() {
	return func() {
		if h.ctx.Err() == nil {
			h.catchUpSoon(name)
		}
	}
}

func (h *Handler) catchUpSoon(name string) { h.lines.add(name, catchingUp(name)) }

func catchingUp(name string) task { return task{catchUp: true, m: &message.Message{Name: name}} }

// catchUp tells the subscribers of a record what it is now, if they know another one.
func (h *Handler) catchUp(name string) {
	last, wanted := h.versions.last(name)
	if !wanted {
		return
	}
	r, err := h.store.Get(h.ctx, name)
	answers := h.versions.drop(name)
	switch {
	case store.Lasting(err):
		h.failures.note("read again", err)
	case err != nil:
		h.failures.note("read again", err)
		time.AfterFunc(checkPause, func() { h.checker.later(name) })
	case r.Exists() && last.told != unknown && (!last.is(r) || h.isHot(name, r.Version)):
		h.tellAll(name, r)
	case r.Exists():
		h.versions.tell(name, r.Version, last.sum)
	case last.told != store.Missing && last.told != unknown:
		h.dropHere(name, nil)
	default:
		h.versions.tell(name, store.Missing, 0)
	}
	for _, send := range answers {
		send()
	}
}

// bring tells one subscriber what a record is now.
func (h *Handler) bring(s *session.Session, name string) {
	r, err := h.store.Get(h.ctx, name)
	switch {
	case err != nil:
		h.fail(s, &message.Message{Action: message.RecordSubscribeAndHead, Name: name}, message.RecordLoadError, err)
	case r.Exists():
		s.Send(whole(name, r))
	}
}

// seen is called with what a subscriber was just told of a record. If the others
// know an earlier version, what lies between is on its way.
func (h *Handler) seen(name string, r store.Record) {
	switch last, wanted := h.versions.last(name); {
	case !wanted:
	case !r.Exists():
		h.versions.tell(name, store.Missing, 0)
	case last.told == unknown:
		h.versions.tell(name, r.Version, r.Sum())
	case last.is(r):
	case r.Version <= last.told || r.Version == 0 || !h.versions.hold(name, func(*turn) {}, h.overdue(name)):
		h.catchUpSoon(name)
	}
}

// tellAll sends the whole of a record to its subscribers here.
func (h *Handler) tellAll(name string, r store.Record) {
	h.versions.tell(name, r.Version, r.Sum())
	h.hub.Publish(name, whole(name, r), nil)
}

func whole(name string, r store.Record) *message.Message {
	return &message.Message{Topic: message.Record, Action: message.RecordUpdate, Name: name,
		Version: r.Version, HasVersion: true, Data: r.Data, HasWriteAck: true, Sum: r.Sum()}
}

// mayHaveMissed tells a node that from now on this one knows what it wants: what was
// written here before was perhaps not published to it. It is a NOTIFY of no name.
func (h *Handler) mayHaveMissed(node string) {
	h.cluster.Send([]string{node}, &message.Message{Topic: message.Record, Action: message.RecordNotify})
}

// Gap has all records looked at: updates of them may have been lost.
func (h *Handler) Gap(node string) {
	h.checker.checkAll()
	h.listen.Gap(node)
}

// Left has all records looked at: the node may have died between a write and its
// publication.
func (h *Handler) Left(string) { h.checker.checkAll() }
