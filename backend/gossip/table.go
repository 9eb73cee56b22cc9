package gossip

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// State is what is known of a member.
type State uint8

// The states.
const (
	Alive State = iota + 1
	Left        // it said that it would
	Dead        // it does not answer
)

// String returns the state in lower case.
func (s State) String() string { return [...]string{"", "alive", "left", "dead"}[s] }

// Member is one member as this one sees it.
type Member struct {
	Name  string
	Role  Role
	Addr  string // of its gossip
	State State
	Since time.Time // of State
	Announcement

	leaving bool
}

// BackendID is the ID of a node, which is its name unless it announces another.
func (m *Member) BackendID() string {
	if m.ID != "" {
		return m.ID
	}
	return m.Name
}

const (
	// maxMembers bounds the table; more members are not let in.
	maxMembers = 4096
	// How long members are remembered, and looked for, after their end.
	forgetLeft = time.Minute
	forgetDead = time.Hour
)

// table is what is known of the members. It is memberlist's delegate for events.
type table struct {
	self      string
	addr      string // of our gossip, as others are told
	log       *logger
	lost      chan struct{} // has room for one: told when a member is lost
	contested chan struct{} // has room for one: told when somebody has our name

	mu      sync.Mutex // guards the rest
	mine    []byte     // our metadata
	applied []byte     // that of ours which memberlist tells others
	members map[string]*Member
	ignored map[string]struct{} // names of members that are not of our kind
	watches []*watch
	wake    chan struct{} // has room for one: some watch has something pending
}

// watch is one function of Watch, with the members that it is to be told of, in
// the order in which they changed. A member that changes twice before its turn is
// told once, as it is then: so what is pending is never more than the table.
type watch struct {
	tell    func(Member)
	pending []string
}

func newTable(self string, log *logger) *table {
	return &table{
		self: self, log: log, wake: make(chan struct{}, 1),
		lost: make(chan struct{}, 1), contested: make(chan struct{}, 1),
		members: map[string]*Member{}, ignored: map[string]struct{}{},
	}
}

// announces reports whether memberlist tells others this metadata of ours.
func (t *table) announces(meta []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Equal(t.applied, meta)
}

// NotifyJoin is called by memberlist.
func (t *table) NotifyJoin(n *memberlist.Node) { t.heard(n) }

// NotifyUpdate is called by memberlist.
func (t *table) NotifyUpdate(n *memberlist.Node) { t.heard(n) }

func (t *table) heard(n *memberlist.Node) {
	r, err := decode(n.Meta)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.ignore(n, err)
		return
	}
	delete(t.ignored, n.Name)
	if n.Name == t.self {
		t.applied = bytes.Clone(n.Meta)
	}
	m := &Member{
		Name: n.Name, Role: r.role, Addr: addrOf(n), State: Alive, Since: time.Now(),
		Announcement: r.Announcement, leaving: r.leaving,
	}
	if old := t.members[n.Name]; old != nil && old.State == Alive {
		m.Since = old.Since
	} else if n.Name != t.self {
		t.log.member("member joined", m)
	}
	t.members[n.Name] = m
	t.changed(n.Name)
}

// ignore drops a member that cannot be understood. It is logged once.
func (t *table) ignore(n *memberlist.Node, err error) {
	if _, known := t.ignored[n.Name]; !known {
		t.log.slog.Warn("member ignored", "member", n.Name, "addr", addrOf(n), "err", err)
		t.ignored[n.Name] = struct{}{}
	}
	if m := t.members[n.Name]; m != nil && m.State == Alive {
		m.State, m.Since = Left, time.Now()
		t.changed(n.Name)
	}
}

// NotifyLeave is called by memberlist when a member has left or died.
func (t *table) NotifyLeave(n *memberlist.Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.ignored, n.Name)
	m := t.members[n.Name]
	if m == nil || m.State != Alive {
		return
	}
	gone := *m
	gone.State, gone.Since = Dead, time.Now()
	if m.leaving {
		gone.State = Left
	}
	t.members[n.Name] = &gone
	if n.Name == t.self {
		return
	}
	t.log.member("member "+map[State]string{Left: "left", Dead: "does not answer"}[gone.State], &gone)
	t.changed(n.Name)
	notify(t.lost)
}

// NotifyAlive is called by memberlist before it lets a member in.
func (t *table) NotifyAlive(n *memberlist.Node) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.members[n.Name] == nil && n.Name != t.self && len(t.members)+len(t.ignored) >= maxMembers {
		return fmt.Errorf("%d members are the most", maxMembers)
	}
	return nil
}

// NotifyConflict is called by memberlist when two members have one name.
func (t *table) NotifyConflict(known, other *memberlist.Node) {
	t.log.limited("two members have one name; if both live, give one another with --name",
		"member", known.Name, "addr", addrOf(known), "other", addrOf(other))
	if known.Name == t.self {
		notify(t.contested)
	}
}

// NotifyMerge is called by memberlist with what a member knows that was called. Where
// it takes us for one at another address, whom it only suspects yet, memberlist takes
// that for a suspicion of us and not for a conflict.
func (t *table) NotifyMerge(known []*memberlist.Node) error {
	for _, n := range known {
		if n.Name == t.self && n.State <= memberlist.StateSuspect && addrOf(n) != t.addr {
			notify(t.contested)
		}
	}
	return nil
}

func addrOf(n *memberlist.Node) string {
	a, _ := netip.AddrFromSlice(n.Addr)
	return netip.AddrPortFrom(a.Unmap(), n.Port).String()
}

// changed has the watches told of a member. The caller holds mu.
func (t *table) changed(name string) {
	if name == t.self {
		return
	}
	for _, w := range t.watches {
		if !slices.Contains(w.pending, name) {
			w.pending = append(w.pending, name)
		}
	}
	notify(t.wake)
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (t *table) watch(tell func(Member)) (stop func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := &watch{tell: tell}
	for name := range t.members {
		if name != t.self {
			w.pending = append(w.pending, name)
		}
	}
	slices.Sort(w.pending)
	t.watches = append(t.watches, w)
	notify(t.wake)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.watches = slices.DeleteFunc(t.watches, func(o *watch) bool { return o == w })
	}
}

// next takes what is to be told next; nil if there is nothing.
func (t *table) next() (func(Member), Member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.watches {
		for len(w.pending) > 0 {
			name := w.pending[0]
			w.pending = w.pending[1:]
			if m := t.members[name]; m != nil {
				return w.tell, *m
			}
		}
	}
	return nil, Member{}
}

// list returns the members, ordered by name.
func (t *table) list() []Member {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Member, 0, len(t.members))
	for _, m := range t.members {
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// forget drops those that are gone for long.
func (t *table) forget(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, m := range t.members {
		gone := now.Sub(m.Since)
		if m.State == Left && gone > forgetLeft || m.State == Dead && gone > forgetDead {
			delete(t.members, name)
		}
	}
}

// The rest makes a table memberlist's delegate for metadata.

// NodeMeta returns our metadata.
func (t *table) NodeMeta(int) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mine
}

// NotifyMsg drops messages; there are none of ours.
func (t *table) NotifyMsg([]byte) {}

// GetBroadcasts has nothing to add.
func (t *table) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState has nothing to add.
func (t *table) LocalState(bool) []byte { return nil }

// MergeRemoteState has nothing to do.
func (t *table) MergeRemoteState([]byte, bool) {}
