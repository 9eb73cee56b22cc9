package affinity

import (
	"context"
	"crypto/rand"
	"sync"
	"time"
)

// Memory is a Table in the memory of one process: the default for a single
// replica. See NewMemory.
type Memory struct {
	mu   sync.Mutex
	pins map[Key]Pin
	ends map[Key]time.Time

	secret [32]byte
}

// NewMemory returns a table of at most max pins; 0 means 1,000,000. A full
// table gives up the pin that is soonest to expire, that is the one longest out
// of use, and counts it.
func NewMemory(max int) *Memory {
	m := &Memory{pins: make(map[Key]Pin), ends: make(map[Key]time.Time)}
	_, _ = rand.Read(m.secret[:])
	return m
}

// Get implements Table.
func (m *Memory) Get(_ context.Context, key Key) (Pin, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.pins[key]
	if !ok || !time.Now().Before(m.ends[key]) {
		return Pin{}, ErrNotFound
	}
	return p, nil
}

// Put implements Table.
func (m *Memory) Put(_ context.Context, pins []Pin) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := make([]string, len(pins))
	for i, p := range pins {
		old, ok := m.pins[p.Key]
		if ok && time.Now().Before(m.ends[p.Key]) && old.Backend != p.Backend && old.Backend != p.From {
			kept[i] = old.Backend
			continue
		}
		p.From = ""
		m.pins[p.Key], m.ends[p.Key], kept[i] = p, time.Now().Add(p.Life), p.Backend
	}
	return kept, nil
}

// Delete implements Table.
func (m *Memory) Delete(_ context.Context, pins []Pin) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range pins {
		if p.Backend == "" || m.pins[p.Key].Backend == p.Backend {
			delete(m.pins, p.Key)
			delete(m.ends, p.Key)
		}
	}
	return nil
}

// Check implements Table; it never fails.
func (m *Memory) Check(context.Context) (string, error) { return "memory", nil }

// SharedSecret returns 32 random bytes that stay the same for this process.
func (m *Memory) SharedSecret(context.Context) ([]byte, error) { return m.secret[:], nil }
