package affinity

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

// checkFront compares all that the front keeps twice.
func checkFront(t interface {
	Helper()
	Errorf(string, ...any)
}, f *front) {
	t.Helper()
	polling := map[*member]int64{}
	refs := map[*member]int64{}
	unpublished := 0
	for i := range f.shards {
		s := &f.shards[i]
		inBuckets, waiting, held := 0, 0, 0
		for b := range s.buckets {
			for e := s.buckets[b].Load(); e != nil; e = e.next.Load() {
				inBuckets++
				if e.gone {
					t.Errorf("a removed entry is still in its chain")
				}
			}
		}
		for j, e := range s.ring {
			m := e.member.Load()
			refs[m]++
			if e.tunnels == 0 {
				polling[m]++
			}
			if e.unpublished {
				waiting++
			}
			if e.tunnels+e.streams > 0 {
				held++
			}
			if e.slot != j || s.find(f.hash(e.key), e.key) != e {
				t.Errorf("entry %s has lost its place", e.key.Short())
			}
		}
		if inBuckets != len(s.ring) || len(s.ring) > s.max {
			t.Errorf("%d entries in buckets, %d in the ring of %d", inBuckets, len(s.ring), s.max)
		}
		if waiting != s.waiting || held != s.held {
			t.Errorf("%d waiting, %d held, counted as %d and %d", waiting, held, s.waiting, s.held)
		}
		unpublished += waiting
	}
	if int64(unpublished) != f.unpublished.Load() {
		t.Errorf("%d entries unpublished, counted as %d", unpublished, f.unpublished.Load())
	}
	for id, m := range *f.members.byID.Load() {
		if m.refs.Load() != refs[m] || m.polling.Load() != polling[m] {
			t.Errorf("%s has %d entries, %d polling, counted as %d and %d",
				id, refs[m], polling[m], m.refs.Load(), m.polling.Load())
		}
	}
}

// Any sequence of calls leaves the front consistent and within its bounds.
func TestFrontModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFront(rapid.IntRange(1, 40).Draw(t, "bound"), 5)
		now := int64(1)
		for range rapid.IntRange(1, 100).Draw(t, "calls") {
			k := testKey(rapid.IntRange(0, 60).Draw(t, "key"))
			backend := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "backend")
			h := f.hash(k)
			s := f.shard(h)
			e := s.find(h, k)
			switch call := rapid.IntRange(0, 7).Draw(t, "call"); {
			case call <= 2:
				e := f.set(s, h, k, state{backend: backend, life: time.Minute, published: call > 0}, now)
				if s.find(h, k) != e || e.member.Load().id != backend {
					t.Fatalf("set is not found")
				}
			case call == 3 && e != nil:
				f.remove(s, h, e)
				if s.find(h, k) != nil || !e.gone {
					t.Fatalf("removed is found")
				}
			case call == 4 && e != nil:
				s.hold(e, rapid.Bool().Draw(t, "tunnel"), 1)
			case call == 5 && e != nil && e.tunnels > 0:
				s.hold(e, true, -1)
			case call == 5 && e != nil && e.streams > 0:
				s.hold(e, false, -1)
			case call == 6:
				f.members.drop(backend)
			case call == 7:
				now += int64(rapid.IntRange(0, 40).Draw(t, "pause")) * int64(time.Second)
				f.sweep(&f.shards[0], now, func(*entry) {})
			}
			checkFront(t, f)
		}
	})
}

func TestFrontEvictsUnused(t *testing.T) {
	f := newFront(16, 8) // one shard
	s := &f.shards[0]
	set := func(n int, published bool) *entry {
		k := testKey(n)
		return f.set(s, f.hash(k), k, state{backend: "a", life: time.Minute, published: published}, 1)
	}
	has := func(n int) bool { return s.find(f.hash(testKey(n)), testKey(n)) != nil }
	for i := range 16 {
		e := set(i, i >= 4) // 0 to 3 wait for the table
		if i == 4 {
			s.hold(e, true, 1)
		}
	}
	// The first eviction takes everybody's mark; after it 5 and 6 are used.
	set(100, true)
	for i := range 2 {
		s.find(f.hash(testKey(6+i)), testKey(6+i)).use(2)
	}
	for i := range 8 {
		set(101+i, true)
	}
	for i := range 16 {
		if want := i <= 4 || i == 6 || i == 7; has(i) != want {
			t.Errorf("entry %d is there: %v, want %v", i, has(i), want)
		}
	}
	if s.evicted != 9 || s.lost != 0 {
		t.Errorf("%d evicted, %d of them protected", s.evicted, s.lost)
	}
	checkFront(t, f)
}

func TestFrontEvictsEndedFirst(t *testing.T) {
	f := newFront(16, 8)
	s := &f.shards[0]
	for i := range 16 {
		k := testKey(i)
		f.set(s, f.hash(k), k, state{backend: "a", life: time.Duration(i+1) * time.Minute, published: false}, 1)
	}
	k := testKey(100)
	f.set(s, f.hash(k), k, state{backend: "a", life: time.Minute, published: true}, int64(90*time.Second))
	if s.find(f.hash(testKey(0)), testKey(0)) != nil || s.evicted != 0 {
		t.Error("what had ended was not taken, or counts as evicted")
	}
}

// When all entries are protected, one of them has to go, and is counted.
func TestFrontFullOfProtected(t *testing.T) {
	f := newFront(16, 1000)
	s := &f.shards[0]
	for i := range 20 {
		k := testKey(i)
		f.set(s, f.hash(k), k, state{backend: "a", life: time.Minute}, 1)
	}
	if len(s.ring) != 16 || s.evicted != 4 || s.lost != 4 {
		t.Errorf("%d entries, %d evicted, %d of them protected", len(s.ring), s.evicted, s.lost)
	}
	checkFront(t, f)
}

func TestFrontUnpublishedBound(t *testing.T) {
	f := newFront(100, 3)
	for i := range 10 {
		k := testKey(i)
		h := f.hash(k)
		f.set(f.shard(h), h, k, state{backend: "a", life: time.Minute}, 1)
	}
	if f.unpublished.Load() != 3 || f.unprotected.Load() != 7 {
		t.Errorf("%d wait, %d unprotected", f.unpublished.Load(), f.unprotected.Load())
	}
	checkFront(t, f)
}

func TestMembersAreBounded(t *testing.T) {
	ms := newMembers()
	stays := ms.acquire("stays")
	for i := range 10 * membersKept {
		ms.acquire(fmt.Sprint(i)).release()
	}
	if n := len(*ms.byID.Load()); n > membersKept+1 {
		t.Errorf("%d members", n)
	}
	if ms.find("stays") != stays || stays.refs.Load() != 1 {
		t.Error("a member in use was removed")
	}
	// One that has left the registry is not used again.
	old := ms.find("5")
	if old == nil {
		old = &member{id: "5"}
		old.refs.Store(retired)
	}
	if m := ms.acquire("5"); m.refs.Load() != 1 || m == old && old.refs.Load() < 0 {
		t.Error("a retired member is used")
	}
}

func TestEntryBytes(t *testing.T) {
	if n := unsafe.Sizeof(entry{}); n > 128 {
		t.Errorf("an entry has %d bytes: entryBytes is too small", n)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const entries = 100_000
	f := newFront(entries, 1)
	for i := range entries {
		k := testKey(i)
		h := f.hash(k)
		f.set(f.shard(h), h, k, state{backend: "a", life: time.Minute, published: true}, 1)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	fixed := uint64(len(f.shards) * missesPerShard * int(unsafe.Sizeof(miss{})))
	if per := (after.HeapAlloc - before.HeapAlloc - fixed) / entries; per > entryBytes {
		t.Errorf("an entry takes %d bytes, entryBytes is %d", per, entryBytes)
	}
	runtime.KeepAlive(f)
}

// Readers without the lock always find what is not being removed.
func TestFrontReadersBesideWriters(t *testing.T) {
	f := newFront(16, 4)
	s := &f.shards[0]
	stays := testKey(1)
	h := f.hash(stays)
	s.mu.Lock()
	f.set(s, h, stays, state{backend: "a", life: time.Hour, published: true}, 1)
	s.mu.Unlock()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if e := s.find(h, stays); e == nil || e.member.Load().id != "a" {
					t.Error("an entry that stays is not found")
					return
				}
			}
		})
	}
	for i := range 20_000 {
		k := testKey(2 + i%12) // all of them share 16 buckets
		h := f.hash(k)
		s.mu.Lock()
		if e := s.find(h, k); e != nil {
			f.remove(s, h, e)
		} else {
			f.set(s, h, k, state{backend: "b", life: time.Hour, published: true}, 1)
		}
		s.mu.Unlock()
	}
	close(stop)
	wg.Wait()
	checkFront(t, f)
}
