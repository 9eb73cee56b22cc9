package affinity

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestMemoryLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(0)
		put(t, m, Pin{Key: testKey(1), Backend: "a", Life: time.Minute})
		time.Sleep(time.Minute - time.Nanosecond)
		wantPin(t, m, testKey(1), "a", time.Minute)
		time.Sleep(time.Nanosecond)
		wantPin(t, m, testKey(1), "", 0)
		if n := m.Len(); n != 0 {
			t.Errorf("%d pins are left", n)
		}
	})
}

// Expired pins go away without anybody asking for them, and never many at once.
func TestMemoryExpiresAside(t *testing.T) {
	f := func(call func(m *Memory)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			m := NewMemory(1) // one shard
			m.shards[0].max = 10_000
			put(t, m, Pin{Key: testKey(-1), Backend: "a", Life: time.Hour})
			for i := range 100 {
				put(t, m, Pin{Key: testKey(i), Backend: "a", Life: time.Minute})
			}
			time.Sleep(time.Minute)
			for i := range 100 / expireAtOnce {
				if got, want := m.Len(), 101-i*expireAtOnce; got != want {
					t.Fatalf("after %d calls %d pins are left, want %d", i, got, want)
				}
				call(m)
			}
			if m.Len() != 1 || len(m.shards[0].pins) != 1 {
				t.Errorf("%d pins are left", m.Len())
			}
			if m.Evicted() != 0 {
				t.Error("expiry counts as eviction")
			}
		})
	}
	f(func(m *Memory) { wantPin(t, m, testKey(-1), "a", time.Hour) })
	f(func(m *Memory) { put(t, m, Pin{Key: testKey(-1), Backend: "a", Life: time.Hour}) })
}

func TestMemoryFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(10)
		for i := range 10 {
			put(t, m, Pin{Key: testKey(i), Backend: "a", Life: time.Minute})
			time.Sleep(time.Second)
		}
		// In use, so it outlives younger ones.
		put(t, m, Pin{Key: testKey(0), Backend: "a", Life: time.Minute})
		for i := range 3 {
			put(t, m, Pin{Key: testKey(10 + i), Backend: "a", Life: time.Minute})
		}
		if m.Len() != 10 || m.Evicted() != 3 {
			t.Errorf("there are %d pins, %d evicted", m.Len(), m.Evicted())
		}
		for i := range 13 {
			want := "a"
			if i >= 1 && i <= 3 {
				want = ""
			}
			wantPin(t, m, testKey(i), want, time.Minute)
		}
	})
}

func TestMemoryBound(t *testing.T) {
	const bound = 100_000
	m := NewMemory(bound)
	pins := make([]Pin, 1000)
	for i := range 300 {
		for j := range pins {
			pins[j] = Pin{Key: testKey(i*len(pins) + j), Backend: "a", Life: time.Minute}
		}
		if _, err := m.Put(t.Context(), pins); err != nil {
			t.Fatal(err)
		}
	}
	if n := m.Len(); n > bound || n < bound*9/10 {
		t.Errorf("%d pins, the bound is %d", n, bound)
	}
	if got := m.Evicted(); got != uint64(300*len(pins)-m.Len()) {
		t.Errorf("%d evicted, %d left", got, m.Len())
	}
}

// Any sequence of calls leaves heap and map in order, and the answers are those
// of a plain map.
func TestMemoryModel(t *testing.T) {
	type modelPin struct {
		backend string
		ends    time.Time
	}
	rapid.Check(t, func(t *rapid.T) {
		m := NewMemory(1)
		s := &m.shards[0]
		s.max = 1000
		now := time.Now()
		m.start = now
		model := map[Key]modelPin{}
		for range rapid.IntRange(1, 200).Draw(t, "calls") {
			k := testKey(rapid.IntRange(0, 30).Draw(t, "key"))
			backend := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "backend")
			life := time.Duration(rapid.IntRange(1, 100).Draw(t, "life")) * time.Hour
			old, had := model[k]
			if had && !now.Before(old.ends) {
				delete(model, k)
				had = false
			}
			switch rapid.IntRange(0, 3).Draw(t, "call") {
			case 0:
				kept, _ := m.Put(context.Background(), []Pin{{Key: k, Backend: backend, Life: life}})
				want := backend
				if had && old.backend != backend {
					want = old.backend
				} else {
					model[k] = modelPin{backend, now.Add(life)}
				}
				if kept[0] != want {
					t.Fatalf("Put keeps %s, want %s", kept[0], want)
				}
			case 1:
				_ = m.Delete(context.Background(), []Pin{{Key: k, Backend: backend}})
				if old.backend == backend {
					delete(model, k)
				}
			case 2:
				pin, err := m.Get(context.Background(), k)
				if (err == nil) != had || had && pin.Backend != old.backend {
					t.Fatalf("Get = %+v, %v, want %+v, %v", pin, err, old, had)
				}
			case 3:
				d := time.Duration(rapid.IntRange(0, 50).Draw(t, "pause")) * time.Hour
				now = now.Add(d)
				m.start = m.start.Add(-d)
			}
			for i, p := range s.heap {
				if p.at != i || s.pins[p.key] != p || i > 0 && s.heap[(i-1)/2].ends > p.ends {
					t.Fatalf("the heap is out of order at %d", i)
				}
			}
			if len(s.heap) != len(s.pins) {
				t.Fatalf("%d pins in the heap, %d in the map", len(s.heap), len(s.pins))
			}
		}
	})
}
