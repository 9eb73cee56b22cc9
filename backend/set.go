package backend

import (
	"iter"
	"time"
)

// Set is the backends at one moment. It never changes.
type Set struct {
	members    []Member         // ordered by ID
	index      map[string]int32 // into members
	generation uint64

	up       []int32  // members in good standing, that new sessions are drawn from
	starts   []uint64 // for each of up, the sum of the weights before it
	total    uint64   // sum of the weights of up
	suspects []int32  // up, but put last
	ejected  []int32
	even     bool // all members weigh the same
	ramping  bool // some of up are in slow start

	random func() uint64
}

// newSet makes a Set of members ordered by ID, with their index.
func newSet(members []Member, index map[string]int32, generation uint64, random func() uint64) *Set {
	s := &Set{members: members, index: index, generation: generation, random: random, even: true}
	for i := range members {
		m := &members[i]
		s.even = s.even && m.Weight == members[0].Weight
		switch {
		case m.State == Up && m.suspect:
			s.suspects = append(s.suspects, int32(i))
		case m.State == Up:
			s.up = append(s.up, int32(i))
			s.starts = append(s.starts, s.total)
			s.total += uint64(m.Weight)
			s.ramping = s.ramping || !m.rampFrom.IsZero()
		case m.State == Ejected:
			s.ejected = append(s.ejected, int32(i))
		}
	}
	return s
}

// Get finds a backend by its id, whatever its state. It does not allocate.
func (s *Set) Get(id string) (*Member, bool) {
	i, ok := s.index[id]
	if !ok {
		return nil, false
	}
	return &s.members[i], true
}

// Len returns how many backends there are, whatever their state.
func (s *Set) Len() int { return len(s.members) }

// Usable returns how many take new sessions.
func (s *Set) Usable() int { return len(s.up) + len(s.suspects) }

// All yields every member, ordered by id.
func (s *Set) All() iter.Seq[*Member] {
	return func(yield func(*Member) bool) {
		for i := range s.members {
			if !yield(&s.members[i]) {
				return
			}
		}
	}
}

// Generation changes when and only when the ids in the set do, for caches made
// from ids.
func (s *Set) Generation() uint64 { return s.generation }

// now is the time if slow start makes it matter.
func (s *Set) now() time.Time {
	if s.ramping {
		return time.Now()
	}
	return time.Time{}
}
