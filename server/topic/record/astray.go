package record

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/store"
)

// astray are the subscribers whose write, or whose first read, failed because the store
// did not answer. They were told so, but their clients go on showing what was not
// written, and where nobody writes nothing corrects them; or they wait for the record,
// and those that came back with it do not ask again. So they are sent the record when
// the store is there again. Whoever writes again meanwhile learns by the answer to that.
type astray struct {
	h     *Handler
	count atomic.Int64 // of sessions in lost

	mu     sync.Mutex
	lost   map[*session.Session]map[string]failure // guarded by mu: by name
	timer  *time.Timer                             // guarded by mu: set while lost is not empty
	closed bool                                    // guarded by mu
}

// failure is what failed: a read, if that is set, or a write.
type failure struct {
	read message.Action
	told int64 // the version that subscribers had been told
}

func newAstray(h *Handler) *astray {
	return &astray{h: h, lost: make(map[*session.Session]map[string]failure)}
}

// add is called when a read has failed, or, without one, a write.
func (a *astray) add(s *session.Session, name string, read message.Action) {
	told, wanted := a.h.versions.told(name)
	if !wanted || !a.h.hub.Subscribed(s, name) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || s.Gone() {
		return
	}
	if a.lost[s] == nil {
		a.lost[s] = make(map[string]failure)
		a.count.Add(1)
	}
	if a.lost[s][name].read == 0 { // that is answered with all there is
		a.lost[s][strings.Clone(name)] = failure{read, told}
	}
	a.start()
}

// take forgets what a subscriber failed with, and returns it.
func (a *astray) take(s *session.Session, name string) (f failure, ok bool) {
	return a.takeIf(s, name, func(failure) bool { return true })
}

// writes is called when a subscriber writes again.
func (a *astray) writes(s *session.Session, name string) {
	a.takeIf(s, name, func(f failure) bool { return f.read == 0 })
}

func (a *astray) takeIf(s *session.Session, name string, which func(failure) bool) (f failure, ok bool) {
	if a.count.Load() == 0 {
		return f, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	names := a.lost[s]
	if f, ok = names[name]; !ok || !which(f) {
		return f, false
	}
	if delete(names, name); len(names) == 0 {
		a.drop(s)
	}
	return f, true
}

// forget is called when a session has ended.
func (a *astray) forget(s *session.Session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lost[s] != nil {
		a.drop(s)
	}
}

// drop is called with mu held.
func (a *astray) drop(s *session.Session) {
	delete(a.lost, s)
	a.count.Add(-1)
}

// start is called with mu held.
func (a *astray) start() {
	if a.timer == nil && len(a.lost) > 0 && !a.closed {
		a.timer = time.AfterFunc(checkPause, a.run)
	}
}

// run has all of them led back, if the store answers.
func (a *astray) run() {
	a.mu.Lock()
	lost := make(map[*session.Session][]string, len(a.lost))
	for s, names := range a.lost {
		lost[s] = slices.Collect(maps.Keys(names))
	}
	a.mu.Unlock()
	for s, names := range lost {
		if _, err := a.h.store.Versions(a.h.ctx, names[:1]); err != nil {
			break
		}
		for _, name := range names {
			a.h.lines.add(name, task{from: s, astray: true, m: &message.Message{Name: name}})
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.timer = nil
	a.start()
}

func (a *astray) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.timer != nil {
		a.timer.Stop()
	}
}

// lead sends the record to a subscriber that went astray, unless all were told a version
// since.
func (h *Handler) lead(s *session.Session, name string) {
	f, ok := h.astray.take(s, name)
	last, wanted := h.versions.told(name)
	switch {
	case !ok || !wanted || !h.hub.Subscribed(s, name):
		return
	case f.read != 0:
		h.readAgain(s, name, f.read)
		return
	case f.told != last:
		return
	}
	r, err := h.store.Get(h.ctx, name)
	switch {
	case store.Lasting(err):
	case err != nil:
		h.astray.add(s, name, 0)
	case r.Exists() && r.Version == last:
		s.Send(whole(name, r))
	default:
		h.catchUp(name)
	}
}

// readAgain answers the first read of a subscriber that failed before.
func (h *Handler) readAgain(s *session.Session, name string, action message.Action) {
	r, err := h.load(name, action)
	switch {
	case err == nil:
		h.respond(s, name, r)
		h.seen(name, r)
	case store.Lasting(err):
		_, last := h.hub.Unsubscribe(s, name)
		h.unsubscribed(name, last)
		h.fail(s, &message.Message{Action: action, Name: name}, message.RecordLoadError, err)
	default:
		h.astray.add(s, name, action)
	}
}
