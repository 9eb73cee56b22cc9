package backend

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
)

// runIn runs a pool in a bubble until the test ends, and returns what stops it.
func runIn(t *testing.T, p *Pool) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	synctest.Wait()
	return stop
}

func healthy(context.Context, Backend) error { return nil }

func static(addrs ...string) *Static {
	var list []Backend
	for _, a := range addrs {
		list = append(list, Backend{Addr: a})
	}
	return NewStatic(list)
}

func newSource(name string) *scripted { return &scripted{name, make(chan []Backend, 1)} }

func (s *scripted) say(addrs ...string) {
	s.lists <- static(addrs...).backends
	synctest.Wait()
}

func wantIDs(t *testing.T, p *Pool, want string) {
	t.Helper()
	if got := strings.Join(ids(p.Set().All()), " "); got != want {
		t.Errorf("the set is %q, want %q", got, want)
	}
}

func TestStaticIsThereBeforeRun(t *testing.T) {
	p, err := NewPool(Defaults(), Deps{}, static("b:1", "a:1"))
	if err != nil {
		t.Fatal(err)
	}
	wantIDs(t, p, "a:1 b:1")
	if n := p.Set().Usable(); n != 2 {
		t.Errorf("%d usable before the first check", n)
	}
}

func TestReloadLeavesNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []string
		d := Deps{Probe: healthy, OnChange: func(c Change) { changes = append(changes, c.Backend.ID+" "+c.To.String()) }}
		x := newSource("x")
		p, err := NewPool(Defaults(), d, static("a:1"), x)
		if err != nil {
			t.Fatal(err)
		}
		runIn(t, p)
		x.say("b:1")
		wantIDs(t, p, "a:1 b:1")
		generation := p.Set().Generation()
		changes = nil

		// The same source value goes on; the static list is replaced at once.
		reload := func(s ...Source) {
			t.Helper()
			if err := p.Reload(Defaults(), s...); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		reload(static("a:1"), x)
		if len(changes) > 0 || p.Set().Generation() != generation {
			t.Errorf("a reload of the same changed %v, generation %d to %d", changes, generation, p.Set().Generation())
		}
		x.say("b:1", "b:2")
		wantIDs(t, p, "a:1 b:1 b:2")
		if p.Set().Generation() == generation {
			t.Error("the generation is the same for other ids")
		}

		// A new source under the old name starts with the old list.
		x2 := newSource("x")
		reload(static("c:1"), x2)
		wantIDs(t, p, "b:1 b:2 c:1")
		x2.say("b:2")
		wantIDs(t, p, "b:2 c:1")

		// What a source that is no more had named stays until the new one has spoken.
		y := newSource("y")
		reload(static("c:1"), y)
		wantIDs(t, p, "b:2 c:1")
		if s := p.Sources(); len(s) != 3 || !s[2].Retired || s[2].Name != "x" || s[1].Backends != 0 {
			t.Errorf("sources %+v", s)
		}
		y.say("b:3")
		wantIDs(t, p, "b:3 c:1")
		if s := p.Sources(); len(s) != 2 || s[1].Name != "y" || s[1].Backends != 1 || s[1].Updated.IsZero() {
			t.Errorf("sources %+v", s)
		}

		reload(static("c:1"))
		wantIDs(t, p, "c:1")
		reload()
		wantIDs(t, p, "")

		bad := Defaults()
		bad.Rise = 0
		if err := p.Reload(bad, static("z:1")); err == nil {
			t.Error("a bad configuration was taken")
		}
		wantIDs(t, p, "")
	})
}

// TestReloadBeforeRun sees that sources start with Run whatever came before.
func TestReloadBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := newSource("x"), newSource("y")
		p, err := NewPool(Defaults(), Deps{Probe: healthy}, x)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Reload(Defaults(), y, static("a:1")); err != nil {
			t.Fatal(err)
		}
		stop := runIn(t, p)
		y.say("b:1")
		wantIDs(t, p, "a:1 b:1")
		stop()
		wantIDs(t, p, "a:1 b:1")
		// A second Run goes on where the first ended.
		runIn(t, p)
		y.say("b:2")
		wantIDs(t, p, "a:1 b:2")
	})
}

// failing is a source that gives up.
type failing struct{ err error }

func (f failing) Run(context.Context, func([]Backend)) error { return f.err }

func TestSourceThatGivesUpEndsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("port in use")
		p, err := NewPool(Defaults(), Deps{Probe: healthy}, static("a:1"), newSource("x"), failing{broken})
		if err != nil {
			t.Fatal(err)
		}
		err = p.Run(t.Context())
		if !errors.Is(err, broken) || err.Error() != "source backend.failing: port in use" {
			t.Errorf("Run: %v", err)
		}
		wantIDs(t, p, "a:1")
	})
}

func TestSourceThatEndsHasSpoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newSource("x")
		p, err := NewPool(Defaults(), Deps{Probe: healthy}, x)
		if err != nil {
			t.Fatal(err)
		}
		runIn(t, p)
		x.say("a:1")
		if err := p.Reload(Defaults(), failing{nil}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantIDs(t, p, "")
	})
}

// uncomparable would panic if it were compared.
type uncomparable []string

func (uncomparable) Run(ctx context.Context, set func([]Backend)) error {
	set([]Backend{{Addr: "u:1"}})
	return nil
}

func TestSourceThatCannotBeCompared(t *testing.T) {
	p, err := NewPool(Defaults(), Deps{}, uncomparable{"x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Reload(Defaults(), uncomparable{"x"}); err != nil {
		t.Fatal(err)
	}
}

func TestUnusableBackendsAreIgnored(t *testing.T) {
	var log strings.Builder
	list := []Backend{{Addr: "a"}, {Addr: ":1"}, {ID: "x"}, {ID: strings.Repeat("x", 256), Addr: "b:1"},
		{ID: "good", Addr: "c:1", Weight: -3}, {ID: "heavy", Addr: "d:1", Weight: 5000}}
	p, err := NewPool(Defaults(), Deps{Log: textLog(&log)}, NewStatic(list))
	if err != nil {
		t.Fatal(err)
	}
	wantIDs(t, p, "good heavy")
	good, _ := p.Set().Get("good")
	heavy, _ := p.Set().Get("heavy")
	if good.Weight != 1 || heavy.Weight != MaxWeight {
		t.Errorf("weights %d and %d", good.Weight, heavy.Weight)
	}
	if n := strings.Count(log.String(), "backend ignored"); n != 4 {
		t.Errorf("%d lines of:\n%s", n, &log)
	}
}

// stubborn goes on talking when it should have ended.
type stubborn struct{ set chan func([]Backend) }

func (s *stubborn) Run(ctx context.Context, set func([]Backend)) error {
	s.set <- set
	<-ctx.Done()
	return nil
}

func TestListOfAReplacedSourceIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := &stubborn{make(chan func([]Backend), 2)}
		p, err := NewPool(Defaults(), Deps{Probe: healthy}, old)
		if err != nil {
			t.Fatal(err)
		}
		runIn(t, p)
		set := <-old.set
		set(static("old:1").backends)
		wantIDs(t, p, "old:1")
		if err := p.Reload(Defaults(), static("new:1")); err != nil {
			t.Fatal(err)
		}
		set(static("old:2").backends)
		wantIDs(t, p, "new:1")

		// Nor is it heard while its last list stays for want of a new one.
		silent := &stubborn{make(chan func([]Backend), 1)}
		if err := p.Reload(Defaults(), old); err != nil {
			t.Fatal(err)
		}
		set = <-old.set
		set(static("old:3").backends)
		if err := p.Reload(Defaults(), silent); err != nil {
			t.Fatal(err)
		}
		set(static("old:4").backends)
		wantIDs(t, p, "old:3")
	})
}
