package bus

import (
	"context"
	"errors"
	"sync"
)

// Network joins nodes of one process, for tests and for a node on its own.
type Network struct {
	mu    sync.Mutex
	nodes map[string]*Memory // guarded by mu
}

// NewNetwork makes a network without nodes.
func NewNetwork() *Network { return &Network{nodes: make(map[string]*Memory)} }

// Memory is a Bus within one process.
type Memory struct {
	network *Network
	name    string
	wake    chan struct{}

	mu     sync.Mutex
	queue  []delivery // guarded by mu
	bytes  int        // guarded by mu
	closed bool       // guarded by mu
}

// delivery is a message, or else an event of the sender's life.
type delivery struct {
	from    string
	payload []byte
	event   func(r Receiver, node string)
}

// maxQueue bounds what may wait for a node, in bytes.
const maxQueue = 64 << 20

// ErrFull is returned by Send when a node does not keep up.
var ErrFull = errors.New("bus: too much is waiting for a node")

// Join makes the bus of a node. A name that is joined again replaces the first.
func (n *Network) Join(name string) *Memory {
	m := &Memory{network: n, name: name, wake: make(chan struct{}, 1)}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[name] = m
	return m
}

// Send implements Bus.
func (m *Memory) Send(nodes []string, payload []byte) error {
	var full error
	for _, name := range nodes {
		m.network.mu.Lock()
		to := m.network.nodes[name]
		m.network.mu.Unlock()
		if to != nil && to != m {
			full = errors.Join(full, to.put(delivery{from: m.name, payload: append([]byte(nil), payload...)}))
		}
	}
	return full
}

func (m *Memory) put(d delivery) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	if m.bytes > maxQueue && d.event == nil {
		return ErrFull
	}
	m.queue = append(m.queue, d)
	m.bytes += len(d.payload)
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return nil
}

// Run implements Bus.
func (m *Memory) Run(ctx context.Context, r Receiver) error {
	defer m.leave()
	m.network.mu.Lock()
	for name, other := range m.network.nodes {
		if other != m {
			_ = other.put(delivery{from: m.name, event: (Receiver).Gap}) // room was left for it
			_ = m.put(delivery{from: name, event: (Receiver).Gap})
		}
	}
	m.network.mu.Unlock()
	for {
		m.mu.Lock()
		queue := m.queue
		m.queue, m.bytes = nil, 0
		m.mu.Unlock()
		for _, d := range queue {
			if d.event != nil {
				d.event(r, d.from)
			} else {
				r.Deliver(d.from, d.payload)
			}
		}
		if len(queue) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
		}
	}
}

func (m *Memory) leave() {
	m.mu.Lock()
	m.closed = true
	m.queue = nil
	m.mu.Unlock()
	m.network.mu.Lock()
	defer m.network.mu.Unlock()
	if m.network.nodes[m.name] != m {
		return
	}
	delete(m.network.nodes, m.name)
	for _, other := range m.network.nodes {
		_ = other.put(delivery{from: m.name, event: (Receiver).Left}) // room was left for it
	}
}
