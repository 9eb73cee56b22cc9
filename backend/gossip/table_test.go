package gossip

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

func tableOf(self string) *table { return newTable(self, newLogger(slog.New(slog.DiscardHandler))) }

func heardNode(t *testing.T, name string, a Announcement) *memberlist.Node {
	t.Helper()
	meta, err := (&record{role: Node, Announcement: a}).encode()
	if err != nil {
		t.Fatal(err)
	}
	return &memberlist.Node{Name: name, Addr: net.IPv4(10, 0, 0, 1), Port: 7946, Meta: meta}
}

// told empties the watches and returns what they were told.
func (t *table) told() string {
	var all []string
	for {
		tell, m := t.next()
		if tell == nil {
			return strings.Join(all, " ")
		}
		tell(m)
		text := m.Name + "=" + m.State.String()
		if m.Draining {
			text += "!"
		}
		all = append(all, text)
	}
}

func TestWatch(t *testing.T) {
	tb := tableOf("self")
	tb.NotifyJoin(heardNode(t, "self", Announcement{}))
	tb.NotifyJoin(heardNode(t, "b", Announcement{}))
	tb.NotifyJoin(heardNode(t, "a", Announcement{}))
	f := func(want string) {
		t.Helper()
		if got := tb.told(); got != want {
			t.Errorf("it is told %q, want %q", got, want)
		}
	}
	f("")
	calls := 0
	stop := tb.watch(func(Member) { calls++ })
	f("a=alive b=alive") // those there are
	// In the order of the changes, each member once, as it is by then.
	tb.NotifyUpdate(heardNode(t, "b", Announcement{Draining: true}))
	tb.NotifyJoin(heardNode(t, "c", Announcement{}))
	tb.NotifyLeave(heardNode(t, "b", Announcement{}))
	f("b=dead! c=alive")
	tb.NotifyJoin(heardNode(t, "b", Announcement{}))
	f("b=alive")
	tb.NotifyUpdate(&memberlist.Node{Name: "b", Meta: []byte("somebody else's")})
	f("b=left")
	stop()
	tb.NotifyLeave(heardNode(t, "c", Announcement{}))
	f("")
	if calls != 6 {
		t.Errorf("%d calls", calls)
	}
}

func TestMembersAreForgotten(t *testing.T) {
	tb := tableOf("self")
	for _, name := range []string{"alive", "dead", "left"} {
		tb.NotifyJoin(heardNode(t, name, Announcement{}))
	}
	tb.members["left"].leaving = true
	tb.NotifyLeave(heardNode(t, "dead", Announcement{}))
	tb.NotifyLeave(heardNode(t, "left", Announcement{}))
	f := func(after time.Duration, want int) {
		t.Helper()
		tb.forget(time.Now().Add(after))
		if got := len(tb.list()); got != want {
			t.Errorf("%d members after %v, want %d", got, after, want)
		}
	}
	f(forgetLeft-time.Second, 3)
	f(forgetLeft+time.Second, 2)
	f(forgetDead-time.Second, 2)
	f(forgetDead+time.Second, 1)
}

func TestMembersHaveABound(t *testing.T) {
	tb := tableOf("self")
	for i := range maxMembers {
		n := heardNode(t, fmt.Sprint(i), Announcement{})
		if err := tb.NotifyAlive(n); err != nil {
			t.Fatal(i, err)
		}
		if i%2 == 0 {
			n.Meta = nil // of another kind, which count as well
		}
		tb.NotifyJoin(n)
	}
	if err := tb.NotifyAlive(heardNode(t, "more", Announcement{})); err == nil {
		t.Error("one more was let in")
	}
	for _, name := range []string{"self", "1"} {
		if err := tb.NotifyAlive(heardNode(t, name, Announcement{})); err != nil {
			t.Errorf("%s is not let in: %v", name, err)
		}
	}
}

// A member that comes back elsewhere, before the others have missed it, finds out when
// it joins them.
func TestTakenNameIsNoticed(t *testing.T) {
	f := func(addr string, state memberlist.NodeStateType, want bool) {
		t.Helper()
		tab := tableOf("a")
		tab.addr = "10.0.0.1:7946"
		if err := tab.NotifyMerge([]*memberlist.Node{{Name: "a", Addr: net.ParseIP(addr), Port: 7946, State: state}}); err != nil {
			t.Fatal(err)
		}
		if got := len(tab.contested) > 0; got != want {
			t.Errorf("a is known at %s in state %d: contested %v, want %v", addr, state, got, want)
		}
	}
	f("10.0.0.2", memberlist.StateAlive, true)
	f("10.0.0.2", memberlist.StateSuspect, true)
	f("10.0.0.2", memberlist.StateDead, false)
	f("10.0.0.2", memberlist.StateLeft, false)
	f("10.0.0.1", memberlist.StateSuspect, false)
}
