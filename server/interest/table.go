package interest

import (
	"hash/maphash"
	"sync"
)

const shards = 64

// table has the names of one kind.
type table struct {
	seed   maphash.Seed
	shards [shards]shard
}

// shard has some of the names of a table. Readers need only mu, which is never held
// for longer than one name takes, or a copy of the names.
type shard struct {
	change sync.Mutex // held while a name changes and watchers are told
	mu     sync.RWMutex
	names  map[string]*set // guarded by mu; changed with change and mu held
	_      [24]byte        // shards have cache lines of their own
}

func (t *table) init(seed maphash.Seed) {
	t.seed = seed
	for i := range t.shards {
		t.shards[i].names = make(map[string]*set)
	}
}

func (t *table) index(name string) int { return int(maphash.String(t.seed, name) % shards) }

func (t *table) shard(name string) *shard { return &t.shards[t.index(name)] }

// get returns the nodes that want a name, nil if none does.
func (t *table) get(name string) *set {
	sh := t.shard(name)
	sh.mu.RLock()
	s := sh.names[name]
	sh.mu.RUnlock()
	return s
}

func (t *table) len() (n int) {
	for i := range t.shards {
		n += t.shards[i].len()
	}
	return n
}

func (sh *shard) len() int {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return len(sh.names)
}

// append adds the names to a slice; own limits them to those that this node wants.
func (sh *shard) append(names []string, own bool) []string {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for name, s := range sh.names {
		if !own || s.self {
			names = append(names, name)
		}
	}
	return names
}

// put sets the nodes that want a name; the string is kept.
func (sh *shard) put(name string, s *set) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s == nil {
		delete(sh.names, name)
	} else {
		sh.names[name] = s
	}
}
