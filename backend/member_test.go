package backend

import (
	"testing"
	"testing/synctest"
)

func TestAcquire(t *testing.T) {
	c := Defaults()
	c.MaxInFlight = 2
	p, err := NewPool(c, Deps{}, NewStatic([]Backend{{Addr: "a:1"}}))
	if err != nil {
		t.Fatal(err)
	}
	m, _ := p.Set().Get("a:1")
	for i, want := range []bool{true, true, false} {
		if got := m.Acquire(); got != want {
			t.Fatalf("slot %d: %v", i, got)
		}
	}
	m.Release()
	if !m.Acquire() {
		t.Fatal("a slot given back is not to be had")
	}
	if s := p.Snapshot()[0]; s.InFlight != 2 || s.Overflows != 1 {
		t.Errorf("%d in flight, %d overflows", s.InFlight, s.Overflows)
	}
	c.MaxInFlight = 0
	if err := p.Reload(c, NewStatic([]Backend{{Addr: "a:1"}})); err != nil {
		t.Fatal(err)
	}
	if !m.Acquire() || m.InFlight() != 3 {
		t.Error("no limit was to hold after the reload")
	}
}

// TestLoadOutlivesAbsence sees that tunnels to a backend that vanished and came
// back still count, and that nothing is kept of idle ones.
func TestLoadOutlivesAbsence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newSource("x")
		p, err := NewPool(Defaults(), Deps{Probe: healthy}, x)
		if err != nil {
			t.Fatal(err)
		}
		runIn(t, p)
		x.say("a:1", "b:1")
		a, _ := p.Set().Get("a:1")
		b, _ := p.Set().Get("b:1")
		a.OpenSession()
		a.OpenSession()
		if !b.Acquire() {
			t.Fatal("no slot")
		}
		x.say("c:1")
		a.CloseSession()
		b.Release()
		a.Report(DialFailed) // too late to matter
		x.say("a:1", "b:1")
		again, _ := p.Set().Get("a:1")
		if again.Sessions() != 1 {
			t.Errorf("%d sessions after the return", again.Sessions())
		}
		a.CloseSession()
		if again.Sessions() != 0 {
			t.Errorf("%d sessions after the last closed", again.Sessions())
		}
		again.OpenSession()
		x.say("b:1")
		again.CloseSession()
		x.say("c:1")
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.departed) != 0 {
			t.Errorf("kept %d loads of idle backends", len(p.departed))
		}
	})
}
