package backend

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

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
