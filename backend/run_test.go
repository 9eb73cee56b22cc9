package backend

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRunTwice(t *testing.T) {
	running := make(chan bool, 1)
	p := poolOf(t, Deps{Probe: func(context.Context, Backend) error {
		select {
		case running <- true:
		default:
		}
		return nil
	}}, "a")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	<-running
	if err := p.Run(ctx); err == nil || err.Error() != "the pool runs already" {
		t.Errorf("second Run: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestChangesComeInOrder has a callback cause changes itself, while others wait.
func TestChangesComeInOrder(t *testing.T) {
	var (
		p   *Pool
		got []string
	)
	changed := func(c Change) {
		got = append(got, c.Backend.ID+" "+c.From.String()+">"+c.To.String())
		switch m, ok := p.Set().Get(c.Backend.ID); {
		case ok != (c.To != Gone), ok && c.To == Draining && m.State != Draining:
			t.Errorf("the set does not show %s", got[len(got)-1])
		}
		if c.Backend.ID == "a:1" {
			if err := p.Drain("c:1"); err != nil {
				t.Error(err)
			}
		}
	}
	p, err := NewPool(Defaults(), Deps{}, static("a:1", "b:1", "c:1"))
	if err != nil {
		t.Fatal(err)
	}
	p.deps.OnChange = changed
	if err := p.Reload(Defaults(), static("c:1")); err != nil {
		t.Fatal(err)
	}
	want := []string{"a:1 up>gone", "b:1 up>gone", "c:1 up>draining"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestStopsDuringChecks sees that a check cut short is no verdict, and that Run
// leaves nothing behind.
func TestStopsDuringChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int64
		hang := func(ctx context.Context, _ Backend) error {
			running.Add(1)
			<-ctx.Done()
			<-time.After(time.Millisecond) // Run waits for the slow to end too
			running.Add(-1)
			return ctx.Err()
		}
		p, err := NewPool(Defaults(), Deps{Probe: hang}, static("a:1"))
		if err != nil {
			t.Fatal(err)
		}
		stop := runIn(t, p)
		if running.Load() != 1 {
			t.Fatal("no check is under way")
		}
		stop()
		if running.Load() != 0 {
			t.Error("Run left a check behind")
		}
		if s := p.Snapshot()[0]; s.State != Up || !s.Starting {
			t.Errorf("%+v", s)
		}
		// One that takes too long is a verdict.
		runIn(t, p)
		<-time.After(1100 * time.Millisecond)
		synctest.Wait()
		if s := p.Snapshot()[0]; s.State != Down || s.Reason != "the first check failed: context deadline exceeded" {
			t.Errorf("%+v", s)
		}
	})
}

// TestReloadHastensChecks: a shorter interval does not wait for the longer one to end.
func TestReloadHastensChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checks := make(chan string, 100)
		c := Defaults()
		c.Interval = time.Hour
		p, err := NewPool(c, Deps{Probe: func(_ context.Context, b Backend) error { checks <- b.ID; return nil }}, static("a:1"))
		if err != nil {
			t.Fatal(err)
		}
		runIn(t, p)
		<-checks
		if err := p.Reload(Defaults(), static("a:1")); err != nil {
			t.Fatal(err)
		}
		<-time.After(3 * time.Second)
		synctest.Wait()
		if len(checks) == 0 {
			t.Error("no check for 3 s at an interval of 2 s")
		}
	})
}

// gate is a Probe that lets checks end one by one.
type gate struct {
	begun, verdicts chan error
}

func newGate() *gate { return &gate{make(chan error, 100), make(chan error)} }

func (g *gate) probe(ctx context.Context, _ Backend) error {
	g.begun <- nil
	select {
	case err := <-g.verdicts:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// expect compares how many checks have begun since the last time.
func (g *gate) expect(t *testing.T, n int) {
	t.Helper()
	synctest.Wait()
	if got := len(g.begun); got != n {
		t.Errorf("%d checks have begun, want %d", got, n)
	}
	for len(g.begun) > 0 {
		<-g.begun
	}
}

func TestChecksInFlightAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := Defaults()
		c.Parallel = 2
		p, err := NewPool(c, Deps{Probe: g.probe}, static("a:1", "b:1", "c:1", "d:1", "e:1"))
		if err != nil {
			t.Fatal(err)
		}
		runIn(t, p)
		g.expect(t, 2)
		g.verdicts <- nil
		g.expect(t, 1)
		g.verdicts <- nil
		g.verdicts <- nil
		g.expect(t, 2)
	})
}

func TestSuspicionDuringACheckCausesAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p, err := NewPool(Defaults(), Deps{Probe: g.probe}, static("a:1"))
		if err != nil {
			t.Fatal(err)
		}
		runIn(t, p)
		g.expect(t, 1)
		p.Report("a:1", DialFailed)
		p.Report("a:1", DialFailed)
		g.expect(t, 0)
		g.verdicts <- nil
		g.expect(t, 1)
		g.verdicts <- nil
		g.expect(t, 0)
	})
}
