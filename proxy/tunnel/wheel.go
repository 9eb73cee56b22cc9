package tunnel

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// tick is the coarse clock's step.
	tick = 250 * time.Millisecond
	// rim is how many ticks ahead the wheel looks. A tunnel due later is
	// looked at once a turn and put back, which for 10,000 tunnels is 40
	// looks a tick.
	rim = 256
)

// wheel is the coarse clock of a relay and the tunnels with an idle timeout,
// by the tick in which one may be due. A byte only stores the clock's tick
// (Tunnel.touch); nothing is moved until its slot comes round. The clock counts
// the ticks that were seen: time during which the process stood still is
// nobody's idleness.
type wheel struct {
	now atomic.Uint32

	mu sync.Mutex
	// guarded by mu, as are the links of the tunnels
	slots [rim]*Tunnel
}

// links puts a tunnel into a list of the wheel; guarded by wheel.mu.
type links struct {
	next, prev *Tunnel
	slot       uint8
	queued     bool
	gone       bool
}

// idleTicks converts a timeout, rounded up; 0 is never.
func idleTicks(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	n := d / tick
	if d%tick > 0 {
		n++
	}
	return uint32(min(n, 1<<30))
}

// due is the first tick at which t has been idle for its timeout. The tick of
// the last byte was under way when the byte came, hence one more.
func (t *Tunnel) due() uint32 { return t.active.Load() + t.idle + 1 }

func (w *wheel) add(t *Tunnel) {
	if t.idle == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !t.links.gone {
		w.put(t, w.now.Load())
	}
}

// put files t; guarded by mu.
func (w *wheel) put(t *Tunnel, now uint32) {
	ahead := min(max(int32(t.due()-now), 1), rim-1)
	s := uint8((now + uint32(ahead)) % rim)
	t.links = links{next: w.slots[s], slot: s, queued: true}
	if t.links.next != nil {
		t.links.next.links.prev = t
	}
	w.slots[s] = t
}

// remove takes t out for good, also when add comes later.
func (w *wheel) remove(t *Tunnel) {
	if t.idle == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if l := t.links; l.queued {
		if l.prev != nil {
			l.prev.links.next = l.next
		} else {
			w.slots[l.slot] = l.next
		}
		if l.next != nil {
			l.next.links.prev = l.prev
		}
	}
	t.links = links{gone: true}
}

// advance steps the clock and returns the tunnels that are due now.
func (w *wheel) advance() (due []*Tunnel) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now.Add(1)
	t := w.slots[now%rim]
	w.slots[now%rim] = nil
	for t != nil {
		next := t.links.next
		t.links = links{}
		if int32(t.due()-now) <= 0 {
			due = append(due, t)
		} else {
			w.put(t, now)
		}
		t = next
	}
	return due
}
