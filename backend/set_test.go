package backend

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// setOf returns the Set of backends made of "id", "id=weight", with a suffix
// "/draining", "/down" or "/ejected".
func setOf(t testing.TB, d Deps, backends ...string) *Set {
	t.Helper()
	return poolOf(t, d, backends...).Set()
}

func poolOf(t testing.TB, d Deps, backends ...string) *Pool {
	t.Helper()
	var list []Backend
	for _, s := range backends {
		b := Backend{}
		s, _, _ = strings.Cut(s, "/")
		if id, w, ok := strings.Cut(s, "="); ok {
			s = id
			fmt.Sscan(w, &b.Weight)
		}
		b.ID, b.Addr = s, strings.TrimSuffix(s, ":6020")+":6020"
		list = append(list, b)
	}
	p, err := NewPool(Defaults(), d, NewStatic(list))
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.settings.Load()
	for _, s := range backends {
		id, st, _ := strings.Cut(s, "/")
		id, _, _ = strings.Cut(id, "=")
		r := p.records[id]
		switch st {
		case "draining":
			r.drained = true
		case "down":
			r.checkFailed(r.since, fmt.Errorf("no"), c)
		case "ejected":
			r.eject(r.since, c, "5 dials")
		case "suspect":
			r.suspect = true
		case "slow":
			r.comeBack(r.since, c, "back")
		}
	}
	p.publish(p.records[p.ids[0]].since)
	p.changes = nil
	return p
}

func ids(seq func(func(*Member) bool)) []string {
	var all []string
	for m := range seq {
		all = append(all, m.ID)
	}
	return all
}

func TestSetGet(t *testing.T) {
	s := setOf(t, Deps{}, "a", "b/draining", "c/down", "d/ejected", "e/suspect")
	f := func(id string, state State, usable, established bool, reason string) {
		t.Helper()
		m, ok := s.Get(id)
		if !ok {
			t.Fatalf("no %s", id)
		}
		if m.ID != id || m.State != state || m.Usable() != usable || m.Established() != established || m.Reason != reason {
			t.Errorf("%s: %v usable %v established %v, %q", m.ID, m.State, m.Usable(), m.Established(), m.Reason)
		}
	}
	f("a", Up, true, true, "not checked yet")
	f("b", Draining, false, true, "drained by an operator")
	f("c", Down, false, false, "the first check failed: no")
	f("d", Ejected, false, true, "5 dials failed in a row; ejected for 10s")
	f("e", Up, true, true, "not checked yet")
	if m, ok := s.Get("nobody"); ok || m != nil {
		t.Error("found nobody")
	}
	if s.Len() != 5 || s.Usable() != 2 {
		t.Errorf("Len %d, Usable %d", s.Len(), s.Usable())
	}
	if got := fmt.Sprint(ids(s.All())); got != "[a b c d e]" {
		t.Errorf("All yields %s", got)
	}
}

func TestOrdersByState(t *testing.T) {
	f := func(want string, backends ...string) {
		t.Helper()
		s := setOf(t, Deps{}, backends...)
		for _, got := range [][]string{ids(s.Ranked([]byte("key"))), ids(s.Least(2))} {
			// What is up, in whatever order; then the suspects of Least; then the ejected.
			class := func(id string) string {
				m, _ := s.Get(id)
				return map[bool]string{true: "up", false: m.State.String()}[m.Usable()]
			}
			var classes []string
			for _, id := range got {
				classes = append(classes, class(id))
			}
			if strings.Join(classes, " ") != want {
				t.Errorf("%v: order %v is %v, want %s", backends, got, classes, want)
			}
			if slices.Sort(got); len(slices.Compact(got)) != len(classes) {
				t.Errorf("%v: one came twice in %v", backends, got)
			}
		}
	}
	f("up up up", "a", "b", "c")
	f("up up ejected ejected", "a/ejected", "b", "c", "d/ejected", "e/down", "f/draining")
	f("up ejected", "a/ejected", "b/suspect")
	f("ejected", "a/ejected", "b/down")
	f("", "a/down", "b/draining")
	f("up up up", "a/slow", "b/slow", "c/slow")

	empty, err := NewPool(Defaults(), Deps{})
	if err != nil {
		t.Fatal(err)
	}
	if got := append(ids(empty.Set().Least(2)), ids(empty.Set().Ranked(nil))...); len(got) != 0 {
		t.Errorf("an empty set yields %v", got)
	}
}

func TestSuspectsComeLast(t *testing.T) {
	s := setOf(t, Deps{}, "a/suspect", "b", "c", "d/ejected")
	for range 50 {
		if got := ids(s.Least(2)); got[2] != "a" || got[3] != "d" {
			t.Fatalf("order %v", got)
		}
	}
}

// TestRankedNeverChanges holds the orders that replicas of all versions must agree on.
func TestRankedNeverChanges(t *testing.T) {
	f := func(key, want string, backends ...string) {
		t.Helper()
		if got := strings.Join(ids(setOf(t, Deps{}, backends...).Ranked([]byte(key))), " "); got != want {
			t.Errorf("Ranked(%q) of %v: %s, want %s", key, backends, got, want)
		}
	}
	f("", "", "x/down")
	f("", "a d b c", "a", "b", "c", "d")
	f("session-1", "b d c a", "a", "b", "c", "d")
	f("session-1", "b d c a", "a=1", "b=1", "c=3", "d=9")
	f("session-2", "a c d b", "a", "b", "c", "d")
	f("session-2", "d c a b", "a=1", "b=2", "c=3", "d=4")
}

// weighted draws a list of backends with weights.
func weighted(t *rapid.T) []string {
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,8}`), 1, 12, rapid.ID).Draw(t, "names")
	for i := range names {
		names[i] += fmt.Sprintf("=%d", rapid.IntRange(1, 20).Draw(t, "weight"))
	}
	return names
}

func TestReplicasAgree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		one := weighted(rt)
		other := rapid.Permutation(one).Draw(rt, "other order")
		key := rapid.SliceOf(rapid.Byte()).Draw(rt, "key")
		a, b := ids(setOf(t, Deps{}, one...).Ranked(key)), ids(setOf(t, Deps{}, other...).Ranked(key))
		if !slices.Equal(a, b) {
			rt.Fatalf("%v and %v", a, b)
		}
		if len(a) != len(one) {
			rt.Fatalf("%v of %v", a, one)
		}
	})
}

func TestLeavingMovesOnlyItsOwn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all := weighted(rt)
		if len(all) < 2 {
			return
		}
		i := rapid.IntRange(0, len(all)-1).Draw(rt, "leaves")
		gone, _, _ := strings.Cut(all[i], "=")
		full, less := setOf(t, Deps{}, all...), setOf(t, Deps{}, slices.Delete(slices.Clone(all), i, i+1)...)
		down := slices.Clone(all)
		down[i] += "/down"
		without := setOf(t, Deps{}, down...)
		for k := range 20 {
			key := fmt.Appendf(nil, "key %d", k)
			want := slices.DeleteFunc(ids(full.Ranked(key)), func(id string) bool { return id == gone })
			if got := ids(less.Ranked(key)); !slices.Equal(got, want) {
				rt.Fatalf("without %s: %v, want %v", gone, got, want)
			}
			if got := ids(without.Ranked(key)); !slices.Equal(got, want) {
				rt.Fatalf("with %s down: %v, want %v", gone, got, want)
			}
		}
	})
}

func TestRankedFollowsWeights(t *testing.T) {
	f := func(backends ...string) {
		t.Helper()
		s := setOf(t, Deps{}, backends...)
		const keys = 40_000
		first := map[string]int{}
		for i := range keys {
			for m := range s.Ranked(fmt.Appendf(nil, "%d", i)) {
				first[m.ID]++
				break
			}
		}
		total := 0
		for m := range s.All() {
			total += m.Weight
		}
		for m := range s.All() {
			within(t, m.ID, first[m.ID], keys, float64(m.Weight)/float64(total))
		}
	}
	f("a", "b", "c")
	f("a=1", "b=2", "c=7")
	f("10.0.0.1:6020", "10.0.0.2:6020", "10.0.0.3:6020=3", "10.0.0.4:6020")
	f("a=1", "b=50")
}

// within checks a number of hits against a probability: five standard
// deviations, which a right answer leaves once in two million times, and with a
// fixed seed never.
func within(t *testing.T, what string, hits, tries int, p float64) {
	t.Helper()
	mean := p * float64(tries)
	if off := math.Abs(float64(hits) - mean); off > 5*math.Sqrt(mean*(1-p))+1 {
		t.Errorf("%s: %d of %d, want %.0f", what, hits, tries, mean)
	}
}

// seeded returns random bits that are the same in every run.
func seeded() func() uint64 { return rand.New(rand.NewPCG(1, 2)).Uint64 }

func TestLeastDrawsByWeight(t *testing.T) {
	f := func(n int, want map[string]float64, backends ...string) {
		t.Helper()
		s := setOf(t, Deps{Random: seeded()}, backends...)
		const tries = 20_000
		first := map[string]int{}
		for range tries {
			for m := range s.Least(n) {
				first[m.ID]++
				break
			}
		}
		for id, p := range want {
			within(t, fmt.Sprintf("%v by %d: %s", backends, n, id), first[id], tries, p)
		}
	}
	third := 1.0 / 3
	f(1, map[string]float64{"a": third, "b": third, "c": third}, "a", "b", "c")
	f(2, map[string]float64{"a": third, "b": third, "c": third}, "a", "b", "c")
	f(1, map[string]float64{"a": .1, "b": .2, "c": .7}, "a=1", "b=2", "c=7")
	// Of two without sessions the heavier has the less pressure: the light one is first only when not drawn with it.
	f(2, map[string]float64{"a": 0, "b": 1}, "a=1", "b=2")
	// All of three are drawn.
	f(3, map[string]float64{"a": 0, "b": 0, "c": 1}, "a=1", "b=2", "c=7")
	f(100, map[string]float64{"c": 1}, "a=1", "b=2", "c=7")
	// Pairs {a,b} {a,c} {b,c} by weight without replacement.
	f(2, map[string]float64{"a": 0, "b": .1*2/9 + .2*1/8, "c": 1 - .1*2/9 - .2*1/8}, "a=1", "b=2", "c=7")
	// What starts slowly has a tenth of its chance of being drawn.
	f(1, map[string]float64{"a": .5*.1 + .5*.1*0, "b": .95}, "a/slow", "b")
}

func TestLeastEvensOutLoad(t *testing.T) {
	f := func(sessions int, backends ...string) {
		t.Helper()
		s := setOf(t, Deps{Random: seeded()}, backends...)
		for range sessions {
			for m := range s.Least(2) {
				m.OpenSession()
				break
			}
		}
		total := 0
		for m := range s.All() {
			total += m.Weight
		}
		for m := range s.All() {
			fair := float64(sessions) * float64(m.Weight) / float64(total)
			if got := float64(m.Sessions()); math.Abs(got-fair) > 0.02*float64(sessions)+3 {
				t.Errorf("%v: %s has %v sessions, fair are %.0f", backends, m.ID, got, fair)
			}
		}
	}
	f(1000, "a", "b", "c")
	f(1000, "a=1", "b=2", "c=7")
	f(1000, "a=1", "b=30")
	f(3000, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j")
}

func TestLeastCountsPollingSessions(t *testing.T) {
	polling := map[string]int{"a": 10, "b": 3}
	s := setOf(t, Deps{Polling: func(id string) int { return polling[id] }}, "a", "b")
	b, _ := s.Get("b")
	for range 4 {
		b.OpenSession()
	}
	// a has 10, b 7
	if got := ids(s.Least(2)); got[0] != "b" {
		t.Errorf("order %v", got)
	}
	for range 4 {
		b.OpenSession()
	}
	if got := ids(s.Least(2)); got[0] != "a" {
		t.Errorf("order %v", got)
	}
	for range 8 {
		b.CloseSession()
	}
	if n := b.Sessions(); n != 3 {
		t.Errorf("%d sessions", n)
	}
}

// TestDrawIsExact compares the draw without replacement with the plain way to do it.
func TestDrawIsExact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		backends := weighted(rt)
		s := setOf(t, Deps{}, backends...)
		var units []int32 // every unit of weight by whom it belongs to, as an index into up
		for i, at := range s.up {
			for range s.members[at].Weight {
				units = append(units, int32(i))
			}
		}
		var d draw
		for d.nTaken < len(s.up) {
			r := rapid.IntRange(0, len(units)-1).Draw(rt, "unit")
			want := units[r]
			if got := s.pick(&d, uint64(r)); got != want {
				rt.Fatalf("unit %d of %v belongs to %d, got %d", r, units, want, got)
			}
			d.take(want)
			units = slices.DeleteFunc(units, func(i int32) bool { return i == want })
			if len(units) == 0 || d.nTaken == len(d.taken) {
				break
			}
		}
	})
}

func TestStopsWhenTold(t *testing.T) {
	s := setOf(t, Deps{}, "a", "b", "c/suspect", "d/ejected", "e/ejected")
	for n := 1; n <= 5; n++ {
		for _, seq := range []func(func(*Member) bool){s.Least(2), s.Ranked([]byte("k")), s.All()} {
			calls := 0
			seq(func(*Member) bool { calls++; return calls < n })
			if calls != n {
				t.Errorf("asked for %d, got %d", n, calls)
			}
		}
	}
}

func TestAcquire(t *testing.T) {
	c := Defaults()
	c.MaxInFlight = 2
	p, err := NewPool(c, Deps{}, NewStatic([]Backend{{Addr: "a:1"}}))
	if err != nil {
		t.Fatal(err)
	}
	m, _ := p.Set().Get("a:1")
	for i, want := range []bool{true, true, false} {
		if got := m.Acquire(); got != want {
			t.Fatalf("slot %d: %v", i, got)
		}
	}
	m.Release()
	if !m.Acquire() {
		t.Fatal("a slot given back is not to be had")
	}
	if s := p.Snapshot()[0]; s.InFlight != 2 || s.Overflows != 1 {
		t.Errorf("%d in flight, %d overflows", s.InFlight, s.Overflows)
	}
	c.MaxInFlight = 0
	if err := p.Reload(c, NewStatic([]Backend{{Addr: "a:1"}})); err != nil {
		t.Fatal(err)
	}
	if !m.Acquire() || m.InFlight() != 3 {
		t.Error("no limit was to hold after the reload")
	}
}

func TestRunTwice(t *testing.T) {
	running := make(chan bool, 1)
	p := poolOf(t, Deps{Probe: func(context.Context, Backend) error {
		select {
		case running <- true:
		default:
		}
		return nil
	}}, "a")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	<-running
	if err := p.Run(ctx); err == nil || err.Error() != "the pool runs already" {
		t.Errorf("second Run: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
