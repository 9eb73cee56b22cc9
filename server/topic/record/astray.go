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

// astray are the subscribers whose write failed because the store did not answer. They
// were told so, but their clients go on showing what was not written, and where nobody
// writes nothing corrects them. So they are sent the record when the store is there
// again. Whoever writes again meanwhile learns by the answer to that.
type astray struct {
	h     *Handler
	count atomic.Int64 // of sessions in lost

	mu     sync.Mutex
	lost   map[*session.Session]map[string]int64 // guarded by mu: the version that was told, by name
	timer  *time.Timer                           // guarded by mu: set while lost is not empty
	closed bool                                  // guarded by mu
}

func newAstray(h *Handler) *astray {
	return &astray{h: h, lost: make(map[*session.Session]map[string]int64)}
}

// add is called when a write has failed.
func (a *astray) add(s *session.Session, name string) {
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
		a.lost[s] = make(map[string]int64)
		a.count.Add(1)
	}
	a.lost[s][strings.Clone(name)] = told
	a.start()
}

// take forgets a subscriber's failed write, and returns the version that was told then.
func (a *astray) take(s *session.Session, name string) (told int64, ok bool) {
	if a.count.Load() == 0 {
		return 0, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	names := a.lost[s]
	told, ok = names[name]
	if delete(names, name); ok && len(names) == 0 {
		a.drop(s)
	}
	return told, ok
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
	told, ok := h.astray.take(s, name)
	last, wanted := h.versions.told(name)
	if !ok || !wanted || told != last || !h.hub.Subscribed(s, name) {
		return
	}
	r, err := h.store.Get(h.ctx, name)
	switch {
	case store.Lasting(err):
	case err != nil:
		h.astray.add(s, name)
	case r.Exists() && r.Version == last:
		s.Send(whole(name, r))
	default:
		h.catchUp(name)
	}
}
