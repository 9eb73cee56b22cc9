package interest

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestSets: names whose nodes are the same have the same set, it is what the nodes
// are, and none is left when no name has it.
func TestSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSets()
		members := []member{s.member("self", true)}
		for i := range 6 {
			members = append(members, s.member(fmt.Sprint(i), false))
		}
		var of [4]*set
		var want [4]map[int]bool
		for i := range want {
			want[i] = make(map[int]bool)
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			i, j := rapid.IntRange(0, 3).Draw(t, "name"), rapid.IntRange(0, 6).Draw(t, "node")
			before := of[i]
			var copied []string
			if before != nil {
				copied = slices.Clone(before.others)
			}
			of[i] = s.toggle(of[i], &members[j])
			want[i][j] = !want[i][j]
			if before != nil && !slices.Equal(before.others, copied) {
				t.Fatal("a set changed")
			}
		}
		distinct := make(map[*set]bool)
		for i := range of {
			var others []string
			for j := range members {
				if of[i].has(&members[j]) != want[i][j] {
					t.Fatalf("name %d has node %d: %t", i, j, !want[i][j])
				}
				if want[i][j] && j > 0 {
					others = append(others, members[j].name)
				}
			}
			if of[i] != nil {
				distinct[of[i]] = true
				if !slices.Equal(of[i].others, others) {
					t.Fatalf("others are %v, want %v", of[i].others, others)
				}
			}
			for o := range i {
				if (of[i] == of[o]) != (fmt.Sprint(of[i]) == fmt.Sprint(of[o])) {
					t.Fatal("two sets are the same")
				}
			}
		}
		if s.len() != len(distinct) {
			t.Fatalf("%d sets are kept, %d are used", s.len(), len(distinct))
		}
		for i := range of {
			for j := range members {
				if want[i][j] {
					of[i] = s.toggle(of[i], &members[j])
				}
			}
			if of[i] != nil {
				t.Fatal("a set is left without members")
			}
		}
		if s.len() != 0 {
			t.Fatalf("%d sets are left", s.len())
		}
	})
}
