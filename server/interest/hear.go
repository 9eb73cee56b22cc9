package interest

import (
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// firstWait is how long an answer may take before the question is repeated;
	// each time it may take twice as long as before, up to maxWait.
	firstWait = time.Second
	maxWait   = 16 * time.Second
)

// peer is another node that is heard.
type peer struct {
	member

	// Used by Deliver, Gap and Left, of which the bus calls one at a time.
	joined   bool
	snapshot *names // what has come so far of an answer, else nil

	// Guarded by Cluster.mu.
	nonce   uint64        // of the question that is open; 0: what is known is exact
	due     time.Time     // when it is asked again
	wait    time.Duration // until then, from the next time on
	applied uint64        // its changes before this number are known here
	acked   uint64        // our changes before this number are known there
	since   uint64        // the first round that waits for it
}

func (c *Cluster) peer(node string) *peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peers[node]
}

// Gap says that what is known of a node is in doubt. Calls of Gap, Left and Deliver
// must come one at a time.
func (c *Cluster) Gap(node string) {
	if node == c.self.name {
		return
	}
	c.mu.Lock()
	p := c.peers[node]
	if p == nil {
		p = &peer{member: c.sets.member(node, false), since: c.round, wait: firstWait}
		c.peers[node] = p
	}
	nonce := c.doubt(p, time.Now())
	c.mu.Unlock()
	c.ask(node, nonce)
}

// doubt opens a question and returns its nonce. It is called with mu held, by the
// one who delivers.
func (c *Cluster) doubt(p *peer, now time.Time) uint64 {
	p.snapshot = nil
	p.nonce = max(1, rand.Uint64())
	p.due = now.Add(p.wait)
	return p.nonce
}

func (c *Cluster) ask(node string, nonce uint64) {
	c.count.requestsSent.Add(1)
	c.sendFrame([]string{node}, appendRequest(nil, nonce))
}

// askAgain repeats the questions that were not answered in time.
func (c *Cluster) askAgain(now time.Time) {
	due := make(map[string]uint64)
	c.mu.Lock()
	for node, p := range c.peers {
		if p.nonce != 0 && !now.Before(p.due) {
			p.wait = min(2*p.wait, maxWait)
			p.due = now.Add(p.wait)
			due[node] = p.nonce
		}
	}
	c.mu.Unlock()
	for node, nonce := range due {
		c.ask(node, nonce)
	}
}

// Left says that a node is gone.
func (c *Cluster) Left(node string) {
	c.mu.Lock()
	p := c.peers[node]
	if p == nil {
		c.mu.Unlock()
		return
	}
	delete(c.peers, node)
	delete(c.requests, node)
	c.told = slices.DeleteFunc(slices.Clone(c.told), func(n string) bool { return n == node })
	c.settleRounds()
	c.mu.Unlock()
	if p.joined {
		c.setNode(node, false)
		c.replace(&p.member, nil, true)
		c.tellNodes(node, false)
	}
}

// Deliver takes a frame of another node. What cannot be understood puts the node in
// doubt.
func (c *Cluster) Deliver(node string, payload []byte) {
	p := c.peer(node)
	if p == nil {
		return // it left, or was not announced
	}
	f, err := decode(string(payload))
	if err != nil {
		c.distrust(p, err.Error())
		return
	}
	switch f.kind {
	case frameRequest:
		c.request(node, f.nonce)
	case frameBegin:
		c.begin(p, &f)
	case frameNames:
		c.hearNames(p, &f)
	case frameEnd:
		c.finish(p, &f)
	case frameChanges:
		c.hearChanges(p, &f)
	case frameAck:
		c.acknowledge(p, f.number)
	}
}

// distrust puts a node in doubt for what it sent. It is asked after a while only: it
// could send the same again.
func (c *Cluster) distrust(p *peer, why string) {
	c.count.malformed.Add(1)
	c.mu.Lock()
	asked := p.nonce != 0 && p.snapshot == nil
	if !asked {
		c.doubt(p, time.Now())
	}
	c.mu.Unlock()
	if !asked {
		c.Log.Error("another node cannot be understood; it will be asked for its interest again", "node", p.name, "err", why)
	}
}

func (c *Cluster) begin(p *peer, f *frame) {
	c.acknowledge(p, f.number)
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.nonce == p.nonce && f.nonce != 0 {
		p.snapshot = new(names)
		p.due = time.Now().Add(p.wait)
	}
}

func (c *Cluster) hearNames(p *peer, f *frame) {
	if p.snapshot == nil {
		return
	}
	for rest := f.changes; rest != ""; {
		var one change
		one, rest, _ = cutChange(rest)
		if one.kind >= kinds || !one.add {
			continue
		}
		i := c.tables[one.kind].index(one.name)
		list := &p.snapshot[one.kind][i]
		*list = append(*list, one.name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p.due = time.Now().Add(p.wait)
}

// finish applies a snapshot that is whole.
func (c *Cluster) finish(p *peer, f *frame) {
	whole := p.snapshot
	if whole == nil {
		return
	}
	p.snapshot = nil
	c.replace(&p.member, whole, p.joined)
	c.mu.Lock()
	p.nonce, p.wait, p.applied = 0, firstWait, f.number
	c.mu.Unlock()
	c.count.snapshotsReceived.Add(1)
	c.sendFrame([]string{p.name}, appendAck(nil, f.number))
	if !p.joined {
		p.joined = true
		c.setNode(p.name, true)
		c.tellNodes(p.name, true)
	}
	for _, f := range c.knew {
		f(p.name)
	}
}

func (c *Cluster) hearChanges(p *peer, f *frame) {
	c.mu.Lock()
	exact, applied := p.nonce == 0, p.applied
	c.mu.Unlock()
	switch {
	case !exact:
		return // they are in the snapshot to come
	case f.number != applied:
		c.distrust(p, "changes are missing")
		return
	}
	for rest := f.changes; rest != ""; {
		var one change
		one, rest, _ = cutChange(rest)
		if one.kind < kinds {
			c.change(one.kind, one.name, &p.member, one.add)
		}
	}
	c.mu.Lock()
	p.applied += f.count
	c.mu.Unlock()
	c.count.deltasReceived.Add(1)
	c.count.changesReceived.Add(f.count)
	if f.ack {
		c.sendFrame([]string{p.name}, appendAck(nil, f.number+f.count))
	}
}
