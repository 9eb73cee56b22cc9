package gossip

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/backend"
)

// said is a membership that says what it is told to.
type said struct{ tell func(Member) }

func (s *said) Watch(tell func(Member)) func() {
	s.tell = tell
	return func() {}
}

// theatre is a Source in a bubble with its own time.
type theatre struct {
	t       *testing.T
	members said
	source  *Source
	last    string
	sets    int
}

func newTheatre(t *testing.T) *theatre {
	th := &theatre{t: t}
	th.source = &Source{members: &th.members, doubt: doubtFor}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- th.source.Run(ctx, func(list []backend.Backend) {
			th.sets++
			th.last = show(list)
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	return th
}

// show renders a list: =weight, ! for draining, ? for doubted.
func show(list []backend.Backend) string {
	var all []string
	for _, b := range list {
		text := b.ID + "@" + b.Addr
		if b.Weight != 0 {
			text += fmt.Sprintf("=%d", b.Weight)
		}
		if b.Draining {
			text += "!"
		}
		if b.TLS {
			text = "https://" + text
		}
		if b.Doubt != "" {
			text += "?"
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func nodeMember(name string, state State) Member {
	return Member{Name: name, Role: Node, State: state, Announcement: Announcement{Addr: name + ":1"}}
}

// hear tells the Source of members, in one go, and lets it settle.
func (th *theatre) hear(members ...Member) {
	for _, m := range members {
		th.members.tell(m)
	}
	th.wait(settle)
}

func (th *theatre) wait(d time.Duration) {
	<-time.After(d) // of the bubble's time
	synctest.Wait()
}

func (th *theatre) wants(list string, trouble error) {
	th.t.Helper()
	if th.last != list || th.source.Err() != trouble {
		th.t.Errorf("the list is %q, trouble %v; want %q, %v", th.last, th.source.Err(), list, trouble)
	}
}

func bubble(t *testing.T, play func(t *testing.T, th *theatre)) {
	synctest.Test(t, func(t *testing.T) { play(t, newTheatre(t)) })
}

func TestSourceNamesNodes(t *testing.T) {
	bubble(t, func(t *testing.T, th *theatre) {
		if th.wants("", errNobody); th.sets != 0 {
			t.Error("it spoke before there was a node")
		}
		silent := nodeMember("c", Alive)
		silent.Announcement.Addr = ""
		proxy := nodeMember("p", Alive)
		proxy.Role = Proxy
		th.hear(nodeMember("b", Alive), nodeMember("a", Alive), silent, proxy)
		if th.wants("a@a:1 b@b:1", nil); th.sets != 1 {
			t.Errorf("it spoke %d times of what it learned at once", th.sets)
		}
		draining := nodeMember("a", Alive)
		draining.Draining, draining.Weight, draining.ID, draining.TLS = true, 3, "x", true
		th.hear(draining, nodeMember("c", Alive))
		th.wants("b@b:1 c@c:1 https://x@a:1=3!", nil)
		th.hear(nodeMember("a", Left))
		th.wants("b@b:1 c@c:1", nil)
		th.hear(nodeMember("b", Left), nodeMember("c", Left))
		th.wants("", errNobody)
	})
}

func TestSourceDoubtsTheDead(t *testing.T) {
	bubble(t, func(t *testing.T, th *theatre) {
		th.hear(nodeMember("a", Alive), nodeMember("b", Alive), nodeMember("c", Alive))
		th.hear(nodeMember("b", Dead))
		th.wants("a@a:1 b@b:1? c@c:1", nil)
		th.hear(nodeMember("b", Alive))
		th.wants("a@a:1 b@b:1 c@c:1", nil)
		th.hear(nodeMember("b", Dead))
		th.wait(doubtFor / 2)
		th.hear(nodeMember("c", Dead))
		th.wants("a@a:1 b@b:1? c@c:1?", nil)
		th.wait(doubtFor / 2)
		th.wants("a@a:1 c@c:1?", nil)
		th.wait(doubtFor / 2)
		th.wants("a@a:1", nil)
		// One that was dead before it was known is no backend.
		th.hear(nodeMember("d", Dead))
		th.wants("a@a:1", nil)
	})
}

// A proxy that hears nobody takes itself for the one that is cut off.
func TestSourceAlone(t *testing.T) {
	bubble(t, func(t *testing.T, th *theatre) {
		th.hear(nodeMember("a", Alive), nodeMember("b", Alive))
		th.hear(nodeMember("a", Dead), nodeMember("b", Dead))
		th.wants("a@a:1 b@b:1", errAlone)
		th.wait(10 * doubtFor)
		th.wants("a@a:1 b@b:1", errAlone)
		// When it hears of one again, the other has its time from then on.
		th.hear(nodeMember("b", Alive))
		th.wants("a@a:1? b@b:1", nil)
		th.wait(doubtFor - time.Second)
		th.wants("a@a:1? b@b:1", nil)
		th.wait(time.Second)
		th.wants("b@b:1", nil)
	})
}

// serve accepts connections until it is closed.
func serve(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	return l
}

// A node that gossip takes for dead is down when its port does not answer either;
// when gossip takes all for dead, the ports alone decide.
func TestDeadInGossipOnly(t *testing.T) {
	t.Parallel()
	start := func(name string, join ...string) (*one, net.Listener) {
		l := serve(t)
		c := config(name, join...)
		c.Announcement.Addr = l.Addr().String()
		return run(t, c), l
	}
	a, atA := start("a")
	b, atB := start("b", a.Addr())
	c := config("p", a.Addr())
	c.Role = Proxy
	p := run(t, c)
	checks := backend.Defaults()
	checks.Interval, checks.SlowStart = 50*time.Millisecond, 0
	pool, err := backend.NewPool(checks, backend.Deps{}, p.Source())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- pool.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	states := func(want string) {
		t.Helper()
		var got string
		err := await(30*time.Second, func() bool {
			got = ""
			for m := range pool.Set().All() {
				got += m.ID + " " + m.State.String() + ", "
			}
			return got == want
		})
		if err != nil {
			t.Fatalf("the pool has %q, want %q", got, want)
		}
	}
	states("a up, b up, ")
	b.die()
	states("a up, b draining, ")
	if m, _ := pool.Set().Get("b"); !m.Established() || m.Usable() || !strings.Contains(m.Reason, "gossip has not heard of it") {
		t.Errorf("b is established %v, usable %v: %s", m.Established(), m.Usable(), m.Reason)
	}
	atB.Close()
	states("a up, b down, ")
	a.die()
	p.awaits("a=dead b=dead")
	eventually(t, "alone", func() bool { return len(pool.Sources()) == 1 && pool.Sources()[0].Error == errAlone.Error() })
	states("a up, b down, ")
	atA.Close()
	states("a down, b down, ")
}
