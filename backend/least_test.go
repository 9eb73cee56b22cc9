package backend

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSuspectsComeLast(t *testing.T) {
	s := setOf(t, Deps{}, "a/suspect", "b", "c", "d/ejected")
	for range 50 {
		if got := ids(s.Least(2)); got[2] != "a" || got[3] != "d" {
			t.Fatalf("order %v", got)
		}
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
