package backend

import (
	"fmt"
	"math"
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
			r.upReason, r.rampFrom = "back", r.since
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

// weighted draws a list of backends with weights.
func weighted(t *rapid.T) []string {
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,8}`), 1, 12, rapid.ID).Draw(t, "names")
	for i := range names {
		names[i] += fmt.Sprintf("=%d", rapid.IntRange(1, 20).Draw(t, "weight"))
	}
	return names
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

func TestOrdersNameEachOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		backends := weighted(rt)
		for i := range backends {
			backends[i] += rapid.SampledFrom([]string{"", "/suspect", "/slow", "/ejected"}).Draw(rt, "state")
		}
		s := setOf(t, Deps{}, backends...)
		want := ids(s.All())
		for n := 1; n <= maxDraw; n++ {
			if got := ids(s.Least(n)); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
				rt.Fatalf("Least(%d) of %v: %v", n, backends, got)
			}
		}
		if got := ids(s.Ranked(nil)); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
			rt.Fatalf("Ranked of %v: %v", backends, got)
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
