package bus

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Network joins nodes of one process, for tests, for simulations and for a node on its
// own. It carries the same protocol as Redis does, and can do to messages what a
// network does.
type Network struct {
	mu        sync.Mutex
	fate      func(from, to string) Fate // guarded by mu
	listening map[string][]*inbox        // guarded by mu: by address
	away      bool                       // guarded by mu
}

// Fate is what happens to a message on its way. The zero value is what should.
type Fate struct {
	// Lost never arrives, Twice does so two times.
	Lost, Twice bool
	// Delay is how long it takes. Messages of one node to another keep their order.
	Delay time.Duration
}

// NewNetwork makes a network without nodes.
func NewNetwork() *Network { return &Network{listening: make(map[string][]*inbox)} }

// SetFate has f decide about each message from a node to another; nil has all arrive
// at once. It is called under a lock and may not call the network.
func (n *Network) SetFate(f func(from, to string) Fate) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fate = f
}

// SetAway takes the network away: nothing can be sent, nothing is heard.
func (n *Network) SetAway(away bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.away = away
	if away {
		for _, boxes := range n.listening {
			for _, b := range boxes {
				b.cut()
			}
		}
	}
}

// Memory is a Bus within one process.
type Memory struct{ *member }

// Join makes the bus of a node.
func (n *Network) Join(name string) *Memory {
	return &Memory{newMember(name, &line{network: n, node: name}, DefaultLease, slog.New(slog.DiscardHandler))}
}

// line is the transport of one node. Addresses are names of nodes.
type line struct {
	network *Network
	node    string
}

var errAway = errors.New("the network is away")

func (l *line) address(node string) string { return node }

func (l *line) publish(_ context.Context, batch []parcel) error {
	n := l.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.away {
		return errAway
	}
	for i := range batch {
		for _, b := range n.listening[batch[i].to] {
			var f Fate
			if n.fate != nil && b.node != l.node {
				f = n.fate(l.node, b.node)
			}
			if f.Lost {
				continue
			}
			b.put(l.node, batch[i].data, f.Delay)
			if f.Twice {
				b.put(l.node, batch[i].data, f.Delay)
			}
		}
	}
	return nil
}

func (l *line) listen(ctx context.Context, node string, ready func(), hear func(data []byte)) error {
	b := &inbox{node: node, wake: make(chan struct{}, 1), last: make(map[string]time.Time)}
	if !l.network.add(b) {
		return errAway
	}
	defer l.network.remove(b)
	ready()
	for {
		arrived, next, ended := b.take()
		for _, data := range arrived {
			if ctx.Err() != nil {
				return ctx.Err() // what was not read is lost
			}
			hear(data)
		}
		if ended {
			return errAway
		}
		if len(arrived) > 0 {
			continue
		}
		if err := b.wait(ctx, next); err != nil {
			return err
		}
	}
}

func (n *Network) add(b *inbox) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.away {
		return false
	}
	for _, address := range []string{b.node, ""} {
		n.listening[address] = append(n.listening[address], b)
	}
	return true
}

func (n *Network) remove(b *inbox) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, address := range []string{b.node, ""} {
		rest := slices.DeleteFunc(n.listening[address], func(o *inbox) bool { return o == b })
		if len(rest) == 0 {
			delete(n.listening, address)
		} else {
			n.listening[address] = rest
		}
	}
}

// inbox is what is on its way to a node.
type inbox struct {
	node string
	wake chan struct{}

	mu    sync.Mutex
	queue []arrival            // guarded by mu: by the time of arrival
	bytes int                  // guarded by mu
	last  map[string]time.Time // guarded by mu: the last arrival from a node
	ended bool                 // guarded by mu
}

type arrival struct {
	data []byte
	at   time.Time
}

// put adds a message, unless too much is waiting already.
func (b *inbox) put(from string, data []byte, delay time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes+len(data) > maxQueue {
		return
	}
	at := time.Now().Add(delay)
	if b.last[from].After(at) {
		at = b.last[from]
	}
	b.last[from] = at
	i := len(b.queue)
	for i > 0 && b.queue[i-1].at.After(at) {
		i--
	}
	b.queue = slices.Insert(b.queue, i, arrival{slices.Clone(data), at})
	b.bytes += len(data)
	b.signal()
}

func (b *inbox) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.signal()
}

func (b *inbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take returns what has arrived, and how long it is until more does.
func (b *inbox) take() (arrived [][]byte, next time.Duration, ended bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for len(b.queue) > 0 && !b.queue[0].at.After(now) {
		arrived = append(arrived, b.queue[0].data)
		b.bytes -= len(b.queue[0].data)
		b.queue = b.queue[1:]
	}
	if len(b.queue) > 0 {
		next = b.queue[0].at.Sub(now)
	}
	return arrived, next, b.ended
}

// wait returns when something may have arrived; next is 0 if nothing is on its way.
func (b *inbox) wait(ctx context.Context, next time.Duration) error {
	var timer <-chan time.Time
	if next > 0 {
		t := time.NewTimer(next)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-b.wake:
	case <-timer:
	}
	return nil
}
