package affinity

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Stats are the counters and gauges of Pins. Counters only grow.
type Stats struct {
	Entries     int   // in the front, now
	MaxEntries  int   // bound of it
	Bytes       int64 // taken by the front, now
	Unpublished int   // pins not in the table yet, now
	Held        int   // pins with an open tunnel or streaming answer, now

	Open     bool // the breaker is open: the table is not asked
	Refusing bool // the table answers but takes no writes

	Evicted         uint64 // entries thrown out of a full front
	EvictedUnshared uint64 // of these, pins that were not in the table yet or held
	Republished     uint64 // pins written again or late, after a failure or a loss
	Conflicts       uint64 // of these, pins given up because the table had another backend
	Unprotected     uint64 // pins beyond MaxUnpublished
	QueueFull       uint64 // renewals put off because the queue was full
	BreakerOpened   uint64 // times the breaker opened
	Losses          uint64 // times the table was found to have lost its contents
}

// PinInfo is what the admin page shows of one pin this replica knows.
type PinInfo struct {
	Key       Key
	Backend   string
	Age       time.Duration // since this replica knows it
	Idle      time.Duration // since it was last used here
	Life      time.Duration // ends after so long without use
	Held      bool          // a tunnel or a streaming answer is open
	Published bool          // the table has it
}

// Hold says that a tunnel of the session is open: until release is called its
// pin is renewed without being looked up, and Count leaves it out. Afterwards
// the pin stays for its life. release may be called more than once. Of a key
// the front does not know nothing is held.
func (p *Pins) Hold(key Key) (release func()) { return p.hold(key, true) }

// Keep is Hold for an answer that streams: the pin is renewed until release is
// called, and Count goes on counting the session, for no tunnel stands for it.
func (p *Pins) Keep(key Key) (release func()) { return p.hold(key, false) }

func (p *Pins) hold(key Key, tunnel bool) (release func()) {
	h := p.front.hash(key)
	s := p.front.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := p.now()
	e := s.find(h, key)
	if e == nil || !e.live(now) {
		return func() {}
	}
	e.seen.Store(now)
	s.hold(e, tunnel, 1)
	var released atomic.Bool
	return func() {
		if released.Swap(true) {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if e.gone {
			return
		}
		e.seen.Store(p.now())
		s.hold(e, tunnel, -1)
		p.renew(e)
	}
}

// hold changes how many tunnels or streams an entry has. The caller holds s.mu.
func (s *frontShard) hold(e *entry, tunnel bool, d int32) {
	before := e.tunnels + e.streams
	if tunnel {
		e.tunnels += d
		switch {
		case e.tunnels == 1 && d > 0:
			e.member.Load().polling.Add(-1)
		case e.tunnels == 0:
			e.member.Load().polling.Add(1)
		}
	} else {
		e.streams += d
	}
	switch after := e.tunnels + e.streams; {
	case before == 0:
		s.held++
	case after == 0:
		s.held--
	}
}

// Count returns how many sessions of a backend this replica knows that live by
// polling, leaving out those held. It may lag behind expiry by some seconds.
func (p *Pins) Count(backend string) int {
	if m := p.front.members.find(backend); m != nil {
		return int(m.polling.Load())
	}
	return 0
}

// Drop forgets what this replica knows of the sessions of a backend that has
// vanished. The table is left alone.
func (p *Pins) Drop(backend string) { p.front.members.drop(backend) }

// Peek returns what the front knows of a session. It is no sign of life and
// does not ask the table.
func (p *Pins) Peek(key Key) (PinInfo, bool) {
	h := p.front.hash(key)
	s := p.front.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := p.now()
	if e := s.find(h, key); e != nil && e.live(now) {
		return e.info(now), true
	}
	return PinInfo{}, false
}

// info describes an entry. The caller holds the shard's mu.
func (e *entry) info(now int64) PinInfo {
	return PinInfo{
		Key:       e.key,
		Backend:   e.member.Load().id,
		Age:       time.Duration(now - e.born),
		Idle:      time.Duration(now - e.seen.Load()),
		Life:      time.Duration(e.life.Load()),
		Held:      e.tunnels+e.streams > 0,
		Published: e.shared(),
	}
}

// Sessions returns up to limit sessions this replica knows, in no order.
func (p *Pins) Sessions(limit int) []PinInfo {
	var infos []PinInfo
	for i := range p.front.shards {
		s := &p.front.shards[i]
		s.mu.Lock()
		now := p.now()
		for _, e := range s.ring {
			if len(infos) >= limit {
				break
			}
			if e.live(now) {
				infos = append(infos, e.info(now))
			}
		}
		s.mu.Unlock()
	}
	return infos
}

// Status tells whether the table is in use; if not, reason says why in words for
// an operator. It is not a reason to take no traffic: known sessions live on.
func (p *Pins) Status() (ok bool, reason string) {
	waiting := p.front.unpublished.Load()
	if err := p.breaker.why(); err != nil {
		return false, fmt.Sprintf("affinity table away, %d pins wait for it: %v", waiting, err)
	}
	if why := p.refusal.Load(); why != nil {
		return false, fmt.Sprintf("affinity table takes no writes, %d pins wait for it: %s", waiting, *why)
	}
	return true, ""
}

// Stats returns the counters and gauges.
func (p *Pins) Stats() Stats {
	st := Stats{
		MaxEntries:    p.conf.MaxEntries,
		Unpublished:   int(p.front.unpublished.Load()),
		Open:          p.breaker.open.Load(),
		Refusing:      p.refusal.Load() != nil,
		Republished:   p.run.republished.Load(),
		Conflicts:     p.conflicts.Load(),
		Unprotected:   p.front.unprotected.Load(),
		QueueFull:     p.queueFull.Load(),
		BreakerOpened: p.breaker.opened.Load(),
		Losses:        p.run.losses.Load(),
	}
	for i := range p.front.shards {
		s := &p.front.shards[i]
		s.mu.Lock()
		st.Entries += len(s.ring)
		st.Held += s.held
		st.Evicted += s.evicted
		st.EvictedUnshared += s.lost
		s.mu.Unlock()
	}
	st.Bytes = int64(st.Entries) * entryBytes
	return st
}
