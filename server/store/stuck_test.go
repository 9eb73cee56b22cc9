package store

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// startStuck runs a Tiered over s, which may not answer for longer than a second,
// until stop is called.
func startStuck(s Storage) (t *Tiered, stop func()) {
	t = NewTiered(TieredConfig{Cache: NewMemory(0), Storage: s, StorageTimeout: time.Second})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = t.Run(ctx) })
	return t, func() { cancel(); wg.Wait() }
}

// answers collects what writers are told, and when.
type answers struct {
	mu    sync.Mutex
	start time.Time
	got   map[string]string
}

func newAnswers() *answers { return &answers{start: time.Now(), got: make(map[string]string)} }

func (a *answers) to(name string) func(error) {
	return func(err error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		told := "stored"
		var tier *TierError
		switch {
		case err == nil:
		case !errors.As(err, &tier) || !tier.Storage || tier.Timeout():
			told = "the wrong error: " + err.Error()
		default:
			told = "failed"
		}
		a.got[name] += told + " after " + time.Since(a.start).String()
	}
}

func (a *answers) expect(t *testing.T, name, want string) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.got[name] != want {
		t.Errorf("%s: %q, want %q", name, a.got[name], want)
	}
}

// TestStorageHangs: who writes or deletes hears of a storage that does not answer,
// once, whether it was asked already or not; later it has what was written.
func TestStorageHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		f := newFake()
		f.records["kept"] = Record{3, "[]"}
		s, stop := startStuck(f)
		defer stop()
		told := newAnswers()
		write := func(name string) {
			t.Helper()
			if _, ok, err := s.Write(ctx, name, Missing, Record{0, "{}"}, told.to(name)); !ok || err != nil {
				t.Fatalf("%s: %v, %v", name, ok, err)
			}
		}
		if _, err := s.Get(ctx, "kept"); err != nil { // into the cache
			t.Fatal(err)
		}
		write("first")
		synctest.Wait() // the storage is at it
		write("second")
		go func() { told.to("delete")(s.Delete(ctx, "kept")) }()
		time.Sleep(time.Second)
		synctest.Wait()
		for _, name := range []string{"first", "second", "delete"} {
			told.expect(t, name, "failed after 1s")
		}
		// While it hangs nobody waits for it.
		write("third")
		told.expect(t, "third", "failed after 1s")
		told.to("late delete")(s.Delete(ctx, "kept"))
		told.expect(t, "late delete", "failed after 1s")

		close(f.permit)
		synctest.Wait()
		write("fourth")
		synctest.Wait()
		told.expect(t, "fourth", "stored after 1s")
		told.expect(t, "first", "failed after 1s")
		for _, name := range []string{"first", "second", "third", "fourth", "kept"} {
			if r, err := f.Get(ctx, name); err != nil || !r.Exists() {
				t.Errorf("%s did not reach the storage: %v", name, err)
			}
		}
		if r, err := s.Get(ctx, "kept"); err != nil || r.Version != 3 {
			t.Errorf("a record that could not be deleted is %+v, %v", r, err)
		}
		if err := s.Delete(ctx, "kept"); err != nil {
			t.Error(err)
		}
	})
}

// TestStorageSlow: a storage that is behind but answers fails nothing.
func TestStorageSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s, stop := startStuck(f)
		defer stop()
		told := newAnswers()
		for i, name := range []string{"a", "b", "c", "d"} {
			if _, _, err := s.Write(context.Background(), name, Missing, Record{0, "{}"}, told.to(name)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if i > 0 {
				time.Sleep(900 * time.Millisecond)
				f.permit <- struct{}{}
			}
		}
		f.permit <- struct{}{}
		synctest.Wait()
		told.expect(t, "a", "stored after 900ms")
		told.expect(t, "d", "stored after 2.7s")
	})
}

// TestStorageHangsFull: a queue that is full holds no writer either.
func TestStorageHangsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s, stop := startStuck(f)
		defer stop()
		told := newAnswers()
		big := strings.Repeat(" ", maxQueued/2+1)
		for _, name := range []string{"a", "b", "c", "d"} {
			if _, _, err := s.Write(context.Background(), name, Missing, Record{0, big}, told.to(name)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		for _, name := range []string{"a", "b", "c", "d"} {
			told.expect(t, name, "failed after 1s")
		}
		close(f.permit)
		synctest.Wait()
		if r, _ := f.Get(context.Background(), "d"); r.Exists() {
			t.Error("the queue has no bound")
		}
	})
}

// patient is a storage that answers when the asker gives up.
type patient struct {
	fake
	calls int
}

func (p *patient) Apply(ctx context.Context, _ []Op) error {
	p.calls++
	<-ctx.Done()
	return ctx.Err()
}

// TestStorageGivesUp: the writes of a batch that had no answer are not tried again
// one by one.
func TestStorageGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patient{}
		s, stop := startStuck(p)
		told := newAnswers()
		for _, name := range []string{"a", "b", "c"} {
			if _, _, err := s.Write(context.Background(), name, Missing, Record{0, "{}"}, told.to(name)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		stop()
		told.mu.Lock()
		defer told.mu.Unlock()
		for _, name := range []string{"a", "b", "c"} {
			if got := told.got[name]; !strings.HasPrefix(got, "failed after ") {
				t.Errorf("%s: %q", name, got)
			}
		}
		if p.calls > 3 {
			t.Errorf("asked %d times", p.calls)
		}
	})
}
