package interest

import (
	"hash/maphash"
	"slices"
	"sync"
)

// member is a node as sets know it.
type member struct {
	name string
	id   id
	self bool
}

// id is a hash of a node's name, or of a set: the sum, by exclusive or, of those of
// its members. It is as long as it is so that no two sets ever have the same.
type id [2]uint64

func (i id) xor(o id) id { return id{i[0] ^ o[0], i[1] ^ o[1]} }

// set is a set of nodes that is not empty. It does not change, but for refs.
type set struct {
	id     id
	self   bool     // this node is in it
	others []string // sorted
	refs   int      // guarded by sets.mu: names that have this set
}

// has reports whether m is in s, which may be nil.
func (s *set) has(m *member) bool {
	switch {
	case s == nil:
		return false
	case m.self:
		return s.self
	}
	_, found := slices.BinarySearch(s.others, m.name)
	return found
}

// sets holds each set once.
type sets struct {
	seeds [2]maphash.Seed

	mu   sync.Mutex
	byID map[id]*set // guarded by mu: those that names have
}

func newSets() sets {
	return sets{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, byID: make(map[id]*set)}
}

func (s *sets) member(name string, self bool) member {
	return member{name: name, id: id{maphash.String(s.seeds[0], name), maphash.String(s.seeds[1], name)}, self: self}
}

// toggle takes a name from a set to the one that has m in addition, or does not have
// m where the first does. Sets without members are nil.
func (s *sets) toggle(from *set, m *member) *set {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := m.id
	if from != nil {
		wanted = from.id.xor(m.id)
		if from.refs--; from.refs == 0 {
			delete(s.byID, from.id)
		}
	}
	if wanted == (id{}) {
		return nil
	}
	to := s.byID[wanted]
	if to == nil {
		to = from.toggled(m)
		to.id = wanted
		s.byID[wanted] = to
	}
	to.refs++
	return to
}

func (s *set) toggled(m *member) *set {
	var to set
	if s != nil {
		to.self, to.others = s.self, s.others
	}
	if m.self {
		to.self = !to.self
		return &to
	}
	i, found := slices.BinarySearch(to.others, m.name)
	others := make([]string, 0, len(to.others)+1)
	others = append(others, to.others[:i]...)
	if found {
		i++
	} else {
		others = append(others, m.name)
	}
	to.others = append(others, to.others[i:]...)
	return &to
}

func (s *sets) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byID)
}
