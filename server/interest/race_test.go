package interest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// pipe carries frames to a registry, one at a time. It grows as it must.
type pipe struct {
	mu     sync.Mutex
	queue  [][]byte
	wake   chan struct{}
	gap    bool
	closed bool
}

func (p *pipe) put(payload []byte, gap, closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if payload != nil {
		p.queue = append(p.queue, slices.Clone(payload))
	}
	p.gap, p.closed = p.gap || gap, p.closed || closed
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// carry brings what is put to c as of a node, until the pipe is closed. A gap loses
// what was on its way.
func (p *pipe) carry(c *Cluster, node string) {
	for range p.wake {
		p.mu.Lock()
		queue, gap, closed := p.queue, p.gap, p.closed
		p.queue, p.gap = nil, false
		p.mu.Unlock()
		if gap {
			c.Gap(node)
			queue = nil
		}
		for _, payload := range queue {
			c.Deliver(node, payload)
		}
		if closed {
			return
		}
	}
}

// TestAnswerWhileChanging has a node asked for all, again and again, while what it
// wants changes in many goroutines. The other ends with what it wants, and never
// hears that it gave up what it always wanted.
func TestAnswerWhileChanging(t *testing.T) {
	toA, toB := &pipe{wake: make(chan struct{}, 1)}, &pipe{wake: make(chan struct{}, 1)}
	a := NewCluster("a", func(_ []string, payload []byte) error { toB.put(payload, false, false); return nil })
	whole := make(chan struct{}, 1)
	b := NewCluster("b", func(_ []string, payload []byte) error {
		toA.put(payload, false, false)
		if payload[0] == frameAck {
			select {
			case whole <- struct{}{}:
			default:
			}
		}
		return nil
	})
	a.Log, b.Log = slog.New(slog.DiscardHandler), slog.New(slog.DiscardHandler)
	const stable, changing, rounds = 5000, 200, 100
	b.Watch(Users, func(name string, wanted bool) {
		if !wanted {
			t.Errorf("heard that %s is gone", name)
		}
	})
	last := make(map[string]bool)
	var mu sync.Mutex
	b.Watch(Events, func(name string, wanted bool) {
		mu.Lock()
		defer mu.Unlock()
		if last[name] == wanted {
			t.Errorf("heard twice that %s is wanted: %t", name, wanted)
		}
		last[name] = wanted
	})
	for i := range stable {
		a.Add(Users, fmt.Sprint(i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = a.Run(ctx) })
	running.Go(func() { _ = b.Run(ctx) })
	running.Go(func() { toA.carry(a, "b") })
	running.Go(func() { toB.carry(b, "a") })
	toA.put(nil, true, false)
	toB.put(nil, true, false)

	var writers sync.WaitGroup
	var stop atomic.Bool
	for w := range 4 {
		writers.Go(func() {
			for i := 0; i < 1000 || !stop.Load(); i++ {
				name := fmt.Sprintf("%d %d", w, i%changing)
				if i/changing%2 == 0 {
					a.Add(Events, name)
				} else {
					a.Remove(Events, name)
				}
			}
		})
	}
	for range rounds {
		toB.put(nil, true, false)
		_ = b.Names(Events)
		_ = b.Others(Users, "7")
		<-whole
	}
	stop.Store(true)
	writers.Wait()
	settled := make(chan struct{})
	a.Settle(func() { close(settled) })
	<-settled
	want, got := a.Names(Events), b.Names(Events)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) || len(b.Names(Users)) != stable {
		t.Errorf("one wants %d names, the other knows %d, and %d of %d that stay", len(want), len(got), len(b.Names(Users)), stable)
	}
	if s := b.Stats(); s.Malformed > 0 {
		t.Errorf("%+v", s)
	}
	toA.put(nil, false, true)
	toB.put(nil, false, true)
	cancel()
	running.Wait()
}
