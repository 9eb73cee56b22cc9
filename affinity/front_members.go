package affinity

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
)

// member is a backend as the front knows it: one string for all its entries,
// and their number.
type member struct {
	id      string
	refs    atomic.Int64 // entries that name it; retired once it has left the registry
	polling atomic.Int64 // of these, those without a tunnel
	dropped atomic.Bool  // entries that name it are void
}

const retired = -1 << 32

// members is the registry. Reading it takes no lock; it changes only when a
// backend comes or goes.
type members struct {
	byID atomic.Pointer[map[string]*member] // never changed, replaced

	mu sync.Mutex // taken inside a shard's
}

// membersKept is how many members may stay without any entry.
const membersKept = 1024

func newMembers() *members {
	ms := new(members)
	ms.byID.Store(&map[string]*member{})
	return ms
}

// find returns the member of an id, or nil.
func (ms *members) find(id string) *member { return (*ms.byID.Load())[id] }

// acquire returns the member of an id for one more entry.
func (ms *members) acquire(id string) *member {
	if m := ms.find(id); m != nil && m.refs.Add(1) > 0 {
		return m
	}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	old := *ms.byID.Load()
	if m := old[id]; m != nil && m.refs.Add(1) > 0 {
		return m
	}
	next := maps.Clone(old)
	if len(next) >= membersKept {
		maps.DeleteFunc(next, func(_ string, m *member) bool { return m.refs.CompareAndSwap(0, retired) })
	}
	m := &member{id: strings.Clone(id)}
	m.refs.Store(1)
	next[m.id] = m
	ms.byID.Store(&next)
	return m
}

func (m *member) release() { m.refs.Add(-1) }

// drop makes all entries of a backend void. Should the backend come back, it
// starts with none.
func (ms *members) drop(id string) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	old := *ms.byID.Load()
	m := old[id]
	if m == nil {
		return
	}
	next := maps.Clone(old)
	delete(next, id)
	ms.byID.Store(&next)
	m.dropped.Store(true)
}
