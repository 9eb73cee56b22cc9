package tunnel

import (
	"sync"
	"sync/atomic"
)

// side names an end of a tunnel, and the direction that starts there.
type side uint8

const (
	client side = iota
	backend
)

func (s side) other() side { return 1 - s }

// shard is a share of a relay's open tunnels with a lock and counters of its
// own: one for each loop and one for all pairs of pumps.
type shard struct {
	from   [2]atomic.Int64 // bytes read from that side
	held   atomic.Int64
	opened atomic.Int64
	open   atomic.Int64

	mu sync.Mutex
	// guarded by mu
	slots   []slot
	free    []int32
	closing bool
}

// slot holds an open tunnel. Its number goes into the kernel with the
// descriptor and comes back with every event; gen tells an event of an earlier
// tenant.
type slot struct {
	t        *Tunnel
	gen      int32
	reserved bool // t has not been started
}

// add files t, unless the relay is closing. Whoever closes the shard sees t
// or add fails: there is nothing between.
func (s *shard) add(t *Tunnel) bool {
	if !s.reserve(t) {
		return false
	}
	ok := s.start(t)
	if !ok {
		s.remove(t)
		t.relay.tunnels.Done()
	}
	return ok
}

// reserve gives t a slot before it is started; remove takes it back.
func (s *shard) reserve(t *Tunnel) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	if n := len(s.free); n > 0 {
		t.slot = s.free[n-1]
		s.free = s.free[:n-1]
	} else {
		t.slot = int32(len(s.slots))
		s.slots = append(s.slots, slot{})
	}
	e := &s.slots[t.slot]
	e.t, e.reserved, t.gen = t, true, e.gen
	t.relay.tunnels.Add(1)
	return true
}

// start makes a tunnel of what has a slot, unless the relay is closing.
func (s *shard) start(t *Tunnel) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.slots[t.slot].reserved = false
	s.opened.Add(1)
	s.open.Add(1)
	return true
}

// remove takes the slot back of a tunnel, also of one that was not started.
func (s *shard) remove(t *Tunnel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &s.slots[t.slot]
	if !e.reserved {
		s.open.Add(-1)
	}
	*e = slot{gen: e.gen + 1}
	s.free = append(s.free, t.slot)
}

// list appends the tunnels that are open, or those that are reserved, to ts.
func (s *shard) list(ts []*Tunnel, reserved bool) []*Tunnel {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.slots {
		if e := &s.slots[i]; e.t != nil && e.reserved == reserved {
			ts = append(ts, e.t)
		}
	}
	return ts
}

// close makes every later add fail.
func (s *shard) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
}
