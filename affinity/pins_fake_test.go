package affinity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// faultTable is a table in memory that can be slow, away, full, or lose its
// contents, and counts what it is asked.
type faultTable struct {
	mu         sync.Mutex
	memory     *Memory
	generation int
	away       error         // the answer to everything
	full       bool          // no writes but renewals
	delay      time.Duration // before each answer
	calls      map[string]int
	onPut      func() // called before a Put takes effect
	afterPut   func() // called after a Put took effect
}

func newFaultTable() *faultTable {
	return &faultTable{memory: NewMemory(0), calls: make(map[string]int)}
}

// set changes the table under its lock.
func (f *faultTable) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// count returns how often an operation was asked for since the last count.
func (f *faultTable) count(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.calls[op]
	f.calls[op] = 0
	return n
}

// lose empties the table.
func (f *faultTable) lose() { f.set(func() { f.memory = NewMemory(0); f.generation++ }) }

func (f *faultTable) enter(ctx context.Context, op string) (m *Memory, full bool, err error) {
	f.mu.Lock()
	f.calls[op]++
	delay, away := f.delay, f.away
	f.mu.Unlock()
	if delay > 0 {
		select {
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-time.After(delay):
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.memory, f.full, away
}

func (f *faultTable) Get(ctx context.Context, key Key) (Pin, error) {
	m, _, err := f.enter(ctx, opGet)
	if err != nil {
		return Pin{}, err
	}
	return m.Get(ctx, key)
}

func (f *faultTable) Put(ctx context.Context, pins []Pin) ([]string, error) {
	m, full, err := f.enter(ctx, opPut)
	f.mu.Lock()
	f.calls["pins"] += len(pins)
	before, after := f.onPut, f.afterPut
	f.mu.Unlock()
	if before != nil {
		before()
	}
	if after != nil {
		defer after()
	}
	kept := make([]string, len(pins))
	if err != nil {
		return kept, err
	}
	var refused error
	for i := range pins {
		if had, err := m.Get(ctx, pins[i].Key); full && (err != nil || had.Backend == pins[i].From) {
			refused = fmt.Errorf("full: %w", ErrRefused)
			continue
		}
		k, err := m.Put(ctx, pins[i:i+1])
		if err != nil {
			return kept, err
		}
		kept[i] = k[0]
	}
	return kept, refused
}

func (f *faultTable) Delete(ctx context.Context, pins []Pin) error {
	m, _, err := f.enter(ctx, opDelete)
	if err != nil {
		return err
	}
	return m.Delete(ctx, pins)
}

func (f *faultTable) Check(ctx context.Context) (string, error) {
	_, full, err := f.enter(ctx, opCheck)
	if full && err == nil {
		err = fmt.Errorf("full: %w", ErrRefused)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprint("generation ", f.generation), err
}

var errAway = errors.New("connection refused")

// bubble runs a test in a synctest bubble with pins that run over a table.
func bubble(t *testing.T, c PinsConfig, test func(t *testing.T, table *faultTable, p *Pins)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		table := newFaultTable()
		p := NewPins(table, c)
		runPins(t, p)
		test(t, table, p)
	})
}

// runPins runs pins until the test ends, or until stop is called.
func runPins(t *testing.T, p *Pins) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = func() { cancel(); <-done; checkFront(t, p.front) }
	t.Cleanup(stop)
	return stop
}

func wantLookup(t *testing.T, p *Pins, key Key, want string) {
	t.Helper()
	if got, ok := p.Lookup(t.Context(), key); got != want || ok != (want != "") {
		t.Errorf("Lookup = %q, %v, want %q", got, ok, want)
	}
}

func wantKept(t *testing.T, kept, want string) {
	t.Helper()
	if kept != want {
		t.Errorf("kept is %q, want %q", kept, want)
	}
}

func wantCount(t *testing.T, p *Pins, backend string, want int) {
	t.Helper()
	if got := p.Count(backend); got != want {
		t.Errorf("Count(%s) = %d, want %d", backend, got, want)
	}
}

// pause lets time pass in a bubble, and everybody come to rest.
func pause(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// recorder is an Observer, and collects a log.
type recorder struct {
	mu  sync.Mutex
	ops map[string]int
	log bytes.Buffer
}

func (r *recorder) TableOp(op string, took time.Duration, class string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ops == nil {
		r.ops = make(map[string]int)
	}
	r.ops[strings.TrimSpace(op+" "+class)]++
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

func (r *recorder) logger() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }

// lines returns how many log lines contain a text.
func (r *recorder) lines(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.log.String(), text)
}
