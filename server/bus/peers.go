package bus

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxPeers bounds the nodes that are known. What others say in a channel must
	// not make a node grow.
	maxPeers = 1000
	// maxRetired is how many incarnations are remembered that are not to be heard.
	maxRetired = 256
	// lateGrace is how long after an incarnation took the place of another, what
	// comes of the other is taken to be late.
	lateGrace = 2 * time.Second
	// claimGrace is what an announcement may be ahead of the messages that it
	// counts: in a Redis Cluster the two come different ways.
	claimGrace = 400 * time.Millisecond
	// verdictGrace is how long a node that is said to be dead may prove that it
	// is not.
	verdictGrace = 2 * time.Second
	// maxSilence is how long a node goes without hearing anything before it takes
	// the way to the others to be broken.
	maxSilence = 3 * time.Second
	// maxLag is how far a node that hears others may be behind with what it says
	// itself. It is more, because that is what a node sees that cannot keep up:
	// to give up what is on its way would only be more work. But what is later
	// than that is worth less than a gap.
	maxLag = 15 * time.Second
)

// peer is another node that is heard.
type peer struct {
	name        string
	incarnation uint64
	heard       time.Time

	// told says that the receiver knows of it. It does not before the peer has
	// begun to send to this node, for what it sends from then on counts.
	told bool
	// next is the number of the message to come.
	next uint64
	// claim is the last number that the peer says it sent, if it is not here yet.
	claim   uint64
	claimed time.Time
}

// retiree is an incarnation that is not to be heard: its node said that it leaves, or
// a later one has its name. That may be another node, by mistake, or one that was
// started in place of this one while it was cut off and not dead. So one that has only
// been replaced is heard again if it still speaks when nobody else has the name.
type retiree struct {
	incarnation uint64
	left        bool
	at          time.Time
}

// peers hears the other nodes and tells the receiver what there is to tell. Lock
// order: peers.mu, then outbox.mu.
type peers struct {
	self        string
	incarnation uint64
	lease       time.Duration
	log         *slog.Logger
	out         *outbox

	opinions opinions

	mu       sync.Mutex
	receiver Receiver         // guarded by mu: nil before and after Run
	peers    map[string]*peer // guarded by mu
	retired  []retiree        // guarded by mu: a ring
	oldest   int              // guarded by mu: the place in retired to use next
	up       bool             // guarded by mu: what this node says comes back to it
	inTime   time.Time        // guarded by mu: since when it does without delay
	echo     time.Time        // guarded by mu: when it last did, or was first hoped for
	last     time.Time        // guarded by mu: when anything came, or was first hoped for
	away     bool             // guarded by mu: that it does not was logged
	double   uint64           // guarded by mu: an incarnation with this node's name
	doubled  time.Time        // guarded by mu: when it was last heard
	crowded  bool             // guarded by mu: peers were turned away, and that was logged

	messages, bytes, gaps, malformed, reconnects atomic.Uint64
	told                                         atomic.Int64 // peers that the receiver knows of
	connected                                    atomic.Bool
	replaced                                     atomic.Bool // a later incarnation with this name is heard
}

func newPeers(self string, incarnation uint64, lease time.Duration, log *slog.Logger, out *outbox) *peers {
	return &peers{self: self, incarnation: incarnation, lease: lease, log: log, out: out, peers: make(map[string]*peer)}
}

// open has r told what is heard; close that nobody is any more.
func (p *peers) open(r Receiver) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.receiver = r
}

func (p *peers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.receiver = nil
}

// hear takes a message from the transport.
func (p *peers) hear(data []byte) {
	p.bytes.Add(uint64(len(data)))
	var e envelope
	if e.decode(data) != nil {
		p.malformed.Add(1)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.receiver == nil {
		return
	}
	p.last = time.Now()
	if string(e.name) == p.self {
		p.hearSelf(&e)
		return
	}
	if e.kind == kindData && e.to != p.incarnation {
		return // meant for an earlier node of this name
	}
	if e.kind == kindAnnounce && e.flags&flagLeave != 0 {
		p.hearLeave(&e)
		return
	}
	q, fresh := p.admit(&e)
	if q == nil {
		return
	}
	q.heard = p.last
	if e.kind == kindData {
		p.hearData(q, &e)
	} else {
		p.hearAnnouncement(q, &e)
	}
	if fresh || e.flags&flagHello != 0 {
		p.out.answer(q.name)
	}
}

// admit returns the peer that sent a message, nil if it cannot be one, and whether it
// was not known before.
func (p *peers) admit(e *envelope) (q *peer, fresh bool) {
	q = p.peers[string(e.name)]
	if q != nil && q.incarnation == e.from {
		return q, false
	}
	if r := p.retiree(e.from); r != nil && (r.left || p.last.Sub(r.at) < lateGrace) {
		return nil, false
	}
	switch {
	case q == nil:
	case e.from > q.incarnation:
		p.retire(q.incarnation, false)
		p.left(q)
	case p.last.Sub(q.heard) < p.lease:
		return nil, false // an earlier run, heard late, or the other of two nodes
	default: // a later run, by a clock that was behind, or the one of two that is left
		p.left(q)
	}
	if len(p.peers) >= maxPeers {
		if !p.crowded {
			p.crowded = true
			p.log.Warn("there are too many nodes on the bus; this node hears no more of them", "limit", maxPeers, "node", string(e.name))
		}
		return nil, false
	}
	q = &peer{name: string(e.name), incarnation: e.from}
	p.peers[q.name] = q
	p.out.begin(q.name, q.incarnation)
	return q, true
}

func (p *peers) hearData(q *peer, e *envelope) {
	if e.number < q.next {
		return // a second time, or long given up
	}
	if e.number != q.next {
		p.gap(q)
	}
	q.next = e.number + 1
	if q.claim < q.next {
		q.claim = 0
	}
	for data := e.payloads; len(data) > 0; {
		var payload []byte
		payload, data, _ = cutBytes(data, maxPayload)
		p.messages.Add(1)
		p.receiver.Deliver(q.name, payload)
	}
}

func (p *peers) hearAnnouncement(q *peer, e *envelope) {
	last, listed := e.mark(p.incarnation)
	switch {
	case !listed || last < q.next:
	case !q.told || e.flags&flagInOrder != 0:
		q.next = last + 1
		p.gap(q)
	case q.claim == 0:
		q.claim, q.claimed = last, q.heard
	}
}

// gap says that a peer is heard for the first time, or that messages of it were lost.
func (p *peers) gap(q *peer) {
	if q.told {
		p.gaps.Add(1)
	} else {
		p.told.Add(1)
	}
	q.told, q.claim = true, 0
	p.receiver.Gap(q.name)
}

func (p *peers) hearLeave(e *envelope) {
	if q := p.peers[string(e.name)]; q != nil && q.incarnation == e.from {
		p.left(q)
	}
	p.retire(e.from, true)
}

func (p *peers) left(q *peer) {
	delete(p.peers, q.name)
	p.out.drop(q.name)
	if q.told {
		p.told.Add(-1)
		p.receiver.Left(q.name)
	}
}

// retiree returns what is remembered of an incarnation that is not to be heard.
func (p *peers) retiree(incarnation uint64) *retiree {
	for i := range p.retired {
		if p.retired[i].incarnation == incarnation {
			return &p.retired[i]
		}
	}
	return nil
}

// retire remembers that an incarnation is not to be heard, so that nothing late revives
// it.
func (p *peers) retire(incarnation uint64, left bool) {
	now := retiree{incarnation, left, p.last}
	if r := p.retiree(incarnation); r != nil {
		now.left = left || r.left
		*r = now
		return
	}
	if len(p.retired) < maxRetired {
		p.retired = append(p.retired, now)
		return
	}
	p.retired[p.oldest] = now
	p.oldest = (p.oldest + 1) % maxRetired
}

// hearSelf takes what this node said itself: so long as that comes back, the way to
// the others works.
func (p *peers) hearSelf(e *envelope) {
	if e.from != p.incarnation {
		p.hearDouble(e)
		return
	}
	if !p.up || p.last.Sub(p.echo) > maxSilence {
		p.inTime = p.last
	}
	p.echo = p.last
	if p.up {
		return
	}
	p.up = true
	p.connected.Store(true)
	if p.away {
		p.away = false
		p.reconnects.Add(1)
		p.log.Info("the bus is back", "node", p.self)
	}
}

// hearDouble takes what another node says that has the name of this one.
func (p *peers) hearDouble(e *envelope) {
	switch {
	case e.flags&flagLeave == 0:
		if p.double == 0 {
			p.log.Error("another node on the bus has the name of this one; only the later one is heard, names must differ",
				"node", p.self, "later", e.from > p.incarnation)
		}
		p.double, p.doubled = e.from, p.last
		p.replaced.Store(e.from > p.incarnation)
	case p.double == e.from:
		p.single()
	}
}

// single says that no other node has the name of this one any more.
func (p *peers) single() {
	p.double = 0
	p.replaced.Store(false)
	p.log.Info("this node has its name for itself again", "node", p.self)
}

// begin has the wait for what is to be heard begin anew.
func (p *peers) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
	p.echo = p.last
}

// down says that the way to the others ended.
func (p *peers) down(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up = false
	p.connected.Store(false)
	if !p.away {
		p.away = true
		p.log.Warn("the bus is away; this node goes on alone and tries again", "node", p.self, "err", err)
	}
}

// silent reports whether the way to this node is broken: nothing comes, or not what it
// says itself. What it says may be late, unless it is known that saying it failed.
func (p *peers) silent(now time.Time, failing bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	lag := maxLag
	if failing {
		lag = maxSilence
	}
	return now.Sub(p.last) > maxSilence || now.Sub(p.echo) > lag
}

// check gives up what is due: messages that did not come, nodes that are not heard.
func (p *peers) check(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.receiver == nil || !p.up || now.Sub(p.last) > maxSilence {
		return
	}
	for _, q := range p.peers {
		switch {
		case p.gone(q, now):
			p.left(q)
		case q.claim != 0 && now.Sub(q.claimed) >= claimGrace:
			q.next = q.claim + 1
			p.gap(q)
		}
	}
	if p.double != 0 && now.Sub(later(p.doubled, p.inTime)) >= p.lease {
		p.single()
	}
	p.opinions.tidy(now, func(node string) bool { return p.peers[node] != nil })
}

// gone decides whether a silent peer is no more. While this node could not hear anybody
// no time passes for the others, and while it is behind their silence says nothing.
func (p *peers) gone(q *peer, now time.Time) bool {
	behind := now.Sub(p.echo) > maxSilence
	opinion, at := p.opinions.of(q.name)
	switch {
	case opinion == dead && !q.heard.After(at):
		return now.Sub(later(at, p.inTime)) >= verdictGrace
	case opinion == dead && !behind:
		p.opinions.forget(q.name)
	case opinion == alive:
		return false
	}
	return !behind && now.Sub(later(q.heard, p.inTime)) >= p.lease
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
