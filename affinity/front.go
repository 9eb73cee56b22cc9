package affinity

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// front is the part of the table that this replica has at hand: a hash table of
// a fixed number of shards and buckets, each bucket a chain that readers walk
// without a lock while writers change it under the shard's. A chain only ever
// grows at its head, and a removed entry keeps its successor, so a reader that
// stands on it finds its way.
//
// Times are nanoseconds on the clock of Pins.
type front struct {
	shards         []frontShard // a power of two
	seed1, seed2   uint64       // against chains made long by chosen ids
	members        *members
	maxUnpublished int64

	unpublished atomic.Int64 // entries that wait for the table
	unprotected atomic.Uint64
}

type frontShard struct {
	buckets []atomic.Pointer[entry] // a power of two
	max     int

	mu      sync.Mutex
	ring    []*entry // all entries, for the clock hand of eviction
	hand    int
	misses  []miss // by hash: a small memory of keys that have no pin
	flights map[Key]*flight
	held    int // entries with a tunnel or stream
	waiting int // unpublished entries
	evicted uint64
	lost    uint64 // evicted though protected
}

// entry is one pin in the front. What a hit needs comes first and fills a cache
// line.
type entry struct {
	key  Key
	next atomic.Pointer[entry]

	// Read without the lock, written under it.
	member atomic.Pointer[member]
	life   atomic.Int64

	// Read and written without the lock.
	seen atomic.Int64 // last use
	// When the table last said the same; or minus when it was last to be told
	// what it does not have yet.
	checked atomic.Int64
	touched atomic.Bool // since the clock hand passed
	queued  atomic.Bool // for a renewal

	// Guarded by the shard's mu.
	gone        bool   // no longer in the front
	ended       bool   // taken out by Unpin
	unpublished bool   // waits for the table, and is spared by eviction
	from        string // where it was moved from while the table was away
	born        int64
	slot        int // index in the ring
	tunnels     int32
	streams     int32
}

// entryBytes is what an entry takes in memory, its place in bucket and ring
// included.
const entryBytes = 160

// miss remembers until when a key is known to have no pin.
type miss struct {
	key   Key
	until int64
}

// flight is one question to the table that others may wait for.
type flight struct {
	done chan struct{}
	// stale is guarded by the shard's mu: the pin was changed here meanwhile,
	// so the answer may be older than what the front knows.
	stale bool

	// Set before done is closed.
	backend string
	ok      bool
}

const (
	frontShards    = 64
	missesPerShard = 256
)

func newFront(maxEntries, maxUnpublished int) *front {
	n := frontShards
	for n > 1 && maxEntries/n < 16 {
		n /= 2
	}
	f := &front{
		shards:         make([]frontShard, n),
		seed1:          rand.Uint64(),
		seed2:          rand.Uint64(),
		members:        newMembers(),
		maxUnpublished: int64(maxUnpublished),
	}
	for i := range f.shards {
		s := &f.shards[i]
		s.max = max(maxEntries/n, 1)
		s.buckets = make([]atomic.Pointer[entry], 1<<bits.Len(uint(s.max-1)))
		s.misses = make([]miss, missesPerShard)
		s.flights = make(map[Key]*flight)
	}
	return f
}

// hash mixes a key with secret seeds: who does not know them cannot choose ids
// whose keys share a bucket.
func (f *front) hash(k Key) uint64 {
	lo, hi := binary.LittleEndian.Uint64(k[:8]), binary.LittleEndian.Uint64(k[8:])
	a, b := bits.Mul64(lo^f.seed1, hi^f.seed2)
	return a ^ b
}

func (f *front) shard(h uint64) *frontShard { return &f.shards[h>>32&uint64(len(f.shards)-1)] }

func (s *frontShard) bucket(h uint64) *atomic.Pointer[entry] {
	return &s.buckets[h&uint64(len(s.buckets)-1)]
}

// find returns the entry of a key, which may have ended, or nil.
func (s *frontShard) find(h uint64, k Key) *entry {
	for e := s.bucket(h).Load(); e != nil; e = e.next.Load() {
		if e.key == k {
			return e
		}
	}
	return nil
}

// live reports whether an entry still counts.
func (e *entry) live(now int64) bool {
	return now-e.seen.Load() < e.life.Load() && !e.member.Load().dropped.Load()
}

// shared reports whether the table has the entry, as far as is known.
func (e *entry) shared() bool { return e.checked.Load() > 0 }

// due reports whether the table is to be told again that an entry lives.
func (e *entry) due(now, trust int64) bool {
	last := e.checked.Load()
	return now-max(last, -last) > min(trust, e.life.Load()/3)
}

// use marks an entry as used. Cache lines that many cores read are written at
// most once a second.
func (e *entry) use(now int64) {
	if now-e.seen.Load() > int64(time.Second) {
		e.seen.Store(now)
	}
	if !e.touched.Load() {
		e.touched.Store(true)
	}
}

// state is what set makes of an entry.
type state struct {
	backend   string
	from      string
	life      time.Duration
	published bool
}

// set makes the front say st of a key. The caller holds s.mu.
func (f *front) set(s *frontShard, h uint64, k Key, st state, now int64) *entry {
	s.forgetMiss(h, k)
	if fl := s.flights[k]; fl != nil {
		fl.stale = true
	}
	e := s.find(h, k)
	if e == nil {
		if len(s.ring) >= s.max {
			f.evict(s, now)
		}
		e = &entry{key: k, born: now, slot: len(s.ring)}
		m := f.members.acquire(st.backend)
		m.polling.Add(1)
		e.member.Store(m)
	} else {
		if !e.live(now) {
			e.born = now
		}
		f.reassign(e, st.backend)
	}
	e.life.Store(int64(st.life))
	e.seen.Store(now)
	e.touched.Store(true)
	f.setUnpublished(s, e, !st.published)
	e.from = st.from
	if st.published {
		e.checked.Store(now)
	} else {
		e.checked.Store(-now)
	}
	if e.slot == len(s.ring) {
		s.ring = append(s.ring, e)
		head := s.bucket(h)
		e.next.Store(head.Load())
		head.Store(e)
	}
	return e
}

// reassign gives an entry to another member. The caller holds the shard's mu.
func (f *front) reassign(e *entry, backend string) {
	old := e.member.Load()
	if old.id == backend && !old.dropped.Load() {
		return
	}
	m := f.members.acquire(backend)
	if e.tunnels == 0 {
		m.polling.Add(1)
		old.polling.Add(-1)
	}
	e.member.Store(m)
	old.release()
}

// setUnpublished says whether an entry waits for the table. Beyond the bound it
// does not wait, and is no better than others. The caller holds s.mu.
func (f *front) setUnpublished(s *frontShard, e *entry, yes bool) {
	if yes && !e.unpublished && f.unpublished.Load() >= f.maxUnpublished {
		f.unprotected.Add(1)
		return
	}
	if yes == e.unpublished {
		return
	}
	e.unpublished = yes
	d := 1
	if !yes {
		d = -1
	}
	s.waiting += d
	f.unpublished.Add(int64(d))
}

// remove takes an entry out. The caller holds s.mu.
func (f *front) remove(s *frontShard, h uint64, e *entry) {
	link := s.bucket(h)
	for at := link.Load(); at != e; at = link.Load() {
		link = &at.next
	}
	link.Store(e.next.Load())

	last := len(s.ring) - 1
	s.ring[e.slot] = s.ring[last]
	s.ring[e.slot].slot = e.slot
	s.ring[last] = nil
	s.ring = s.ring[:last]

	f.setUnpublished(s, e, false)
	if e.tunnels+e.streams > 0 {
		s.held--
	}
	m := e.member.Load()
	if e.tunnels == 0 {
		m.polling.Add(-1)
	}
	m.release()
	e.gone = true
}

// missed reports whether a key is known to have no pin. The caller holds s.mu.
func (s *frontShard) missed(h uint64, k Key, now int64) bool {
	m := &s.misses[h>>48%missesPerShard]
	return m.key == k && now < m.until
}

func (s *frontShard) remember(h uint64, k Key, until int64) {
	s.misses[h>>48%missesPerShard] = miss{k, until}
}

func (s *frontShard) forgetMiss(h uint64, k Key) {
	if m := &s.misses[h>>48%missesPerShard]; m.key == k {
		m.until = 0
	}
}
