package interest

import (
	"context"
	"slices"
	"time"
)

const (
	// flushInterval is the shortest time between two flushes: what changes meanwhile
	// is sent together. The first change after a pause is sent at once.
	flushInterval = time.Millisecond
	// tickInterval is how often is looked at what is due.
	tickInterval = 250 * time.Millisecond
	// maxBurst is how much of a snapshot is sent at once, in bytes for all nodes
	// together, and burstPause what there is between: the bus drops what too much
	// is waiting for.
	maxBurst   = 8 << 20
	burstPause = 50 * time.Millisecond
	// settleTimeout bounds how long Settle waits for nodes that do not answer.
	settleTimeout = 10 * time.Second
)

// Run sends what changes until ctx ends. Calls of Settle that wait then are made.
func (c *Cluster) Run(ctx context.Context) error {
	defer c.end()
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			c.askAgain(now)
			c.expire(now)
		case <-c.wake:
			c.flush(ctx)
			sleep(ctx, flushInterval)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (c *Cluster) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *Cluster) sendFrame(nodes []string, payload []byte) {
	if err := c.send(nodes, payload); err != nil {
		c.Log.Error("interest did not reach other nodes", "nodes", len(nodes), "bytes", len(payload), "err", err)
	}
}

// tell has the others told of a change of this node's. It is called under the lock
// of the name's shard, so changes of a name come in order.
func (c *Cluster) tell(one change) {
	if len(one.name) > maxName {
		c.count.tooLong.Add(1)
		c.Log.Error("a name is too long for other nodes", "kind", one.kind.String(), "bytes", len(one.name), "limit", maxName)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// A node that is not told yet will ask, and the answer will have the name.
	if len(c.told) > 0 && !c.ended {
		c.pending = append(c.pending, one)
		c.signal()
	}
}

// request has a node told all, and from then on of changes.
func (c *Cluster) request(node string, nonce uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests[node] = nonce
	c.signal()
}

// question is a request that is about to be answered.
type question struct {
	node  string
	nonce uint64
	acked uint64
}

// flush sends what has gathered.
func (c *Cluster) flush(ctx context.Context) {
	c.mu.Lock()
	changes, told, first := c.pending, c.told, c.number
	c.pending = nil
	c.number += uint64(len(changes))
	ack := len(c.unsent) > 0
	if ack {
		c.rounds = append(c.rounds, round{c.round, c.number, c.unsent, time.Now().Add(settleTimeout)})
		c.round++
		c.unsent = nil
		c.settleRounds()
		ack = len(c.rounds) > 0
	}
	questions := c.questions()
	next := c.number
	c.mu.Unlock()
	if len(told) > 0 && (len(changes) > 0 || ack) {
		c.sendChanges(told, first, changes, ack)
	}
	if len(questions) > 0 {
		c.sendSnapshot(ctx, questions, next)
	}
}

// questions takes the requests there are; those who ask are told of changes from now
// on. It is called with mu held.
func (c *Cluster) questions() []question {
	if len(c.requests) == 0 {
		return nil
	}
	list := make([]question, 0, len(c.requests))
	told := slices.Clone(c.told)
	for node, nonce := range c.requests {
		list = append(list, question{node, nonce, c.peers[node].applied})
		if !slices.Contains(told, node) {
			told = append(told, node)
		}
	}
	c.told = told
	clear(c.requests)
	return list
}

// sendChanges sends changes in as many frames as it takes, at least one.
func (c *Cluster) sendChanges(nodes []string, number uint64, changes []change, ack bool) {
	c.count.changesSent.Add(uint64(len(changes)))
	for first := true; first || len(changes) > 0; first = false {
		n, size := 0, 0
		for n < len(changes) && (n == 0 || size+changes[n].size() < maxFrame-16) {
			size += changes[n].size()
			n++
		}
		b := appendChanges(make([]byte, 0, size+16), ack && n == len(changes), number)
		for i := range changes[:n] {
			b = changes[i].append(b)
		}
		c.sendFrame(nodes, b)
		c.count.deltasSent.Add(1)
		changes, number = changes[n:], number+uint64(n)
	}
}

// sendSnapshot answers with all that this node wants. It contains the changes before
// number; those from number on are sent after it.
func (c *Cluster) sendSnapshot(ctx context.Context, questions []question, number uint64) {
	nodes := make([]string, len(questions))
	for i, q := range questions {
		nodes[i] = q.node
		c.sendFrame(nodes[i:i+1], appendBegin(nil, q.nonce, q.acked))
	}
	b := append(make([]byte, 0, maxFrame), frameNames)
	burst := 0
	send := func() {
		c.sendFrame(nodes, b)
		if burst += len(b) * len(nodes); burst > maxBurst {
			burst = 0
			sleep(ctx, burstPause)
		}
		b = b[:1]
	}
	var list []string
	for k := range kinds {
		for i := range c.tables[k].shards {
			list = c.tables[k].shards[i].append(list[:0], true)
			for _, name := range list {
				one := change{k, true, name}
				if len(name) > maxName {
					continue
				}
				if len(b) > 1 && len(b)+one.size() > maxFrame {
					send()
				}
				b = one.append(b)
			}
		}
	}
	if len(b) > 1 {
		send()
	}
	c.sendFrame(nodes, appendEnd(nil, number))
	c.count.snapshotsSent.Add(uint64(len(nodes)))
}
