package backend

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestReadersWhileItChanges has requests use the Set while everything that can
// change it does; the race detector and the invariants judge.
func TestReadersWhileItChanges(t *testing.T) {
	var flip atomic.Int64
	d := Deps{
		Probe: func(_ context.Context, b Backend) error {
			if n := flip.Add(1); n%7 == 0 {
				return errors.New("no")
			}
			return nil
		},
		OnChange: func(Change) {},
		Polling:  func(string) int { return 1 },
	}
	c := Defaults()
	c.Interval, c.Timeout, c.Fall, c.Rise = 10*time.Millisecond, time.Second, 1, 1
	c.EjectFor, c.EjectMax, c.SlowStart, c.MaxInFlight = time.Millisecond, time.Second, 5*time.Millisecond, 3
	x := newSource("x")
	p, err := NewPool(c, d, static("a:1", "b:1", "c:1"), x)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()

	const rounds = 1000
	var readers, writers sync.WaitGroup
	var over atomic.Bool
	for r := range 4 {
		readers.Go(func() {
			for i := 0; !over.Load(); i++ {
				read(t, p.Set(), fmt.Appendf(nil, "%d %d", r, i))
			}
		})
	}
	writers.Go(func() {
		for i := range rounds {
			list := []string{"d:1", "e:1", "f:1"}[i%3:]
			select {
			case x.lists <- static(list...).backends:
			case <-ctx.Done():
			}
		}
	})
	writers.Go(func() {
		for range rounds {
			_ = p.Drain("a:1")
			_ = p.Undrain("a:1")
			p.Snapshot()
			p.Sources()
		}
	})
	writers.Go(func() {
		for range rounds / 10 {
			if err := p.Reload(c, static("a:1", "b:1", "c:1"), x); err != nil {
				t.Error(err)
			}
		}
	})
	writers.Wait()
	over.Store(true)
	readers.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, s := range p.Snapshot() {
		if s.Tunnels != 0 || s.InFlight != 0 {
			t.Errorf("%s is left with %d tunnels, %d in flight", s.ID, s.Tunnels, s.InFlight)
		}
	}
}

// read does what a request does.
func read(t *testing.T, s *Set, key []byte) {
	seen := map[string]bool{}
	for m := range s.Least(2) {
		if seen[m.ID] || m.State == Down || m.State == Draining {
			t.Errorf("Least yields %s, which is %v, seen %v", m.ID, m.State, seen[m.ID])
		}
		seen[m.ID] = true
		if m.Acquire() {
			if m.InFlight() > 3 {
				t.Errorf("%d in flight", m.InFlight())
			}
			m.OpenSession()
			m.Report(Outcome(len(key) % 4))
			m.CloseSession()
			m.Release()
		}
	}
	ranked := 0
	for m := range s.Ranked(key) {
		ranked++
		if found, ok := s.Get(m.ID); !ok || found != m {
			t.Errorf("Get(%s) finds another", m.ID)
		}
	}
	if ranked != len(seen) {
		t.Errorf("Ranked yields %d, Least %d", ranked, len(seen))
	}
}
