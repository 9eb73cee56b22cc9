package affinity

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// Ids that clients make up grow nothing: a pin exists only through Pin.
func TestUnknownKeysGrowNothing(t *testing.T) {
	m := NewMemory(0)
	p := NewPins(m, PinsConfig{})
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for i := w; i < million; i += 2 {
				if _, ok := p.Lookup(t.Context(), testKey(i)); ok {
					t.Error("a key that nobody pinned is found")
					return
				}
			}
		})
	}
	wg.Wait()
	if st := p.Stats(); m.Len() != 0 || st.Entries != 0 || st.Unpublished != 0 {
		t.Errorf("the table has %d pins; %+v", m.Len(), st)
	}
	for i := range p.front.shards {
		s := &p.front.shards[i]
		if len(s.misses) != missesPerShard || len(s.flights) != 0 {
			t.Errorf("a shard remembers %d misses and %d questions", len(s.misses), len(s.flights))
		}
	}
}

// A front of the default size takes a million sessions, one after the other.
func TestFrontBoundOfDefaults(t *testing.T) {
	p := NewPins(NewMemory(0), PinsConfig{})
	for i := range million {
		k := testKey(i)
		h := p.front.hash(k)
		p.front.set(p.front.shard(h), h, k, state{backend: "x", life: time.Hour, published: i%2 > 0}, p.now())
	}
	st := p.Stats()
	if st.MaxEntries != 200_000 || st.Entries > 200_000 || st.Entries < 190_000 || st.Bytes > 64<<20 ||
		st.Evicted != uint64(million-st.Entries) || st.Unpublished != 100_000 {
		t.Errorf("%+v", st)
	}
	checkFront(t, p.front)
}

// The front keeps its bounds whatever is pinned.
func TestFrontBounds(t *testing.T) {
	f := func(c PinsConfig, wantMax int, pins int) {
		t.Helper()
		m := NewMemory(pins * 2)
		p := NewPins(m, c)
		for i := range pins {
			p.Pin(t.Context(), testKey(i), "x", time.Hour)
		}
		st := p.Stats()
		if st.MaxEntries != wantMax || st.Entries > wantMax || st.Entries < wantMax*9/10 ||
			st.Evicted != uint64(pins-st.Entries) || st.EvictedUnshared != 0 {
			t.Errorf("after %d pins: %+v", pins, st)
		}
		if n := p.Count("x"); n != st.Entries {
			t.Errorf("Count = %d of %d entries", n, st.Entries)
		}
		// Nothing is lost: the table has them.
		if m.Len() != pins {
			t.Errorf("the table has %d pins of %d", m.Len(), pins)
		}
		for i := range min(pins, 100) {
			wantLookup(t, p, testKey(i), "x")
		}
		checkFront(t, p.front)
	}
	f(PinsConfig{MaxBytes: 1 << 20}, 1<<20/entryBytes, 20_000)
	f(PinsConfig{MaxEntries: 1000}, 1000, 5000)
	f(PinsConfig{MaxEntries: 1}, 1, 50)
}

func TestFrontHitAllocatesNothing(t *testing.T) {
	p := NewPins(NewMemory(0), PinsConfig{Trust: 1})
	p.Pin(t.Context(), testKey(1), "x", time.Minute)
	ctx := context.Background()
	key := testKey(1)
	if n := testing.AllocsPerRun(1000, func() {
		if _, ok := p.Lookup(ctx, key); !ok {
			t.Error("not found")
		}
	}); n != 0 {
		t.Errorf("a hit allocates %v times", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		if p.Count("x") != 1 {
			t.Error("not counted")
		}
	}); n != 0 {
		t.Errorf("Count allocates %v times", n)
	}
	// Nor does the hit that queues a renewal.
	e := p.front.shard(p.front.hash(key)).find(p.front.hash(key), key)
	if n := testing.AllocsPerRun(1000, func() {
		e.checked.Store(1)
		e.queued.Store(false)
		p.Lookup(ctx, key)
		<-p.queue
	}); n != 0 {
		t.Errorf("a hit that renews allocates %v times", n)
	}
}

// All that is counted is right after anybody did anything at the same time.
func TestPinsUsedByMany(t *testing.T) {
	table := newFaultTable()
	p := NewPins(table, PinsConfig{
		MaxEntries: 64, MaxUnpublished: 16, Trust: 1, FlushEvery: time.Millisecond,
		MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond,
	})
	stop := runPins(t, p)
	ctx := context.Background()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var held []func()
			for range 2000 {
				key := testKey(rand.IntN(100))
				backend := fmt.Sprint("b", rand.IntN(4))
				switch rand.IntN(12) {
				case 0, 1, 2:
					p.Lookup(ctx, key)
				case 3, 4, 5:
					p.Pin(ctx, key, backend, time.Minute)
				case 6:
					p.Move(ctx, key, backend, "b0", 0)
				case 7:
					p.Unpin(ctx, key, "")
				case 8:
					held = append(held, p.Hold(key), p.Keep(key))
				case 9:
					p.Recheck(ctx, key)
					p.Sessions(10)
					p.Stats()
					p.Count(backend)
				case 10:
					p.Drop(backend)
				case 11:
					away := error(nil)
					if rand.IntN(3) == 0 {
						away = errAway
					}
					table.set(func() { table.away, table.full = away, rand.IntN(3) == 0 })
				}
			}
			for _, release := range held {
				release()
			}
		})
	}
	wg.Wait()
	table.set(func() { table.away, table.full = nil, false })
	eventually(t, "all to be published", func() bool {
		ok, _ := p.Status()
		return ok && p.Stats().Unpublished == 0
	})
	stop()
	if st := p.Stats(); st.Held != 0 || st.Entries > 64 {
		t.Errorf("Stats = %+v", st)
	}
}
