// Package hub knows which sessions of this node want which names, and delivers
// to them. Each topic has its own Hub.
//
// A message is encoded once for each protocol among the subscribers and appended
// to each outbox; the publisher never waits for a client. Names are spread over
// 64 shards, each with one lock: publishing holds it for reading, so messages of
// one publisher on one name keep their order. Lock order: a shard's mu, then an
// owner table's mu or a session's outbox.
package hub

import (
	"hash/maphash"
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
)

const shards = 64

// Watcher hears of the first and the last subscription of each name, in order. It
// is called under a shard's lock and must not call the hub.
type Watcher interface {
	First(name string)
	Last(name string)
}

// Hub is a set of subscriptions. It is safe for concurrent use.
type Hub struct {
	watcher Watcher // may be nil
	seed    maphash.Seed
	shards  [shards]shard
	owners  [shards]owners
}

type shard struct {
	mu    sync.RWMutex
	names map[string]*entry // guarded by mu
}

// entry is a name that somebody wants.
type entry struct {
	name  string
	subs  []*subscription
	index map[*session.Session]*subscription // from manySubs on
}

// manySubs is where looking through a list becomes slower than a map.
const manySubs = 16

type subscription struct {
	who     *session.Session
	entry   *entry
	at      int32 // in entry.subs
	ownerAt int32 // in the owner's list
	on      bool  // as Switch left it
}

// owners lists the subscriptions of each session, for its end.
type owners struct {
	mu   sync.Mutex
	subs map[*session.Session][]*subscription // guarded by mu
}

// New makes an empty Hub; w may be nil.
func New(w Watcher) *Hub {
	h := &Hub{watcher: w, seed: maphash.MakeSeed()}
	for i := range h.shards {
		h.shards[i].names = make(map[string]*entry)
		h.owners[i].subs = make(map[*session.Session][]*subscription)
	}
	return h
}

func (h *Hub) shard(name string) *shard {
	return &h.shards[maphash.String(h.seed, name)%shards]
}

func (h *Hub) owner(s *session.Session) *owners { return &h.owners[s.ID()%shards] }

func (e *entry) find(s *session.Session) *subscription {
	if e.index != nil {
		return e.index[s]
	}
	for _, sub := range e.subs {
		if sub.who == s {
			return sub
		}
	}
	return nil
}

// MaxNames bounds the subscriptions of one session; one that wants more is closed.
const MaxNames = 200_000

// Subscribe adds a subscription. It reports whether it is new, and whether it is
// the first of its name. A session that is gone gets none.
func (h *Hub) Subscribe(s *session.Session, name string) (added, first bool) {
	sh := h.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.names[name]
	if e != nil && e.find(s) != nil {
		return false, false
	}
	o := h.owner(s)
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case s.Gone():
		return false, false // RemoveSession has been here or is about to
	case len(o.subs[s]) >= MaxNames:
		s.Hit(session.LimitSubscriptions)
		s.Close(session.ClosePolicy, "too many subscriptions")
		return false, false
	}
	if e == nil {
		e = &entry{name: strings.Clone(name)}
		sh.names[e.name] = e
	}
	sub := &subscription{who: s, entry: e, at: int32(len(e.subs)), ownerAt: int32(len(o.subs[s]))}
	o.subs[s] = append(o.subs[s], sub)
	e.subs = append(e.subs, sub)
	switch {
	case e.index != nil:
		e.index[s] = sub
	case len(e.subs) > manySubs:
		e.index = make(map[*session.Session]*subscription, 2*manySubs)
		for _, sub := range e.subs {
			e.index[sub.who] = sub
		}
	}
	first = len(e.subs) == 1
	if first && h.watcher != nil {
		h.watcher.First(e.name)
	}
	return true, first
}

// Unsubscribe removes a subscription. It reports whether there was one, and
// whether it was the last of its name.
func (h *Hub) Unsubscribe(s *session.Session, name string) (removed, last bool) {
	sh := h.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.names[name]
	if e == nil {
		return false, false
	}
	sub := e.find(s)
	if sub == nil {
		return false, false
	}
	h.disown(sub)
	last = sh.remove(sub)
	if last && h.watcher != nil {
		h.watcher.Last(e.name)
	}
	return true, last
}

// remove takes a subscription out of its entry; sh.mu is held.
func (sh *shard) remove(sub *subscription) (last bool) {
	e := sub.entry
	end := len(e.subs) - 1
	moved := e.subs[end]
	e.subs[sub.at], moved.at = moved, sub.at
	e.subs[end] = nil
	e.subs = e.subs[:end]
	if e.index != nil {
		delete(e.index, sub.who)
	}
	if end == 0 {
		delete(sh.names, e.name)
	}
	return end == 0
}

func (h *Hub) disown(sub *subscription) {
	o := h.owner(sub.who)
	o.mu.Lock()
	defer o.mu.Unlock()
	list := o.subs[sub.who]
	end := len(list) - 1
	moved := list[end]
	list[sub.ownerAt], moved.ownerAt = moved, sub.ownerAt
	list[end] = nil
	if end == 0 {
		delete(o.subs, sub.who)
	} else {
		o.subs[sub.who] = list[:end]
	}
}

// Names returns what a session is subscribed to.
func (h *Hub) Names(s *session.Session) []string {
	o := h.owner(s)
	o.mu.Lock()
	defer o.mu.Unlock()
	names := make([]string, 0, len(o.subs[s]))
	for _, sub := range o.subs[s] {
		names = append(names, sub.entry.name)
	}
	return names
}

// RemoveSession drops all subscriptions of a session that is gone and returns the
// names that nobody wants any more.
func (h *Hub) RemoveSession(s *session.Session) (unwanted []string) {
	for _, name := range h.Names(s) {
		if _, last := h.Unsubscribe(s, name); last {
			unwanted = append(unwanted, name)
		}
	}
	return unwanted
}

// RemoveName drops all subscriptions of a name and reports whether there were
// any.
func (h *Hub) RemoveName(name string) bool {
	sh := h.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.names[name]
	if e == nil {
		return false
	}
	for _, sub := range e.subs {
		h.disown(sub)
	}
	delete(sh.names, e.name)
	if h.watcher != nil {
		h.watcher.Last(e.name)
	}
	return true
}

// Has reports whether anyone is subscribed to a name.
func (h *Hub) Has(name string) bool {
	sh := h.shard(name)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.names[name] != nil
}

// Subscribed reports whether this session is subscribed to a name.
func (h *Hub) Subscribed(s *session.Session, name string) bool {
	sh := h.shard(name)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	e := sh.names[name]
	return e != nil && e.find(s) != nil
}

// Subscribers returns the sessions subscribed to a name.
func (h *Hub) Subscribers(name string) []*session.Session {
	sh := h.shard(name)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	e := sh.names[name]
	if e == nil {
		return nil
	}
	list := make([]*session.Session, len(e.subs))
	for i, sub := range e.subs {
		list[i] = sub.who
	}
	return list
}

// Pick returns a random subscriber of a name for which skip is false, or nil.
func (h *Hub) Pick(name string, skip func(s *session.Session) bool) *session.Session {
	sh := h.shard(name)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	e := sh.names[name]
	if e == nil {
		return nil
	}
	n := len(e.subs)
	start := rand.IntN(n)
	for i := range n {
		if s := e.subs[(start+i)%n].who; !skip(s) {
			return s
		}
	}
	return nil
}

// All calls f with each name until it returns false. Names that come or go
// meanwhile may be missed.
func (h *Hub) All(f func(name string) bool) {
	for i := range h.shards {
		sh := &h.shards[i]
		sh.mu.RLock()
		names := make([]string, 0, len(sh.names))
		for name := range sh.names {
			names = append(names, name)
		}
		sh.mu.RUnlock()
		for _, name := range names {
			if !f(name) {
				return
			}
		}
	}
}

// Len is the number of names.
func (h *Hub) Len() int {
	n := 0
	for i := range h.shards {
		sh := &h.shards[i]
		sh.mu.RLock()
		n += len(sh.names)
		sh.mu.RUnlock()
	}
	return n
}

// Publish delivers m to the subscribers of a name other than except, which may
// be nil, and returns how many there were.
func (h *Hub) Publish(name string, m *message.Message, except *session.Session) int {
	sh := h.shard(name)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	e := sh.names[name]
	if e == nil {
		return 0
	}
	b := session.NewBroadcast(m)
	defer b.Release()
	n := 0
	for _, sub := range e.subs {
		if sub.who != except {
			b.SendTo(sub.who)
			n++
		}
	}
	return n
}

// Switch turns the subscriptions of a name on or off, and delivers m to those that were
// not so before. One that is new is off.
func (h *Hub) Switch(name string, on bool, m *message.Message) {
	sh := h.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.names[name]
	if e == nil {
		return
	}
	b := session.NewBroadcast(m)
	defer b.Release()
	for _, sub := range e.subs {
		if sub.on != on {
			sub.on = on
			b.SendTo(sub.who)
		}
	}
}

// SwitchOne is Switch for one subscriber.
func (h *Hub) SwitchOne(s *session.Session, name string, on bool, m *message.Message) {
	sh := h.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.names[name]
	if e == nil {
		return
	}
	if sub := e.find(s); sub != nil && sub.on != on {
		sub.on = on
		s.Send(m)
	}
}
