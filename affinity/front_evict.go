package affinity

// evictLooks bounds how many entries the clock hand passes for one victim.
const evictLooks = 32

// evict makes room in a full shard by the CLOCK rule: the hand goes round, takes
// the first entry that nobody used since it last came by, and spares, as long as
// there are others, those that only this replica can renew or publish. The
// caller holds s.mu; the ring is not empty.
func (f *front) evict(s *frontShard, now int64) {
	var victim, second *entry
	for range min(evictLooks, len(s.ring)) {
		if s.hand >= len(s.ring) {
			s.hand = 0
		}
		e := s.ring[s.hand]
		s.hand++
		if !e.live(now) {
			f.remove(s, f.hash(e.key), e)
			return
		}
		if e.unpublished || e.tunnels+e.streams > 0 {
			continue
		}
		if !e.touched.Load() {
			victim = e
			break
		}
		e.touched.Store(false)
		if second == nil {
			second = e
		}
	}
	if victim == nil {
		victim = second
	}
	if victim == nil {
		if s.hand >= len(s.ring) {
			s.hand = 0
		}
		victim = s.ring[s.hand]
		s.lost++
	}
	s.evicted++
	f.remove(s, f.hash(victim.key), victim)
}

// sweep removes the entries of a shard that have ended, and calls renew for
// those whose open tunnel or stream is due to tell the table that they live.
func (f *front) sweep(s *frontShard, now int64, renew func(*entry)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.ring) - 1; i >= 0; i-- {
		e := s.ring[i]
		dropped := e.member.Load().dropped.Load()
		if e.tunnels+e.streams > 0 && !dropped {
			e.seen.Store(now)
			if e.due(now, e.life.Load()) {
				renew(e)
			}
			continue
		}
		if dropped || !e.live(now) {
			f.remove(s, f.hash(e.key), e)
		}
	}
}

// untaken notes that the table was told of an entry in vain.
func (f *front) untaken(e *entry, now int64) {
	s := f.shard(f.hash(e.key))
	s.mu.Lock()
	defer s.mu.Unlock()
	if !e.shared() {
		e.checked.Store(-now)
	}
}

// collect returns the live entries of a shard that wait for the table, or else
// all those the table has not confirmed since a time.
func (s *frontShard) collect(onlyWaiting bool, since, now int64) []*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if onlyWaiting && s.waiting == 0 {
		return nil
	}
	var entries []*entry
	for _, e := range s.ring {
		if (e.unpublished || !onlyWaiting && e.checked.Load() < since) && e.live(now) {
			entries = append(entries, e)
		}
	}
	return entries
}
