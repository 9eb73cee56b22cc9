package store

import (
	"container/list"
	"context"
	"hash/maphash"
	"strings"
	"sync"
)

// Memory is a Cache in this process. With a bound it forgets the records that
// were not used for the longest time; without a storage behind it those are lost.
// The last one written is never forgotten, however large it is.
type Memory struct {
	seed   maphash.Seed
	shards []memoryShard
}

// memoryShards keep writers of different records apart. With a bound there is but
// one: which record is the oldest is a question about all.
const memoryShards = 16

type memoryShard struct {
	mu      sync.Mutex
	records map[string]*list.Element // guarded by mu
	recent  list.List                // guarded by mu: *item, latest first
	bytes   int64                    // guarded by mu
	max     int64                    // bytes, 0 for no bound
}

type item struct {
	name string
	rec  Record
}

// overhead is what a record costs besides its name and data, in bytes.
const overhead = 160

func (i *item) size() int64 { return int64(len(i.name)+len(i.rec.Data)) + overhead }

// NewMemory makes a cache that holds no more than maxBytes, or all if that is 0.
func NewMemory(maxBytes int64) *Memory {
	n := memoryShards
	if maxBytes > 0 {
		n = 1
	}
	m := &Memory{seed: maphash.MakeSeed(), shards: make([]memoryShard, n)}
	for i := range m.shards {
		m.shards[i].records = make(map[string]*list.Element)
		m.shards[i].max = maxBytes
	}
	return m
}

func (m *Memory) shard(name string) *memoryShard {
	if len(m.shards) == 1 {
		return &m.shards[0]
	}
	return &m.shards[maphash.String(m.seed, name)%memoryShards]
}

// get is called with mu held.
func (s *memoryShard) get(name string) Record {
	e := s.records[name]
	if e == nil {
		return absent
	}
	if s.max > 0 {
		s.recent.MoveToFront(e)
	}
	return e.Value.(*item).rec
}

// put is called with mu held.
func (s *memoryShard) put(name string, r Record) {
	if e := s.records[name]; e != nil {
		i := e.Value.(*item)
		s.bytes -= i.size()
		i.rec = r
		s.bytes += i.size()
		s.recent.MoveToFront(e)
	} else {
		i := &item{name: strings.Clone(name), rec: r}
		s.records[i.name] = s.recent.PushFront(i)
		s.bytes += i.size()
	}
	for s.max > 0 && s.bytes > s.max && s.recent.Len() > 1 {
		s.remove(s.recent.Back())
	}
}

func (s *memoryShard) remove(e *list.Element) {
	i := e.Value.(*item)
	s.bytes -= i.size()
	s.recent.Remove(e)
	delete(s.records, i.name)
}

// Get implements Cache.
func (m *Memory) Get(_ context.Context, name string) (Record, error) {
	s := m.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(name), nil
}

// CompareAndPut implements Cache.
func (m *Memory) CompareAndPut(_ context.Context, name string, old int64, r Record) (Record, bool, error) {
	s := m.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if current := s.get(name); current.Version != old {
		return current, false, nil
	}
	s.put(name, r)
	return r, true, nil
}

// Put implements Cache.
func (m *Memory) Put(_ context.Context, name string, r Record) error {
	s := m.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(name, r)
	return nil
}

// Delete implements Cache.
func (m *Memory) Delete(_ context.Context, names ...string) error {
	for _, name := range names {
		s := m.shard(name)
		s.mu.Lock()
		if e := s.records[name]; e != nil {
			s.remove(e)
		}
		s.mu.Unlock()
	}
	return nil
}

// Versions implements Cache.
func (m *Memory) Versions(_ context.Context, names []string) ([]int64, error) {
	versions := make([]int64, len(names))
	for i, name := range names {
		s := m.shard(name)
		s.mu.Lock()
		versions[i] = s.get(name).Version
		s.mu.Unlock()
	}
	return versions, nil
}

// Bytes is about how much the records take.
func (m *Memory) Bytes() int64 {
	var n int64
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += s.bytes
		s.mu.Unlock()
	}
	return n
}

// Generation implements Cache.
func (m *Memory) Generation(context.Context) (string, error) { return "memory", nil }

// Close implements Cache.
func (m *Memory) Close() error { return nil }
