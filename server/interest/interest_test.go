package interest

import (
	"slices"
	"testing"
)

func TestMemory(t *testing.T) {
	m := NewMemory()
	a, b := m.Node("a"), m.Node("b")
	var log []string
	a.Watch(Users, func(name string, wanted bool) {
		if wanted {
			log = append(log, "+"+name)
		} else {
			log = append(log, "-"+name)
		}
	})
	var _ Registry = a
	others := 0
	a.WatchOthers(Users, func(string) { others++ })

	a.Add(Users, "al")
	a.Add(Users, "al") // a set, not a count
	b.Add(Users, "al")
	b.Add(Users, "bo")
	b.Add(Users, "bo")
	if others != 2 {
		t.Errorf("of another node's names %d are told, want 2", others)
	}
	if got := a.Others(Users, "al"); !slices.Equal(got, []string{"b"}) {
		t.Errorf("others for a: %v", got)
	}
	if got := b.Others(Users, "bo"); len(got) > 0 {
		t.Errorf("others for the only one: %v", got)
	}
	if !a.Has(Users, "bo") || a.Has(Events, "bo") {
		t.Error("kinds are mixed up")
	}
	a.Remove(Users, "al")
	a.Remove(Users, "al")
	if !b.Has(Users, "al") {
		t.Error("removed for both")
	}
	b.Leave()
	if names := a.Names(Users); len(names) > 0 {
		t.Errorf("a node that left still wants %v", names)
	}
	slices.Sort(log[2:])
	if want := []string{"+al", "+bo", "-al", "-bo"}; !slices.Equal(log, want) {
		t.Errorf("heard %v, want %v", log, want)
	}
}
