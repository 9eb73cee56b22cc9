package backend

import (
	"iter"
	"math/bits"
)

// maxDraw bounds how many backends Least draws.
const maxDraw = 8

// Least yields backends for a new session: of n drawn at random by weight the
// one with the least (sessions+1)/weight, then the others drawn, then the rest
// from a random one on, suspects after those in good standing. A backend in
// slow start is drawn and weighed with the part of its weight it has by now;
// drawing matters most, because a fresh backend without sessions would win
// every comparison. After those that are up, as a last resort, come the ejected
// ones; a backend that is draining or down is never yielded, so the sequence
// may be empty. n is 1 to 8; 2 is nearly as good as all, and keeps replicas
// that see the same loads from all choosing the same backend.
func (s *Set) Least(n int) iter.Seq[*Member] {
	return func(yield func(*Member) bool) { s.least(n, yield) }
}

func (s *Set) least(n int, yield func(*Member) bool) {
	var d draw
	if len(s.up) > 0 {
		s.draw(&d, min(max(n, 1), maxDraw))
		for _, c := range d.chosen[:d.n] {
			if !yield(&s.members[c.at]) {
				return
			}
		}
	}
	_ = s.rotate(s.up, &d, yield) && s.rotate(s.suspects, &d, yield) && s.rotate(s.ejected, &d, yield)
}

// rotate yields those of a list that were not drawn, from a random one on.
func (s *Set) rotate(list []int32, d *draw, yield func(*Member) bool) bool {
	if len(list) == 0 {
		return true
	}
	from := below(s.random(), uint64(len(list)))
	for i := range list {
		at := list[(int(from)+i)%len(list)]
		if !d.has(at) && !yield(&s.members[at]) {
			return false
		}
	}
	return true
}

// draw is the outcome of one draw without replacement.
type draw struct {
	chosen [maxDraw]candidate // by load, least first
	n      int
	taken  [2 * maxDraw]int32 // ascending indexes into Set.up that cannot be drawn any more
	nTaken int
}

type candidate struct {
	at   int32 // index into Set.members
	load float64
}

// draw fills d with up to n candidates. One in slow start that is drawn is
// passed over with the chance that it lacks in weight.
func (s *Set) draw(d *draw, n int) {
	now := s.now()
	left := s.total
	var passed *Member
	passedAt := int32(-1)
	for d.n < n && d.nTaken < len(s.up) && d.nTaken < len(d.taken) {
		i := s.pick(d, below(s.random(), left))
		d.take(i)
		at := s.up[i]
		m := &s.members[at]
		left -= uint64(m.Weight)
		part := m.part(now)
		if part < 1 && unit(s.random()) >= part {
			if passed == nil || part > passed.part(now) {
				passed, passedAt = m, at
			}
			continue
		}
		d.add(at, m.pressure(part))
	}
	if d.n == 0 && passed != nil {
		// All that were drawn are in slow start, and one must serve.
		d.add(passedAt, 0)
	}
}

// pressure is what Least compares.
func (m *Member) pressure(part float64) float64 {
	return float64(m.Sessions()+1) / (float64(m.Weight) * part)
}

// pick finds in Set.up whom the r-th unit of weight belongs to, not counting
// the weights of those taken.
func (s *Set) pick(d *draw, r uint64) int32 {
	for _, i := range d.taken[:d.nTaken] {
		if r >= s.starts[i] {
			r += uint64(s.members[s.up[i]].Weight)
		}
	}
	low, high := 0, len(s.starts)
	for high-low > 1 {
		if mid := int(uint(low+high) / 2); s.starts[mid] <= r {
			low = mid
		} else {
			high = mid
		}
	}
	return int32(low)
}

func (d *draw) take(i int32) {
	k := d.nTaken
	for ; k > 0 && d.taken[k-1] > i; k-- {
		d.taken[k] = d.taken[k-1]
	}
	d.taken[k] = i
	d.nTaken++
}

func (d *draw) add(at int32, load float64) {
	k := d.n
	for ; k > 0 && d.chosen[k-1].load > load; k-- {
		d.chosen[k] = d.chosen[k-1]
	}
	d.chosen[k] = candidate{at, load}
	d.n++
}

func (d *draw) has(at int32) bool {
	for _, c := range d.chosen[:d.n] {
		if c.at == at {
			return true
		}
	}
	return false
}

// below maps uniform bits to a number below n.
func below(r, n uint64) uint64 {
	hi, _ := bits.Mul64(r, n)
	return hi
}
