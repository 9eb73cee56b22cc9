package affinity

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestBreakerOpensAndCloses(t *testing.T) {
	var r recorder
	bubble(t, PinsConfig{Log: r.logger()}, func(t *testing.T, table *faultTable, p *Pins) {
		p.Pin(t.Context(), testKey(1), "x", time.Minute)
		pause(time.Second)
		table.set(func() { table.away = errAway })
		for i := range 4 {
			wantLookup(t, p, testKey(100+i), "")
		}
		if ok, reason := p.Status(); !ok {
			t.Errorf("four failures open the breaker: %s", reason)
		}
		wantLookup(t, p, testKey(104), "")
		ok, reason := p.Status()
		if want := "affinity table away, 0 pins wait for it: connection refused"; ok || reason != want {
			t.Errorf("Status = %v, %q, want %q", ok, reason, want)
		}
		// Nobody asks now, and what is known is known.
		table.count(opGet)
		table.count(opPut)
		wantLookup(t, p, testKey(1), "x")
		wantLookup(t, p, testKey(105), "")
		wantKept(t, p.Pin(t.Context(), testKey(2), "y", time.Minute), "y")
		wantKept(t, p.Pin(t.Context(), testKey(2), "z", time.Minute), "y")
		wantLookup(t, p, testKey(2), "y")
		wantKept(t, p.Pin(t.Context(), testKey(1), "x", time.Minute), "x")
		if n := p.Stats().Unpublished; n != 1 {
			t.Errorf("%d pins wait, want the one that is new", n)
		}
		if got, ok := p.Recheck(t.Context(), testKey(2)); got != "y" || !ok {
			t.Errorf("Recheck = %q, %v", got, ok)
		}
		if n := table.count(opGet) + table.count(opPut); n != 0 {
			t.Errorf("a table that is away was asked %d times", n)
		}
		// The probes come less and less often.
		table.count(opCheck)
		pause(time.Second)
		if n := table.count(opCheck); n < 3 || n > 5 {
			t.Errorf("%d probes in the first second", n)
		}
		pause(10 * time.Second)
		table.count(opCheck)
		pause(20 * time.Second)
		if n := table.count(opCheck); n < 3 || n > 5 {
			t.Errorf("%d probes in 20 seconds", n)
		}
		if n := table.count(opPut); n != 0 {
			t.Errorf("a table that is away was told %d times", n)
		}
		wantLookup(t, p, testKey(1), "x")
		wantLookup(t, p, testKey(2), "y")
		table.set(func() { table.away = nil })
		pause(6 * time.Second)
		if ok, reason := p.Status(); !ok {
			t.Errorf("the table is back: %s", reason)
		}
		wantPin(t, table.memory, testKey(1), "x", time.Minute)
		wantPin(t, table.memory, testKey(2), "y", time.Minute)
		st := p.Stats()
		if st.Open || st.BreakerOpened != 1 || st.Unpublished != 0 || st.Republished != 2 || st.Conflicts != 0 || st.Losses != 0 {
			t.Errorf("Stats = %+v", st)
		}
		if r.lines("level=") != 2 || r.lines("table away") != 1 || r.lines("table back") != 1 {
			t.Errorf("the log:\n%s", &r.log)
		}
	})
}

// A success between failures starts the count again.
func TestBreakerCountsInARow(t *testing.T) {
	b := breaker{limit: 3}
	f := func(err error, opened bool) {
		t.Helper()
		if got := b.report(err, 0); got != opened {
			t.Errorf("report(%v) = %v", err, got)
		}
	}
	f(errAway, false)
	f(errAway, false)
	f(nil, false)
	f(errAway, false)
	f(errAway, false)
	f(errAway, true)
	f(errAway, false)
	f(nil, false)
	if !b.open.Load() || b.why() == nil {
		t.Error("a late success closed it")
	}
	if closed, _ := b.probed(errAway, 1); closed {
		t.Error("a failed probe closed it")
	}
	if closed, away := b.probed(nil, 5); !closed || away != 5 || b.open.Load() || b.why() != nil {
		t.Errorf("probed = %v, %v", closed, away)
	}
	if closed, _ := b.probed(nil, 6); closed {
		t.Error("it closed twice")
	}
	f(errAway, false)
}

// A request waits for the budget and no longer, and a few requests at most.
func TestSlowTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFaultTable()
		p := NewPins(table, PinsConfig{})
		p.Pin(t.Context(), testKey(0), "x", time.Minute)
		table.set(func() { table.delay = time.Hour })
		took := func(f func()) time.Duration {
			begin := time.Now()
			f()
			return time.Since(begin)
		}
		if d := took(func() { wantLookup(t, p, testKey(10), "") }); d != 50*time.Millisecond {
			t.Errorf("an unknown session took %v", d)
		}
		for i := range 4 {
			if d := took(func() { wantKept(t, p.Pin(t.Context(), testKey(i), "x", time.Minute), "x") }); d != 50*time.Millisecond {
				t.Errorf("Pin took %v", d)
			}
			if d := took(func() { wantLookup(t, p, testKey(0), "x") }); d != 0 {
				t.Errorf("a known session took %v", d)
			}
		}
		if d := took(func() { p.Pin(t.Context(), testKey(9), "x", time.Minute) }); d != 0 {
			t.Errorf("with an open breaker Pin took %v", d)
		}
		if d := took(func() { p.Lookup(t.Context(), testKey(10)) }); d != 0 {
			t.Errorf("with an open breaker Lookup took %v", d)
		}
		runPins(t, p)
		pause(time.Minute / 2)
		table.set(func() { table.delay = 49 * time.Millisecond })
		pause(10 * time.Second)
		for _, i := range []int{0, 1, 2, 3, 9} {
			wantPin(t, table.memory, testKey(i), "x", time.Minute)
		}
	})
}

// One write that failed is made up for, breaker or not.
func TestSingleFailure(t *testing.T) {
	bubble(t, PinsConfig{}, func(t *testing.T, table *faultTable, p *Pins) {
		table.set(func() { table.away = errAway })
		p.Pin(t.Context(), testKey(1), "x", time.Minute)
		if info, _ := p.Peek(testKey(1)); info.Published {
			t.Error("it passes for published")
		}
		table.set(func() { table.away = nil })
		pause(100 * time.Millisecond)
		wantPin(t, table.memory, testKey(1), "x", time.Minute)
		if info, _ := p.Peek(testKey(1)); !info.Published || p.Stats().BreakerOpened != 0 {
			t.Error("it does not pass for published, or the breaker opened")
		}
	})
}

// openBreaker takes the table away and has the breaker notice.
func openBreaker(t *testing.T, table *faultTable, p *Pins) {
	t.Helper()
	table.set(func() { table.away = errAway })
	for i := range 5 {
		wantLookup(t, p, testKey(-100-i), "")
	}
	if !p.Stats().Open {
		t.Fatal("the breaker is not open")
	}
}

// What others pinned while the table was away from us stays theirs.
func TestConflictsAfterAbsence(t *testing.T) {
	bubble(t, PinsConfig{}, func(t *testing.T, table *faultTable, p *Pins) {
		openBreaker(t, table, p)
		p.Pin(t.Context(), testKey(1), "ours", time.Minute)
		p.Pin(t.Context(), testKey(2), "ours", time.Minute)
		put(t, table.memory, Pin{Key: testKey(2), Backend: "theirs", Life: time.Minute})
		table.set(func() { table.away = nil })
		pause(6 * time.Second)
		wantLookup(t, p, testKey(1), "ours")
		wantLookup(t, p, testKey(2), "theirs")
		wantCount(t, p, "ours", 1)
		wantCount(t, p, "theirs", 1)
		if st := p.Stats(); st.Conflicts != 1 || st.Unpublished != 0 {
			t.Errorf("Stats = %+v", st)
		}
	})
}

// A move made while the table was away is a move when it is made up for.
func TestMoveDuringAbsence(t *testing.T) {
	bubble(t, PinsConfig{}, func(t *testing.T, table *faultTable, p *Pins) {
		for i := range 4 {
			p.Pin(t.Context(), testKey(i), "x", time.Minute)
		}
		openBreaker(t, table, p)
		wantKept(t, p.Move(t.Context(), testKey(0), "x", "y", 0), "y")
		wantKept(t, p.Move(t.Context(), testKey(0), "y", "z", 0), "z")
		wantKept(t, p.Move(t.Context(), testKey(1), "x", "y", 0), "y")
		wantKept(t, p.Move(t.Context(), testKey(2), "other", "y", 0), "x")
		wantKept(t, p.Move(t.Context(), testKey(9), "x", "y", time.Minute), "y")
		put(t, table.memory, Pin{Key: testKey(1), Backend: "theirs", From: "x", Life: time.Minute})
		p.Unpin(t.Context(), testKey(3), "x")
		table.set(func() { table.away = nil })
		pause(6 * time.Second)
		wantPin(t, table.memory, testKey(0), "z", time.Minute)
		wantPin(t, table.memory, testKey(1), "theirs", time.Minute)
		wantPin(t, table.memory, testKey(2), "x", time.Minute)
		wantPin(t, table.memory, testKey(9), "y", time.Minute)
		wantLookup(t, p, testKey(0), "z")
		wantLookup(t, p, testKey(1), "theirs")
		// Once it is done it is done: another move, back, stands.
		put(t, table.memory, Pin{Key: testKey(0), Backend: "x", From: "z", Life: time.Minute})
		for range 3 {
			p.Lookup(t.Context(), testKey(0))
			pause(6 * time.Second)
		}
		wantLookup(t, p, testKey(0), "x")
		wantPin(t, table.memory, testKey(0), "x", time.Minute)
	})
}

// A renewal that is on its way does not make a move pass for published that the
// table has not seen.
func TestMoveBesideRenewal(t *testing.T) {
	bubble(t, PinsConfig{}, func(t *testing.T, table *faultTable, p *Pins) {
		p.Pin(t.Context(), testKey(1), "x", time.Minute)
		pause(30 * time.Second)
		table.set(func() {
			table.afterPut = func() {
				table.set(func() { table.afterPut, table.away = nil, errAway })
				wantKept(t, p.Move(context.Background(), testKey(1), "x", "y", 0), "y")
				table.set(func() { table.away = nil })
			}
		})
		wantLookup(t, p, testKey(1), "x")
		pause(time.Second)
		if table.afterPut != nil {
			t.Fatal("nothing was renewed")
		}
		wantLookup(t, p, testKey(1), "y")
		wantPin(t, table.memory, testKey(1), "y", time.Minute)
	})
}

// The first to ask after an absence may be a request: it does not undo what was
// done meanwhile.
func TestRecheckOfUnpublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFaultTable()
		p := NewPins(table, PinsConfig{}) // does not run, so publishes nothing
		recheck := func(key Key, want string) {
			t.Helper()
			if got, ok := p.Recheck(t.Context(), key); got != want || !ok {
				t.Errorf("Recheck = %q, %v, want %s", got, ok, want)
			}
			wantLookup(t, p, key, want)
		}
		put(t, table, Pin{Key: testKey(1), Backend: "x", Life: time.Minute})
		put(t, table, Pin{Key: testKey(2), Backend: "theirs", Life: time.Minute})
		table.away = errAway
		p.Move(t.Context(), testKey(1), "x", "y", time.Minute)
		p.Pin(t.Context(), testKey(2), "ours", time.Minute)
		p.Pin(t.Context(), testKey(3), "ours", time.Minute)
		recheck(testKey(3), "ours")
		table.away = nil
		recheck(testKey(1), "y")
		recheck(testKey(2), "theirs")
		recheck(testKey(3), "ours")
		if st := p.Stats(); st.Conflicts != 1 || st.Unpublished != 2 {
			t.Errorf("Stats = %+v", st)
		}
		checkFront(t, p.front)
	})
}

func TestFullTable(t *testing.T) {
	var r recorder
	bubble(t, PinsConfig{Log: r.logger()}, func(t *testing.T, table *faultTable, p *Pins) {
		p.Pin(t.Context(), testKey(0), "x", time.Minute)
		put(t, table, Pin{Key: testKey(1), Backend: "theirs", Life: time.Minute})
		table.set(func() { table.full = true })
		for i := range 20 {
			wantKept(t, p.Pin(t.Context(), testKey(10+i), "x", time.Minute), "x")
		}
		// Reads go on, and so do renewals.
		wantLookup(t, p, testKey(1), "theirs")
		for range 10 {
			pause(20 * time.Second)
			for i := range 20 {
				wantLookup(t, p, testKey(10+i), "x")
			}
			wantLookup(t, p, testKey(0), "x")
			wantLookup(t, p, testKey(1), "theirs")
		}
		ok, reason := p.Status()
		if want := "affinity table takes no writes, 20 pins wait for it: full: the table takes no writes"; ok || reason != want {
			t.Errorf("Status = %v, %q", ok, reason)
		}
		if st := p.Stats(); st.Open || !st.Refusing || st.Unpublished != 20 {
			t.Errorf("Stats = %+v", st)
		}
		// It is tried again, but not all the time.
		table.count("pins")
		for range 100 {
			pause(100 * time.Millisecond)
			for i := range 20 {
				wantLookup(t, p, testKey(10+i), "x")
			}
		}
		if n := table.count("pins"); n < 40 || n > 200 {
			t.Errorf("20 pins were tried %d times in ten seconds", n)
		}
		wantPin(t, table.memory, testKey(0), "x", time.Minute)
		wantPin(t, table.memory, testKey(1), "theirs", time.Minute)
		table.set(func() { table.full = false })
		pause(7 * time.Second)
		for i := range 20 {
			wantPin(t, table.memory, testKey(10+i), "x", time.Minute)
		}
		if ok, reason := p.Status(); !ok {
			t.Errorf("the table takes writes again: %s", reason)
		}
		if r.lines("level=") != 2 || r.lines("takes no writes") < 1 || r.lines("takes writes again") != 1 {
			t.Errorf("the log:\n%s", &r.log)
		}
	})
}

// A table that was restarted empty gets back what is known here, whether or not
// anybody noticed it was away.
func TestTableLosesItsContents(t *testing.T) {
	var r recorder
	bubble(t, PinsConfig{Log: r.logger()}, func(t *testing.T, table *faultTable, p *Pins) {
		const sessions = 1000
		for i := range sessions {
			p.Pin(t.Context(), testKey(i), "x", time.Minute)
		}
		pause(10 * time.Second)
		table.lose()
		pause(1200 * time.Millisecond)
		for i := range sessions {
			wantPin(t, table.memory, testKey(i), "x", time.Minute)
		}
		if st := p.Stats(); st.Losses != 1 || st.BreakerOpened != 0 || st.Republished != sessions {
			t.Errorf("Stats = %+v", st)
		}
		if r.lines("lost its contents") != 1 {
			t.Errorf("the log:\n%s", &r.log)
		}
	})
}

// What fails while the table is written again is not left at that.
func TestRepublishComesBack(t *testing.T) {
	bubble(t, PinsConfig{}, func(t *testing.T, table *faultTable, p *Pins) {
		const sessions = 1000
		for i := range sessions {
			p.Pin(t.Context(), testKey(i), "x", time.Minute)
		}
		pause(time.Second)
		table.lose()
		puts := 0
		table.set(func() {
			table.onPut = func() {
				puts++
				table.set(func() { table.full = puts%3 == 1 })
			}
		})
		pause(5 * time.Second)
		if n := table.memory.Len(); n != sessions || p.Stats().BreakerOpened != 0 {
			t.Errorf("%d pins are back; %+v", n, p.Stats())
		}
	})
}

// Nor is a session forgotten that had no place among those that are spared.
func TestUnprotected(t *testing.T) {
	bubble(t, PinsConfig{MaxUnpublished: 10}, func(t *testing.T, table *faultTable, p *Pins) {
		for i := range 50 {
			p.Pin(t.Context(), testKey(i), "x", time.Minute)
		}
		openBreaker(t, table, p)
		for i := range 50 {
			wantKept(t, p.Move(t.Context(), testKey(i), "x", "y", 0), "y")
			wantKept(t, p.Move(t.Context(), testKey(i), "y", "z", 0), "z")
			wantKept(t, p.Pin(t.Context(), testKey(100+i), "x", time.Minute), "x")
		}
		if st := p.Stats(); st.Unpublished != 10 || st.Unprotected < 80 {
			t.Errorf("Stats = %+v", st)
		}
		if info, _ := p.Peek(testKey(149)); info.Published {
			t.Error("a session passes for published")
		}
		table.set(func() { table.away = nil })
		pause(6 * time.Second)
		for i := range 50 {
			wantPin(t, table.memory, testKey(i), "z", time.Minute)
			wantPin(t, table.memory, testKey(100+i), "x", time.Minute)
		}
		if info, _ := p.Peek(testKey(149)); !info.Published {
			t.Error("a session does not pass for published")
		}
	})
}

func TestRepublishKeepsToItsRate(t *testing.T) {
	bubble(t, PinsConfig{RepublishRate: 1000}, func(t *testing.T, table *faultTable, p *Pins) {
		const sessions = 5000
		for i := range sessions {
			p.Pin(t.Context(), testKey(i), "x", time.Hour)
		}
		pause(time.Second)
		table.lose()
		pause(2 * time.Second)
		// A second passes until it is noticed, and a shard is not cut in two.
		if n := table.memory.Len(); n < 500 || n > 3500 {
			t.Errorf("%d pins are back after two seconds", n)
		}
		pause(5 * time.Second)
		if n := table.memory.Len(); n != sessions {
			t.Errorf("%d pins are back after seven seconds", n)
		}
	})
}

// A replica that ends leaves nothing behind that only it knows.
func TestRunPublishesAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newFaultTable()
		p := NewPins(table, PinsConfig{FlushEvery: time.Hour})
		stop := runPins(t, p)
		synctest.Wait()
		table.set(func() { table.away = errAway })
		p.Pin(t.Context(), testKey(1), "x", time.Minute)
		table.set(func() { table.away = nil })
		stop()
		wantPin(t, table.memory, testKey(1), "x", time.Minute)

		// But a table that does not answer does not keep it.
		p = NewPins(table, PinsConfig{})
		stop = runPins(t, p)
		synctest.Wait()
		table.set(func() { table.delay = time.Hour })
		for i := range 100 {
			p.bindHere(p.front.shard(p.front.hash(testKey(i))), p.front.hash(testKey(i)),
				Pin{Key: testKey(i), Backend: "x", Life: time.Minute})
		}
		begin := time.Now()
		stop()
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("it took %v to end", d)
		}
	})
}

// More renewals than the queue holds are put off, not lost.
func TestRenewalQueueFull(t *testing.T) {
	bubble(t, PinsConfig{}, func(t *testing.T, table *faultTable, p *Pins) {
		const sessions = renewalQueue + 1000
		for i := range sessions {
			p.Pin(t.Context(), testKey(i), "x", time.Minute)
		}
		pause(30 * time.Second)
		for i := range sessions {
			wantLookup(t, p, testKey(i), "x")
		}
		if n := p.Stats().QueueFull; n != 1000 {
			t.Errorf("%d were put off", n)
		}
		pause(time.Second)
		for i := range sessions {
			wantLookup(t, p, testKey(i), "x")
		}
		pause(50 * time.Second)
		for i := range sessions {
			if _, err := table.memory.Get(t.Context(), testKey(i)); err != nil {
				t.Fatalf("session %d: %v", i, err)
			}
		}
	})
}
