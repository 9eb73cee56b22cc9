package interest

import "time"

// round is the calls of Settle that wait for the same changes.
type round struct {
	ordinal  uint64
	number   uint64 // the changes before it are to be known to all
	calls    []func()
	deadline time.Time
}

// Settle implements Registry. Where a node does not answer, f is called after 10
// seconds all the same.
func (c *Cluster) Settle(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || len(c.peers) == 0 {
		c.call([]func(){f})
		return
	}
	c.unsent = append(c.unsent, f)
	c.signal()
}

// call makes calls, in another goroutine. It is called with mu held.
func (c *Cluster) call(calls []func()) {
	run := func() {
		for _, f := range calls {
			f()
		}
	}
	if c.ended {
		go run()
	} else {
		c.calls.Go(run)
	}
}

// acknowledge takes from a node that it knows the changes before a number.
func (c *Cluster) acknowledge(p *peer, number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if number > p.acked && number <= c.number {
		p.acked = number
		c.settleRounds()
	}
}

// settleRounds ends the rounds that wait for nobody. They end in their order: who
// knows the changes of one knows those before. It is called with mu held.
func (c *Cluster) settleRounds() {
	n := 0
	for n < len(c.rounds) && c.known(&c.rounds[n]) {
		c.call(c.rounds[n].calls)
		n++
	}
	c.drop(n)
}

// known reports whether all whom a round waits for know what they are to know. It is
// called with mu held.
func (c *Cluster) known(r *round) bool {
	for _, p := range c.peers {
		if p.since <= r.ordinal && p.acked < r.number {
			return false
		}
	}
	return true
}

// drop forgets the first n rounds. It is called with mu held.
func (c *Cluster) drop(n int) {
	clear(c.rounds[:n])
	c.rounds = c.rounds[n:]
	if len(c.rounds) == 0 {
		c.rounds = nil
	}
}

// expire ends the rounds that waited too long.
func (c *Cluster) expire(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for n < len(c.rounds) && !now.Before(c.rounds[n].deadline) {
		c.count.expired.Add(uint64(len(c.rounds[n].calls)))
		c.call(c.rounds[n].calls)
		n++
	}
	c.drop(n)
}

// end makes all calls that wait, for nobody will answer any more.
func (c *Cluster) end() {
	c.mu.Lock()
	for i := range c.rounds {
		c.call(c.rounds[i].calls)
	}
	if len(c.unsent) > 0 {
		c.call(c.unsent)
	}
	c.rounds, c.unsent, c.pending, c.ended = nil, nil, nil, true
	c.mu.Unlock()
	c.calls.Wait()
}
