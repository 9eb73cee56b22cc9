package affinity

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// A closed Redis client may look once more, within a second, for the server
	// that it could not reach.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// testKey returns a key spread like a hash, the same for the same n.
func testKey(n int) Key {
	var id [8]byte
	binary.BigEndian.PutUint64(id[:], uint64(n))
	return MakeKey("test", id[:])
}

// contractTable is a table under test, with the clock that ends its pins.
type contractTable struct {
	Table
	forward func(time.Duration) // nil where time cannot be made to pass
}

func TestTableContract(t *testing.T) {
	run := func(name string, open func(t *testing.T) contractTable) {
		t.Run(name, func(t *testing.T) {
			table := open(t)
			t.Run("Put", func(t *testing.T) { testTablePut(t, table) })
			t.Run("Move", func(t *testing.T) { testTableMove(t, table) })
			t.Run("Delete", func(t *testing.T) { testTableDelete(t, table) })
			t.Run("Batch", func(t *testing.T) { testTableBatch(t, table) })
			t.Run("Invalid", func(t *testing.T) { testTableInvalid(t, table) })
			t.Run("Check", func(t *testing.T) { testTableCheck(t, table) })
			t.Run("Race", func(t *testing.T) { testTableRace(t, table) })
			if table.forward != nil {
				t.Run("Life", func(t *testing.T) { testTableLife(t, table) })
			}
		})
	}
	run("memory", func(t *testing.T) contractTable {
		m := NewMemory(0)
		return contractTable{m, func(d time.Duration) { m.start = m.start.Add(-d) }}
	})
	run("redis", func(t *testing.T) contractTable {
		return contractTable{startRedis(t).table(t), nil}
	})
	// For the end of lives alone: its clock can be moved.
	run("miniredis", func(t *testing.T) contractTable {
		server := miniredis.RunT(t)
		return contractTable{newRedis(t, RedisConfig{URL: server.Addr()}), server.FastForward}
	})
}

// put puts one pin and fails the test if that fails.
func put(t *testing.T, table Table, pin Pin) (kept string) {
	t.Helper()
	k, err := table.Put(t.Context(), []Pin{pin})
	if err != nil {
		t.Fatalf("Put(%+v): %v", pin, err)
	}
	return k[0]
}

// wantPin compares what the table has of a key; an empty backend means nothing.
func wantPin(t *testing.T, table Table, key Key, backend string, life time.Duration) {
	t.Helper()
	pin, err := table.Get(t.Context(), key)
	switch {
	case backend == "":
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("Get = %+v, %v, want ErrNotFound", pin, err)
		}
	case err != nil:
		t.Errorf("Get: %v, want %s", err, backend)
	case pin != Pin{Key: key, Backend: backend, Life: life}:
		t.Errorf("Get = %+v, want %s for %v", pin, backend, life)
	}
}

func testTablePut(t *testing.T, table Table) {
	k := testKey(100)
	f := func(backend string, life time.Duration, kept string, keptLife time.Duration) {
		t.Helper()
		if got := put(t, table, Pin{Key: k, Backend: backend, Life: life}); got != kept {
			t.Errorf("Put(%s) keeps %s, want %s", backend, got, kept)
		}
		wantPin(t, table, k, kept, keptLife)
	}
	wantPin(t, table, k, "", 0)
	f("a", time.Minute, "a", time.Minute)
	f("a", time.Minute, "a", time.Minute)       // a renewal
	f("b", time.Hour, "a", time.Minute)         // comes too late
	f("a", 90*time.Second, "a", 90*time.Second) // a new life
	f("OK", time.Minute, "a", 90*time.Second)   // no id means anything to the table
	f("10 b", time.Minute, "a", 90*time.Second) // nor looks like a value
	f("a ", time.Minute, "a", 90*time.Second)   // nor is trimmed
	f("a", time.Millisecond*1500, "a", 1500*time.Millisecond)
	for i, id := range []string{"OK", "10 b", "b ", "[::1]:80", "\x00\n\xff", strings.Repeat("x", MaxBackend)} {
		k = testKey(110 + i)
		f(id, time.Minute, id, time.Minute)
		f("other", time.Minute, id, time.Minute)
	}
}

func testTableMove(t *testing.T, table Table) {
	k := testKey(200)
	f := func(from, to, kept string) {
		t.Helper()
		if got := put(t, table, Pin{Key: k, Backend: to, From: from, Life: time.Minute}); got != kept {
			t.Errorf("Put(%s from %s) keeps %s, want %s", to, from, got, kept)
		}
		wantPin(t, table, k, kept, time.Minute)
	}
	f("z", "a", "a") // was nowhere
	f("a", "b", "b")
	f("a", "c", "b") // somebody else was faster
	f("a", "b", "b") // the same again
	f("b", "c", "c")
	f("", "d", "c")
}

func testTableDelete(t *testing.T, table Table) {
	k := testKey(300)
	f := func(backend, left string) {
		t.Helper()
		put(t, table, Pin{Key: k, Backend: "a", Life: time.Minute})
		if err := table.Delete(t.Context(), []Pin{{Key: k, Backend: backend}}); err != nil {
			t.Errorf("Delete(%q): %v", backend, err)
		}
		wantPin(t, table, k, left, time.Minute)
	}
	f("b", "a")
	f("a", "")
	f("", "")
	if err := table.Delete(t.Context(), []Pin{{Key: k, Backend: "a"}, {Key: k}}); err != nil {
		t.Errorf("Delete of nothing: %v", err)
	}
	if err := table.Delete(t.Context(), nil); err != nil {
		t.Errorf("Delete of no pins: %v", err)
	}
}

func testTableBatch(t *testing.T, table Table) {
	put(t, table, Pin{Key: testKey(400), Backend: "old", Life: time.Minute})
	put(t, table, Pin{Key: testKey(401), Backend: "old", Life: time.Minute})
	pins := []Pin{
		{Key: testKey(400), Backend: "new", Life: time.Hour},
		{Key: testKey(401), Backend: "new", From: "old", Life: time.Hour},
		{Key: testKey(402), Backend: "new", Life: time.Hour},
		{Key: testKey(402), Backend: "newer", Life: time.Hour},
	}
	kept, err := table.Put(t.Context(), pins)
	if want := []string{"old", "new", "new", "new"}; err != nil || !slices.Equal(kept, want) {
		t.Fatalf("Put = %q, %v, want %q", kept, err, want)
	}
	wantPin(t, table, testKey(400), "old", time.Minute)
	wantPin(t, table, testKey(401), "new", time.Hour)
	if err := table.Delete(t.Context(), []Pin{{Key: testKey(400), Backend: "new"}, {Key: testKey(401), Backend: "new"}, {Key: testKey(402)}}); err != nil {
		t.Fatal(err)
	}
	wantPin(t, table, testKey(400), "old", time.Minute)
	wantPin(t, table, testKey(401), "", 0)
	wantPin(t, table, testKey(402), "", 0)
	if kept, err := table.Put(t.Context(), nil); len(kept) != 0 || err != nil {
		t.Errorf("Put of no pins = %q, %v", kept, err)
	}
}

func testTableInvalid(t *testing.T, table Table) {
	f := func(pin Pin) {
		t.Helper()
		pin.Key = testKey(500)
		good := Pin{Key: testKey(501), Backend: "a", Life: time.Minute}
		kept, err := table.Put(t.Context(), []Pin{pin, good})
		if err == nil || !slices.Equal(kept, []string{"", "a"}) {
			t.Errorf("Put(%+v) = %q, %v, want an error for the first only", pin, kept, err)
		}
		wantPin(t, table, pin.Key, "", 0)
	}
	f(Pin{Backend: "", Life: time.Minute})
	f(Pin{Backend: strings.Repeat("x", MaxBackend+1), Life: time.Minute})
	f(Pin{Backend: "a", From: strings.Repeat("x", MaxBackend+1), Life: time.Minute})
	f(Pin{Backend: "a", Life: 0})
	f(Pin{Backend: "a", Life: -time.Second})
	f(Pin{Backend: "a", Life: time.Microsecond})
	f(Pin{Backend: "a", Life: MaxLife + time.Millisecond})
}

func testTableCheck(t *testing.T, table Table) {
	first, err := table.Check(t.Context())
	if err != nil || first == "" {
		t.Fatalf("Check = %q, %v", first, err)
	}
	if again, err := table.Check(t.Context()); err != nil || again != first {
		t.Errorf("Check = %q, %v, then %q", first, err, again)
	}
}

func testTableRace(t *testing.T, table Table) {
	const writers = 16
	kept := make([]string, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			k, err := table.Put(context.Background(), []Pin{{Key: testKey(600), Backend: fmt.Sprint("b", i), Life: time.Minute}})
			if err != nil {
				t.Error(err)
			}
			kept[i] = k[0]
		})
	}
	wg.Wait()
	if slices.Sort(kept); kept[0] == "" || kept[0] != kept[writers-1] {
		t.Errorf("several writers won: %q", kept)
	}
	wantPin(t, table, testKey(600), kept[0], time.Minute)
}

func testTableLife(t *testing.T, table contractTable) {
	k := testKey(700)
	put(t, table, Pin{Key: k, Backend: "a", Life: time.Minute})
	table.forward(40 * time.Second)
	wantPin(t, table, k, "a", time.Minute)
	put(t, table, Pin{Key: k, Backend: "a", Life: time.Minute})
	table.forward(40 * time.Second)
	put(t, table, Pin{Key: k, Backend: "b", Life: time.Hour}) // renews nothing
	wantPin(t, table, k, "a", time.Minute)
	table.forward(20 * time.Second)
	wantPin(t, table, k, "", 0)
	if got := put(t, table, Pin{Key: k, Backend: "b", Life: time.Minute}); got != "b" {
		t.Errorf("after the end of its life the pin is kept by %s", got)
	}
}
