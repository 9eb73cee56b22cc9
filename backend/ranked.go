package backend

import (
	"iter"
	"math"

	"github.com/cespare/xxhash/v2"
)

// Ranked yields the backends that may serve key, best first: weighted
// rendezvous hashing, so all replicas that see the same backends agree on the
// order, and a backend that leaves moves none but its own keys. Those that are
// up come first; then, as a last resort, the ejected ones. Suspicion and slow
// start play no part, because replicas differ in them. What it computes must
// stay the same in every version: replicas of two versions serve side by side
// during a roll-out.
func (s *Set) Ranked(key []byte) iter.Seq[*Member] {
	h := xxhash.Sum64(key)
	return func(yield func(*Member) bool) { s.ranked(h, yield) }
}

func (s *Set) ranked(h uint64, yield func(*Member) bool) {
	_ = s.rankedIn(Up, h, yield) && s.rankedIn(Ejected, h, yield)
}

// rankedIn yields the members in one state. Each next one is found by another
// pass: almost always the first is all that is asked for.
func (s *Set) rankedIn(state State, h uint64, yield func(*Member) bool) bool {
	last, lastAt := math.Inf(-1), -1
	for {
		best, bestAt := math.Inf(1), -1
		for i := range s.members {
			m := &s.members[i]
			if m.State != state {
				continue
			}
			d := s.distance(h, m)
			if after(d, i, last, lastAt) && after(best, bestAt, d, i) {
				best, bestAt = d, i
			}
		}
		if bestAt < 0 {
			return true
		}
		if !yield(&s.members[bestAt]) {
			return false
		}
		last, lastAt = best, bestAt
	}
}

// after reports whether distance a at index i is behind b at j; equal
// distances follow the order of ids.
func after(a float64, i int, b float64, j int) bool {
	return a > b || a == b && i > j
}

// distance is how far a backend is from a key: -ln(u)/weight for a uniform u
// made of both. The least of such exponential variables falls to each backend
// in proportion to its weight. Where all weigh the same the logarithm changes
// no order, and is left out.
func (s *Set) distance(h uint64, m *Member) float64 {
	u := (float64(mix(h^m.seed)>>11) + 0.5) / (1 << 53)
	if s.even {
		return 1 - u
	}
	return -math.Log(u) / float64(m.Weight)
}

// mix spreads every bit of x over the whole of the result (the finalizer of
// MurmurHash3).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return x
}
