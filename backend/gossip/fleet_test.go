package gossip

import (
	"net"
	"testing"
	"time"
)

func TestMembersFindEachOther(t *testing.T) {
	t.Parallel()
	c := config("a")
	c.Announcement = Announcement{Addr: "10.0.0.1:6020", Zone: "eu-1a", Weight: 3, Version: "1.2.3"}
	a := run(t, c)
	b := run(t, config("b", a.Addr()))
	c = config("p", b.Addr())
	c.Role = Proxy
	p := run(t, c)
	a.awaits("b=alive p=alive")
	b.awaits("a=alive p=alive")
	p.awaits("a=alive b=alive")
	got := p.member("a")
	got.Since = time.Time{}
	if want := (Member{Name: "a", Role: Node, Addr: a.Addr(), State: Alive, Announcement: a.cfg.Announcement}); got != want {
		t.Errorf("p sees %+v, want %+v", got, want)
	}
	if got := a.member("p").Role; got != Proxy {
		t.Errorf("the role of p is %q", got)
	}
}

func TestOneThatLeavesIsNotDead(t *testing.T) {
	t.Parallel()
	a := run(t, config("a"))
	b := run(t, config("b", a.Addr()))
	c := run(t, config("c", a.Addr()))
	a.awaits("b=alive c=alive")
	c.awaits("a=alive b=alive")
	b.leave()
	a.awaits("b=left c=alive")
	c.awaits("a=alive b=left")
}

func TestOneThatIsKilledIsDead(t *testing.T) {
	t.Parallel()
	a := run(t, config("a"))
	b := run(t, config("b", a.Addr()))
	c := run(t, config("c", a.Addr()))
	a.awaits("b=alive c=alive")
	c.awaits("a=alive b=alive")
	b.die()
	start := time.Now()
	a.awaits("b=dead c=alive")
	c.awaits("a=alive b=dead")
	t.Logf("noticed after %v", time.Since(start).Round(10*time.Millisecond))

	// Another takes its name elsewhere.
	run(t, config("b", a.Addr()))
	a.awaits("b=alive c=alive")
	c.awaits("a=alive b=alive")
}

// A node that is started again has its name and often its address, and has begun
// to count its news anew; what it says now must win over what it said before.
func TestOneThatComesBack(t *testing.T) {
	t.Parallel()
	a := run(t, config("a"))
	old := config("b", a.Addr())
	old.Announcement = Announcement{Addr: "10.0.0.2:6020", Draining: true}
	b := run(t, old)
	again := old
	again.Announcement = Announcement{Addr: "10.0.0.2:6020", Version: "2"}
	f := func(what, bind string) {
		t.Helper()
		again.Bind = bind
		b = run(t, again)
		eventually(t, what, func() bool {
			m := a.member("b")
			return m.State == Alive && m.Addr == b.Addr() && m.Announcement == again.Announcement
		})
		again.Version += "2"
	}
	a.awaits("b=alive")
	for range 5 {
		if err := b.Announce(t.Context(), old.Announcement); err != nil {
			t.Fatal(err)
		}
	}
	b.leave()
	f("back where it was", b.Addr())
	b.leave()
	f("back elsewhere", "127.0.0.1:0")
	b.die()
	f("back before it was missed", b.Addr())
	b.die()
	f("back elsewhere before it was missed", "127.0.0.1:0")
}

// Those who only connect take what room there is, and no more; members go on.
func TestConnectionsHaveABound(t *testing.T) {
	t.Parallel()
	a := run(t, config("a"))
	b := run(t, config("b", a.Addr()))
	a.awaits("b=alive")
	var all []net.Conn
	eventually(t, "one is refused", func() bool {
		c, err := net.Dial("tcp", a.Addr())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
		return a.Stats().Refused > 0
	})
	if len(all) < maxStreams {
		t.Errorf("%d connections were too many", len(all))
	}
	for _, c := range all {
		c.Close()
	}
	run(t, config("c", a.Addr())).awaits("a=alive b=alive")
	b.awaits("a=alive c=alive")
}

func TestAnnouncementSpreads(t *testing.T) {
	t.Parallel()
	a := run(t, config("a"))
	b := run(t, config("b", a.Addr()))
	c := run(t, config("c", a.Addr()))
	b.awaits("a=alive c=alive")
	c.awaits("a=alive b=alive")
	draining := Announcement{Addr: "10.0.0.2:6020", Draining: true}
	if err := b.Announce(t.Context(), draining); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*one{a, c} {
		eventually(t, m.Name()+" knows", func() bool { return m.member("b").Announcement == draining })
	}
	bad := draining
	bad.Weight = -1
	if err := b.Announce(t.Context(), bad); err == nil {
		t.Error("a negative weight was announced")
	}
	b.leave()
	if err := b.Announce(t.Context(), draining); err == nil {
		t.Error("one that has left announced something")
	}
}
