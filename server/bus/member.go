package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// tick is how often what is due is looked at.
	tick = 250 * time.Millisecond
	// announceEvery is how often a node announces itself.
	announceEvery = time.Second
	// firstWait and maxWait bound the pause before a broken way is tried again.
	firstWait = 50 * time.Millisecond
	maxWait   = time.Second
	// publishTimeout bounds one publication.
	publishTimeout = 3 * time.Second
	// leaveGrace is what a node that stops may take to send what waits.
	leaveGrace = 2 * time.Second
	// DefaultLease is how long a node may be silent before it is gone.
	DefaultLease = 6 * time.Second
)

var errSilent = errors.New("what this node says does not come back")

// transport brings messages to addresses. It may lose them and bring them twice; what
// goes to one address keeps its order.
type transport interface {
	// address returns where a node hears; that of "" is heard by all.
	address(node string) string
	// publish brings messages to those that listen. After an error each of them
	// may have arrived or not.
	publish(ctx context.Context, batch []parcel) error
	// listen calls ready when all that is published from then on to node and to
	// all is heard, and hear with each message, which it may not keep. It
	// returns when that ends, or ctx does.
	listen(ctx context.Context, node string, ready func(), hear func(data []byte)) error
}

// Stats are counted since the start, but for the last two.
type Stats struct {
	// MessagesSent and MessagesReceived are payloads, a payload to three nodes
	// being three.
	MessagesSent, MessagesReceived uint64
	// BytesSent and BytesReceived include what surrounds the payloads.
	BytesSent, BytesReceived uint64
	// Published are the messages that payloads were joined into, Batches the
	// round trips that took.
	Published, Batches uint64
	// Dropped are payloads that were not sent: too much was waiting, or they
	// waited too long.
	Dropped uint64
	// Gaps are losses that the receiver was told, beginnings not counted.
	Gaps uint64
	// Reconnects count how often the bus came back.
	Reconnects uint64
	// Malformed are messages of no node.
	Malformed uint64
	// Peers are the nodes heard, Queued the bytes that wait.
	Peers, Queued int
}

// member is a node's end of the bus, over any transport.
type member struct {
	name      string
	transport transport
	in        *peers
	out       *outbox
	started   atomic.Bool

	mu   sync.Mutex
	last error // guarded by mu: of publishing
}

func newMember(name string, t transport, lease time.Duration, log *slog.Logger) *member {
	incarnation := newIncarnation()
	out := newOutbox(name, incarnation, t.address)
	return &member{name: name, transport: t, out: out, in: newPeers(name, incarnation, lease, log, out)}
}

// incarnations is the last that this process gave.
var incarnations atomic.Uint64

// newIncarnation returns a number that is greater than those of earlier runs, as far
// as clocks agree, and that no other node has: a time in units of 16 ms and 26 random
// bits.
func newIncarnation() uint64 {
	for {
		last := incarnations.Load()
		next := max(last+1, uint64(time.Now().UnixMilli())>>4<<26|uint64(rand.Uint32N(1<<26)))
		if incarnations.CompareAndSwap(last, next) {
			return next
		}
	}
}

// Send implements Bus. What exceeds the 64 MiB that may wait is dropped, which is a
// gap to the nodes that miss it and no error; a payload of more than 31 MiB is one.
func (m *member) Send(nodes []string, payload []byte) error { return m.out.send(nodes, payload) }

// Verdict takes the opinion of somebody else who watches the nodes. While it is that
// a node is alive, silence on the bus does not make the node gone. A node that is said
// to be dead is gone if it is not heard for two seconds after that; if it is heard,
// the opinion counts no more.
func (m *member) Verdict(node string, alive bool) { m.in.opinions.set(node, alive) }

// Connected reports whether what this node says reaches the others, as far as it can
// tell by hearing it itself, and no later node of its name.
func (m *member) Connected() bool { return m.in.connected.Load() && !m.in.replaced.Load() }

// Stats returns what was counted.
func (m *member) Stats() Stats {
	m.out.mu.Lock()
	s := m.out.stats
	s.Queued = m.out.bytes
	m.out.mu.Unlock()
	s.MessagesReceived, s.BytesReceived = m.in.messages.Load(), m.in.bytes.Load()
	s.Gaps, s.Malformed = m.in.gaps.Load(), m.in.malformed.Load()
	s.Reconnects, s.Peers = m.in.reconnects.Load(), int(m.in.told.Load())
	return s
}

// Run implements Bus. It can be called once.
func (m *member) Run(ctx context.Context, r Receiver) error {
	if m.name == "" || len(m.name) > maxName {
		return fmt.Errorf("bus: the name of a node has %d bytes; 1 to %d are possible", len(m.name), maxName)
	}
	if m.started.Swap(true) {
		return errors.New("bus: Run was called twice")
	}
	m.in.open(r)
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var running sync.WaitGroup
	running.Go(func() { m.write(ctx, life) })
	running.Go(func() { m.listen(ctx) })
	<-ctx.Done()
	m.in.close()
	m.in.connected.Store(false)
	grace := time.AfterFunc(leaveGrace, end)
	running.Wait()
	grace.Stop()
	return nil
}

// listen hears the others, again and again where that ends.
func (m *member) listen(ctx context.Context) {
	wait := firstWait
	for ctx.Err() == nil {
		err := m.hearing(ctx, func() { wait = firstWait })
		if ctx.Err() == nil {
			m.in.down(err)
		}
		sleep(ctx, wait)
		wait = min(2*wait, maxWait)
	}
}

// hearing is one subscription. It ends by itself, or when it turns out to be dead.
func (m *member) hearing(ctx context.Context, ready func()) error {
	session, end := context.WithCancelCause(ctx)
	m.in.begin()
	var watching sync.WaitGroup
	watching.Go(func() { m.watch(session, end) })
	defer watching.Wait()
	defer end(nil)
	err := m.transport.listen(session, m.name, func() {
		ready()
		m.in.begin()
		m.out.announce(flagHello)
	}, m.in.hear)
	if context.Cause(session) == errSilent {
		err = cmp.Or(m.failing(), errSilent)
	}
	return err
}

// watch looks at what is due.
func (m *member) watch(ctx context.Context, end func(error)) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			m.in.check(now)
			if m.in.silent(now, m.failing() != nil) {
				end(errSilent)
				return
			}
		}
	}
}

// failing returns how the last publication failed.
func (m *member) failing() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// write publishes what is queued, and that this node is here, until ctx ends; then what
// is left and that this node leaves, for as long as life does not end. It does not wait
// for the receiver, so a node that is held up there is not taken to be gone.
func (m *member) write(ctx, life context.Context) {
	var batch []parcel
	announce := time.NewTicker(announceEvery)
	defer announce.Stop()
	for {
		select {
		case <-ctx.Done():
			m.out.announce(flagLeave)
			m.out.close()
			m.flush(life, batch)
			return
		case <-announce.C:
			m.out.announce(0)
		case <-m.out.wake:
			batch = m.flush(life, batch)
		}
	}
}

// flush publishes until nothing waits. It returns batch to be used again.
func (m *member) flush(life context.Context, batch []parcel) []parcel {
	for life.Err() == nil {
		if batch = m.out.take(batch[:0]); len(batch) > 0 {
			m.publish(life, batch)
		}
		p, ok := m.out.announcement()
		if ok {
			m.announce(life, p)
		} else if len(batch) == 0 {
			break
		}
	}
	return batch[:0]
}

// publish tries a batch until it is published or too old.
func (m *member) publish(life context.Context, batch []parcel) {
	for wait := firstWait; len(batch) > 0 && life.Err() == nil; wait = min(2*wait, maxWait) {
		if m.try(life, batch) {
			m.out.published(batch)
			return
		}
		sleep(life, wait)
		batch = m.out.expire(batch)
	}
}

func (m *member) announce(life context.Context, p parcel) {
	one := []parcel{p}
	if m.try(life, one) {
		m.out.published(one)
		return
	}
	if m.out.unannounced(p) {
		sleep(life, firstWait)
	}
}

func (m *member) try(life context.Context, batch []parcel) bool {
	ctx, cancel := context.WithTimeout(life, publishTimeout)
	defer cancel()
	err := m.transport.publish(ctx, batch)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = err
	return err == nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
