package affinity

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPinIsSharedBeforeItReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFaultTable()
		a, b := NewPins(table, PinsConfig{}), NewPins(table, PinsConfig{})
		wantKept(t, a.Pin(t.Context(), testKey(1), "x", time.Minute), "x")
		wantLookup(t, b, testKey(1), "x")
		wantKept(t, b.Pin(t.Context(), testKey(1), "y", time.Minute), "x")
		wantLookup(t, a, testKey(1), "x")
		table.count(opGet)
		wantLookup(t, a, testKey(1), "x")
		wantLookup(t, b, testKey(1), "x")
		if n := table.count(opGet); n != 0 {
			t.Errorf("known sessions cost %d questions", n)
		}
	})
}

func TestPinIgnoresTheClientsLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFaultTable()
		table.delay = 10 * time.Millisecond
		p := NewPins(table, PinsConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantKept(t, p.Pin(ctx, testKey(1), "x", time.Minute), "x")
		wantPin(t, table.memory, testKey(1), "x", time.Minute)
		p.Unpin(ctx, testKey(1), "x")
		wantPin(t, table.memory, testKey(1), "", 0)
		put(t, table, Pin{Key: testKey(2), Backend: "x", Life: time.Minute})
		if got, ok := p.Lookup(ctx, testKey(2)); got != "x" || !ok {
			t.Errorf("Lookup = %q, %v", got, ok)
		}
	})
}

func TestPinLives(t *testing.T) {
	f := func(life, want time.Duration) {
		t.Helper()
		table := newFaultTable()
		NewPins(table, PinsConfig{}).Pin(t.Context(), testKey(1), "x", life)
		wantPin(t, table.memory, testKey(1), "x", want)
	}
	f(0, MinLife)
	f(-1, MinLife)
	f(time.Minute, time.Minute)
	f(1000*time.Hour, MaxLife)
}

func TestPinOfAnIDNoTableTakes(t *testing.T) {
	p := NewPins(newFaultTable(), PinsConfig{})
	for _, id := range []string{"", strings.Repeat("x", MaxBackend+1)} {
		wantKept(t, p.Pin(t.Context(), testKey(1), id, time.Minute), id)
		wantLookup(t, p, testKey(1), "")
	}
}

func TestMissesAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFaultTable()
		p := NewPins(table, PinsConfig{})
		for range 10 {
			wantLookup(t, p, testKey(1), "")
		}
		if n := table.count(opGet); n != 1 {
			t.Errorf("the table was asked %d times", n)
		}
		put(t, table, Pin{Key: testKey(1), Backend: "x", Life: time.Minute})
		pause(time.Second)
		wantLookup(t, p, testKey(1), "x")

		// A miss ends when the pin is made here.
		wantLookup(t, p, testKey(2), "")
		p.Pin(t.Context(), testKey(2), "x", time.Minute)
		p.Drop("x")
		wantLookup(t, p, testKey(2), "x")
		// Recheck asks in spite of it.
		wantLookup(t, p, testKey(3), "")
		put(t, table, Pin{Key: testKey(3), Backend: "x", Life: time.Minute})
		if got, ok := p.Recheck(t.Context(), testKey(3)); got != "x" || !ok {
			t.Errorf("Recheck = %q, %v", got, ok)
		}
	})
}

func TestOneQuestionForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFaultTable()
		put(t, table, Pin{Key: testKey(1), Backend: "x", Life: time.Minute})
		table.delay = 20 * time.Millisecond
		p := NewPins(table, PinsConfig{})
		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if i == 0 {
					// The first one leaves; the others get their answer.
					p.Lookup(ctx, testKey(1))
					return
				}
				time.Sleep(time.Millisecond)
				wantLookup(t, p, testKey(1), "x")
			})
		}
		time.Sleep(2 * time.Millisecond)
		leave()
		wg.Wait()
		if n := table.count(opGet); n != 1 {
			t.Errorf("the table was asked %d times", n)
		}
	})
}

// An answer that was on its way while the session was changed here changes nothing.
func TestLateAnswers(t *testing.T) {
	f := func(change func(p *Pins, key Key), want string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			table := newFaultTable()
			put(t, table, Pin{Key: testKey(1), Backend: "x", Life: time.Minute})
			p := NewPins(table, PinsConfig{})
			slow := &lateTable{faultTable: table}
			p.table = slow
			var wg sync.WaitGroup
			wg.Go(func() { p.Lookup(t.Context(), testKey(1)) })
			time.Sleep(time.Millisecond)
			change(p, testKey(1))
			wg.Wait()
			wantLookup(t, p, testKey(1), want)
			checkFront(t, p.front)
		})
	}
	f(func(p *Pins, key Key) {}, "x")
	f(func(p *Pins, key Key) { p.Unpin(context.Background(), key, "x") }, "")
	f(func(p *Pins, key Key) { p.Move(context.Background(), key, "x", "y", 0) }, "y")
}

// lateTable reads at once and answers late.
type lateTable struct{ *faultTable }

func (l *lateTable) Get(ctx context.Context, key Key) (Pin, error) {
	pin, err := l.faultTable.Get(ctx, key)
	time.Sleep(20 * time.Millisecond)
	return pin, err
}

func TestUseRenews(t *testing.T) {
	bubble(t, PinsConfig{}, func(t *testing.T, table *faultTable, p *Pins) {
		const sessions = 100
		for i := range sessions {
			p.Pin(t.Context(), testKey(i), "x", time.Minute)
		}
		p.Pin(t.Context(), testKey(-1), "x", time.Minute)
		table.count(opPut)
		for range 50 {
			pause(10 * time.Second)
			for i := range sessions {
				wantLookup(t, p, testKey(i), "x")
			}
		}
		// They share batches, and are not on anybody's way.
		if n := table.count(opPut); n < 40 || n > 150 {
			t.Errorf("%d calls renewed them", n)
		}
		wantLookup(t, p, testKey(-1), "")
		wantPin(t, table.memory, testKey(-1), "", 0)
		wantCount(t, p, "x", sessions)
		pause(time.Minute + 4*time.Second)
		wantCount(t, p, "x", 0)
		if st := p.Stats(); st.Entries != 0 || st.Bytes != 0 {
			t.Errorf("after all has ended: %+v", st)
		}
	})
}

// A replica that learns of a session from the table knows its whole life, and
// renews it at once, for it does not know what is left.
func TestLookupRenewsForOthers(t *testing.T) {
	bubble(t, PinsConfig{}, func(t *testing.T, table *faultTable, p *Pins) {
		put(t, table, Pin{Key: testKey(1), Backend: "x", Life: time.Minute})
		pause(59 * time.Second)
		wantLookup(t, p, testKey(1), "x")
		pause(59 * time.Second)
		wantPin(t, table.memory, testKey(1), "x", time.Minute)
	})
}

func TestHold(t *testing.T) {
	bubble(t, PinsConfig{}, func(t *testing.T, table *faultTable, p *Pins) {
		p.Pin(t.Context(), testKey(1), "x", time.Minute)
		p.Pin(t.Context(), testKey(2), "x", time.Minute)
		wantCount(t, p, "x", 2)
		release := p.Hold(testKey(1))
		second := p.Hold(testKey(1))
		releaseStream := p.Keep(testKey(2))
		wantCount(t, p, "x", 1)
		if st := p.Stats(); st.Held != 2 {
			t.Errorf("%d are held", st.Held)
		}
		pause(time.Hour)
		wantPin(t, table.memory, testKey(1), "x", time.Minute)
		wantPin(t, table.memory, testKey(2), "x", time.Minute)
		table.count(opGet)
		wantLookup(t, p, testKey(1), "x")
		wantLookup(t, p, testKey(2), "x")
		if n := table.count(opGet); n != 0 {
			t.Errorf("held sessions cost %d questions", n)
		}
		second()
		second()
		wantCount(t, p, "x", 1)
		release()
		releaseStream()
		wantCount(t, p, "x", 2)
		pause(50 * time.Second)
		wantPin(t, table.memory, testKey(1), "x", time.Minute)
		pause(20 * time.Second)
		wantPin(t, table.memory, testKey(1), "", 0)
		wantCount(t, p, "x", 0)
		release()
		wantCount(t, p, "x", 0)

		p.Hold(testKey(3))()
		if _, ok := p.Peek(testKey(3)); ok {
			t.Error("holding an unknown session makes one")
		}
		p.Pin(t.Context(), testKey(4), "x", time.Minute)
		release = p.Hold(testKey(4))
		p.Unpin(t.Context(), testKey(4), "x")
		p.Pin(t.Context(), testKey(4), "x", time.Minute)
		release()
		wantCount(t, p, "x", 1)
	})
}

// Its life counts from when it was held, and from when it was let go.
func TestHoldIsUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPins(newFaultTable(), PinsConfig{}) // does not run, so renews nothing
		p.Pin(t.Context(), testKey(1), "x", time.Minute)
		known := func() {
			t.Helper()
			if _, ok := p.Peek(testKey(1)); !ok {
				t.Error("it has ended")
			}
		}
		pause(50 * time.Second)
		release := p.Hold(testKey(1))
		pause(50 * time.Second)
		known()
		release()
		pause(50 * time.Second)
		known()
		pause(10 * time.Second)
		if _, ok := p.Peek(testKey(1)); ok {
			t.Error("it has not ended")
		}
	})
}

func TestStaleEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFaultTable()
		a, b := NewPins(table, PinsConfig{}), NewPins(table, PinsConfig{})
		runPins(t, a)
		runPins(t, b)
		a.Pin(t.Context(), testKey(1), "x", time.Hour)
		wantLookup(t, b, testKey(1), "x")
		pause(time.Second)
		wantKept(t, a.Move(t.Context(), testKey(1), "x", "y", 0), "y")
		wantPin(t, table.memory, testKey(1), "y", time.Hour)
		wantLookup(t, b, testKey(1), "x")
		pause(5 * time.Second)
		wantLookup(t, b, testKey(1), "x") // and is compared meanwhile
		pause(200 * time.Millisecond)
		wantLookup(t, b, testKey(1), "y")
		wantCount(t, b, "x", 0)
		wantCount(t, b, "y", 1)

		// Who finds the backend dead does not wait for that.
		wantKept(t, a.Move(t.Context(), testKey(1), "y", "z", 0), "z")
		wantLookup(t, b, testKey(1), "y")
		if got, ok := b.Recheck(t.Context(), testKey(1)); got != "z" || !ok {
			t.Errorf("Recheck = %q, %v", got, ok)
		}
		wantLookup(t, b, testKey(1), "z")
		// Two who move it agree.
		wantKept(t, a.Move(t.Context(), testKey(1), "z", "u", 0), "u")
		wantKept(t, b.Move(t.Context(), testKey(1), "z", "v", 0), "u")
		wantLookup(t, b, testKey(1), "u")

		a.Unpin(t.Context(), testKey(1), "other")
		wantLookup(t, a, testKey(1), "u")
		a.Unpin(t.Context(), testKey(1), "u")
		wantLookup(t, a, testKey(1), "")
		if got, ok := b.Recheck(t.Context(), testKey(1)); ok {
			t.Errorf("Recheck of an ended session = %q", got)
		}
		wantLookup(t, b, testKey(1), "")
	})
}

// A renewal that was on its way when the session ended does not bring it back.
func TestUnpinBesideRenewal(t *testing.T) {
	bubble(t, PinsConfig{}, func(t *testing.T, table *faultTable, p *Pins) {
		p.Pin(t.Context(), testKey(1), "x", time.Minute)
		pause(30 * time.Second)
		table.set(func() {
			table.onPut = func() {
				table.set(func() { table.onPut = nil })
				p.Unpin(context.Background(), testKey(1), "x")
			}
		})
		wantLookup(t, p, testKey(1), "x")
		pause(time.Second)
		if table.onPut != nil {
			t.Fatal("nothing was renewed")
		}
		wantPin(t, table.memory, testKey(1), "", 0)
		wantLookup(t, p, testKey(1), "")
	})
}

func TestDrop(t *testing.T) {
	bubble(t, PinsConfig{}, func(t *testing.T, table *faultTable, p *Pins) {
		for i := range 10 {
			p.Pin(t.Context(), testKey(i), fmt.Sprint("b", i%2), time.Hour)
		}
		release := p.Hold(testKey(0))
		p.Drop("b0")
		p.Drop("never seen")
		wantCount(t, p, "b0", 0)
		wantCount(t, p, "b1", 5)
		if _, ok := p.Peek(testKey(0)); ok {
			t.Error("a dropped session is known")
		}
		if n := len(p.Sessions(100)); n != 5 {
			t.Errorf("%d sessions are shown", n)
		}
		// The table knows, should it be back.
		wantLookup(t, p, testKey(2), "b0")
		wantCount(t, p, "b0", 1)
		pause(4 * time.Second)
		release()
		wantCount(t, p, "b0", 1)
		if st := p.Stats(); st.Entries != 6 {
			t.Errorf("%d entries are left", st.Entries)
		}
	})
}

func TestViews(t *testing.T) {
	bubble(t, PinsConfig{MaxEntries: 1000}, func(t *testing.T, table *faultTable, p *Pins) {
		p.Pin(t.Context(), testKey(1), "x", time.Minute)
		pause(3 * time.Second)
		defer p.Hold(testKey(1))()
		pause(2 * time.Second)
		info, ok := p.Peek(testKey(1))
		want := PinInfo{Key: testKey(1), Backend: "x", Age: 5 * time.Second, Life: time.Minute, Held: true, Published: true}
		if info.Idle > 4*time.Second {
			t.Errorf("a held session is idle for %v", info.Idle)
		}
		if info.Idle = 0; !ok || info != want {
			t.Errorf("Peek = %+v, %v, want %+v", info, ok, want)
		}
		if _, ok := p.Peek(testKey(2)); ok {
			t.Error("Peek knows what is not there")
		}
		for i := range 20 {
			p.Pin(t.Context(), testKey(10+i), "x", time.Minute)
		}
		if n := len(p.Sessions(7)); n != 7 {
			t.Errorf("Sessions(7) returns %d", n)
		}
		if n := len(p.Sessions(100)); n != 21 {
			t.Errorf("Sessions(100) returns %d", n)
		}
		if st := p.Stats(); st.Entries != 21 || st.MaxEntries != 1000 || st.Held != 1 || st.Bytes != 21*entryBytes {
			t.Errorf("Stats = %+v", st)
		}
	})
}

func TestObserver(t *testing.T) {
	var r recorder
	bubble(t, PinsConfig{Observer: &r}, func(t *testing.T, table *faultTable, p *Pins) {
		synctest.Wait()
		p.Lookup(t.Context(), testKey(1))
		p.Pin(t.Context(), testKey(1), "x", time.Minute)
		p.Unpin(t.Context(), testKey(1), "x")
		table.set(func() { table.away = errAway })
		p.Lookup(t.Context(), testKey(2))
		table.set(func() { table.away = nil; table.delay = time.Second })
		p.Pin(t.Context(), testKey(1), "x", time.Minute)
		table.set(func() { table.delay = 0; table.full = true })
		p.Pin(t.Context(), testKey(3), "x", time.Minute)
		r.mu.Lock()
		defer r.mu.Unlock()
		want := map[string]int{"check": 1, "get": 1, "put": 1, "delete": 1, "get unavailable": 1, "put timeout": 1, "put refused": 1}
		for op, n := range want {
			if r.ops[op] != n {
				t.Errorf("%s was seen %d times, want %d: %v", op, r.ops[op], n, r.ops)
			}
		}
	})
}
