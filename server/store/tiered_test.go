package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
)

// fake is a Storage whose Apply waits for a permit and can fail.
type fake struct {
	permit chan struct{}

	mu      sync.Mutex
	records map[string]Record
	applied [][]Op
	fail    func(op Op) error
}

func newFake() *fake {
	return &fake{permit: make(chan struct{}, 1000), records: make(map[string]Record)}
}

func (f *fake) Get(_ context.Context, name string) (Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, ok := f.records[name]; ok {
		return r, nil
	}
	return absent, nil
}

func (f *fake) Apply(_ context.Context, ops []Op) error {
	<-f.permit
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied = append(f.applied, slices.Clone(ops))
	for _, op := range ops {
		if f.fail != nil {
			if err := f.fail(op); err != nil {
				return err
			}
		}
	}
	for _, op := range ops {
		f.records[op.Name] = op.Record
	}
	return nil
}

func (f *fake) Close() error { return nil }

// start runs a Tiered over f until the test ends.
func start(t *testing.T, f *fake, change func(c *TieredConfig)) *Tiered {
	c := TieredConfig{Cache: NewMemory(0), Storage: f}
	if change != nil {
		change(&c)
	}
	s := NewTiered(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestTieredPromotes(t *testing.T) {
	ctx := context.Background()
	f := newFake()
	f.records["a"] = Record{4, "{}"}
	s := start(t, f, nil)
	if r, err := s.Get(ctx, "a"); err != nil || r.Version != 4 {
		t.Fatalf("got %+v, %v", r, err)
	}
	if r, _ := s.config.Cache.Get(ctx, "a"); r.Version != 4 {
		t.Error("not in the cache after reading")
	}
}

// TestTieredReceipt: stored is called once the storage has answered, with its
// error; writes of a record arrive in order, and together when they queue.
func TestTieredReceipt(t *testing.T) {
	ctx := context.Background()
	f := newFake()
	s := start(t, f, nil)
	answers := make(chan error, 10)
	write := func(version int64) {
		t.Helper()
		if _, ok, err := s.Write(ctx, "a", version-1, Record{version, "{}"}, func(err error) { answers <- err }); !ok || err != nil {
			t.Fatalf("version %d: %v, %v", version, ok, err)
		}
	}
	write(0)
	for v := range int64(5) {
		write(v + 1)
	}
	select {
	case err := <-answers:
		t.Fatalf("acknowledged before the storage answered: %v", err)
	default:
	}
	// The cache forgets the record: the queued write is what counts.
	if err := s.Forget(ctx, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Get(ctx, "a"); err != nil || r.Version != 5 {
		t.Fatalf("read %+v, %v while the storage is behind", r, err)
	}
	for range 6 {
		f.permit <- struct{}{}
	}
	for range 6 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	var order []int64
	for _, batch := range f.applied {
		for _, op := range batch {
			order = append(order, op.Record.Version)
		}
	}
	if !slices.Equal(order, []int64{0, 1, 2, 3, 4, 5}) || len(f.applied) == 6 {
		t.Errorf("applied %v in %d batches", order, len(f.applied))
	}
}

// TestTieredBadNeighbour: one write that fails does not fail those beside it.
func TestTieredBadNeighbour(t *testing.T) {
	ctx := context.Background()
	f := newFake()
	broken := errors.New("disk is full")
	f.fail = func(op Op) error {
		if op.Name == "bad" {
			return broken
		}
		return nil
	}
	s := start(t, f, nil)
	answers := make(map[string]chan error)
	for _, name := range []string{"first", "good", "bad", "fine"} {
		answers[name] = make(chan error, 1)
		if _, _, err := s.Write(ctx, name, Missing, Record{0, "{}"}, func(err error) { answers[name] <- err }); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		f.permit <- struct{}{}
	}
	for name, c := range answers {
		err := <-c
		if bad := name == "bad"; bad != errors.Is(err, broken) || !bad && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var tier *TierError
		if err != nil && (!errors.As(err, &tier) || !tier.Storage) {
			t.Errorf("%s: %v does not name the storage", name, err)
		}
	}
}

func TestTieredDelete(t *testing.T) {
	ctx := context.Background()
	f := newFake()
	f.permit <- struct{}{}
	f.permit <- struct{}{}
	s := start(t, f, nil)
	if _, _, err := s.Write(ctx, "a", Missing, Record{0, "{}"}, nil); err != nil {
		t.Fatal(err)
	}
	f.permit <- struct{}{}
	if err := s.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Get(ctx, "a"); err != nil || r.Exists() {
		t.Errorf("deleted record is %+v, %v", r, err)
	}
}

// TestTieredForgotten: a write is decided by the storage's version when the cache
// lost the record.
func TestTieredForgotten(t *testing.T) {
	ctx := context.Background()
	f := newFake()
	f.records["a"] = Record{7, "{}"}
	close(f.permit)
	s := start(t, f, nil)
	if current, ok, err := s.Write(ctx, "a", 6, Record{7, "[]"}, nil); ok || err != nil || current.Version != 7 {
		t.Errorf("an old version: %+v, %v, %v", current, ok, err)
	}
	if err := s.Forget(ctx, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Write(ctx, "a", 7, Record{8, "[]"}, nil); !ok || err != nil {
		t.Errorf("the next version: %v, %v", ok, err)
	}
}

func TestTieredExcluded(t *testing.T) {
	ctx := context.Background()
	f := newFake()
	s := start(t, f, func(c *TieredConfig) { c.Excluded = func(name string) bool { return name == "tmp" } })
	called := false
	if _, ok, err := s.Write(ctx, "tmp", Missing, Record{0, "{}"}, func(error) { called = true }); !ok || err != nil || !called {
		t.Errorf("%v, %v, acknowledged %v", ok, err, called)
	}
	if len(f.applied) > 0 {
		t.Error("went to the storage")
	}
}

func TestTieredStopping(t *testing.T) {
	f := newFake()
	close(f.permit)
	s := NewTiered(TieredConfig{Cache: NewMemory(0), Storage: f})
	ctx, cancel := context.WithCancel(context.Background())
	queued := make(chan error, 1)
	if _, _, err := s.Write(ctx, "a", Missing, Record{0, "{}"}, func(err error) { queued <- err }); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-queued; err != nil {
		t.Errorf("what was queued is lost: %v", err)
	}
	late := make(chan error, 1)
	if _, _, err := s.Write(context.Background(), "b", Missing, Record{0, "{}"}, func(err error) { late <- err }); err != nil {
		t.Fatal(err)
	}
	if <-late == nil {
		t.Error("a write after the end was acknowledged")
	}
}
