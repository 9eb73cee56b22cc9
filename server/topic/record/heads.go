package record

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
)

// heads are the versions that subscribers asked for while the cache was away. They are
// told when it is there again: client 7 asks but once, when it returns, and does
// nothing with its records until it has the answer.
type heads struct {
	h *Handler

	mu     sync.Mutex
	asked  map[*session.Session]*asker // guarded by mu
	timer  *time.Timer                 // guarded by mu: set while asked is not empty
	closed bool                        // guarded by mu
}

// asker holds the records of one subscriber. Those that it left are forgotten when
// there are limit, so that there are never more than twice those that it has.
type asker struct {
	names map[string]bool
	limit int
}

// minAsked is the least limit of an asker.
const minAsked = 64

func newHeads(h *Handler) *heads {
	return &heads{h: h, asked: make(map[*session.Session]*asker)}
}

// later has a subscriber told the versions of records.
func (q *heads) later(s *session.Session, names []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	a := q.asked[s]
	if a == nil {
		a = &asker{names: make(map[string]bool), limit: minAsked}
		q.asked[s] = a
	}
	for _, name := range names {
		if a.names[name] = true; len(a.names) >= a.limit {
			maps.DeleteFunc(a.names, func(name string, _ bool) bool { return !q.h.hub.Subscribed(s, name) })
			a.limit = max(minAsked, 2*len(a.names))
		}
	}
	q.start()
}

// start is called with mu held.
func (q *heads) start() {
	if q.timer == nil && len(q.asked) > 0 && !q.closed {
		q.timer = time.AfterFunc(checkPause, q.run)
	}
}

// run tells what it can.
func (q *heads) run() {
	q.mu.Lock()
	asked := q.asked
	q.asked = make(map[*session.Session]*asker)
	q.mu.Unlock()
	for s, a := range asked {
		if !q.tell(s, slices.Collect(maps.Keys(a.names))) {
			break
		}
		delete(asked, s)
	}
	for s, a := range asked {
		q.later(s, slices.Collect(maps.Keys(a.names)))
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.timer = nil
	q.start()
}

// tell reports whether a subscriber was told what it asked for, and still wants.
func (q *heads) tell(s *session.Session, names []string) bool {
	names = slices.DeleteFunc(names, func(name string) bool { return !q.h.hub.Subscribed(s, name) })
	if len(names) == 0 {
		return true
	}
	versions, err := q.h.store.Versions(q.h.ctx, names)
	if err != nil {
		return false
	}
	answered := q.h.sendHeads(s, names, versions)
	var unsure []string
	for _, name := range names {
		version, known := answered[name]
		switch {
		case !known:
			q.h.lines.add(name, task{from: s, head: true, m: &message.Message{Action: message.RecordHead, Name: name}})
		case q.h.toldHead(s, name, version):
			unsure = append(unsure, name)
		}
	}
	q.h.lookAgain(unsure)
	return true
}

// forget is called when a session ends.
func (q *heads) forget(s *session.Session) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.asked, s)
}

func (q *heads) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if q.timer != nil {
		q.timer.Stop()
	}
}
