package gossip

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

// All addresses of a name are tried, each time anew.
func TestJoinByName(t *testing.T) {
	t.Parallel()
	a := run(t, config("a"))
	dns := names{"nodes.example": {"127.0.0.1", "::1"}}
	c := config("b", "nodes.example:"+port(a.Addr()))
	c.Resolver = dns
	b := run(t, c)
	b.awaits("a=alive")
	a.awaits("b=alive")

	// A name that is unknown is told once, and asked for again.
	c = config("c", "nobody.example")
	c.Resolver, c.pace = dns, 10*time.Millisecond
	one := run(t, c)
	eventually(t, "three look-ups", func() bool { return one.Stats().JoinsFailed >= 3 })
	if n := one.log.count("member cannot be joined"); n != 1 {
		t.Errorf("told %d times:\n%s", n, one.log)
	}
	if err := one.SetJoin([]string{"nobody.example", a.Addr()}); err != nil {
		t.Fatal(err)
	}
	one.awaits("a=alive b=alive")
	if one.Stats().Joins == 0 {
		t.Error("no join is counted")
	}
}

// A first member is alone, and does not call itself.
func TestFirstMember(t *testing.T) {
	t.Parallel()
	c := config("a")
	c.pace = 10 * time.Millisecond
	a := run(t, c)
	if err := a.SetJoin([]string{a.Addr()}); err != nil {
		t.Fatal(err)
	}
	run(t, config("b", a.Addr())).awaits("a=alive")
	a.awaits("b=alive")
	if s := a.Stats(); s != (Stats{}) {
		t.Errorf("it called: %+v", s)
	}
}

func TestThoseOfAnotherClusterOrKey(t *testing.T) {
	t.Parallel()
	const key1, key2 = "MDEyMzQ1Njc4OWFiY2RlZg==", "ZmVkY2JhOTg3NjU0MzIxMA=="
	const cluster, key = "the same --cluster", "the same --gossip-key"
	f := func(what string, change func(a, b *Config), want string) {
		t.Helper()
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			ca, cb := config("a"), config("b")
			ca.Key, cb.Key = key1, key1
			change(&ca, &cb)
			cb.pace = 10 * time.Millisecond
			a := run(t, ca)
			cb.Join = []string{a.Addr()}
			b := run(t, cb)
			eventually(t, "three attempts", func() bool { return b.Stats().JoinsFailed >= 3 })
			if n := a.log.count(want); n != 1 {
				t.Errorf("the one that was called says it %d times:\n%s", n, a.log)
			}
			if n := b.log.count(want); n == 0 || n > 2 {
				t.Errorf("the caller says it %d times:\n%s", n, b.log)
			}
			if a.sees()+b.sees() != "" {
				t.Errorf("a sees %q, b sees %q", a.sees(), b.sees())
			}
			for _, secret := range []string{key1, key2} {
				if strings.Contains(a.log.String()+b.log.String(), secret) {
					t.Error("a key is in the log")
				}
			}
		})
	}
	f("cluster", func(a, b *Config) { b.Cluster = "other" }, cluster)
	f("key", func(a, b *Config) { b.Key = key2 }, key)
	f("no key here", func(a, b *Config) { a.Key = "" }, key)
	f("no key there", func(a, b *Config) { b.Key = "" }, key)
}

func TestEncrypted(t *testing.T) {
	t.Parallel()
	ca, cb := config("a"), config("b")
	ca.Key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	cb.Key = ca.Key + "\n"
	a := run(t, ca)
	cb.Join = []string{a.Addr()}
	run(t, cb).awaits("a=alive")
	a.awaits("b=alive")
}

// foreign is a member of somebody else's making.
type foreign struct{ table }

func (*foreign) NodeMeta(int) []byte { return []byte("role=server") }

func TestForeignMemberIsIgnored(t *testing.T) {
	t.Parallel()
	a := run(t, config("a"))
	c := config("x", a.Addr())
	c.change = func(m *memberlist.Config) { m.Delegate = &foreign{} }
	x := run(t, c)
	b := run(t, config("b", a.Addr()))
	a.awaits("b=alive")
	x.awaits("a=alive b=alive")
	b.awaits("a=alive")
	eventually(t, "told", func() bool { return a.log.count(`msg="member ignored" member=x`) == 1 })
}

func TestTwoOfOneName(t *testing.T) {
	t.Parallel()
	a := run(t, config("a"))
	b := run(t, config("b", a.Addr()))
	a.awaits("b=alive")
	b.awaits("a=alive")
	run(t, config("b", a.Addr()))
	eventually(t, "told", func() bool { return a.log.count("two members have one name") == 1 })
	if got, want := a.member("b").Addr, b.Addr(); got != want {
		t.Errorf("b is at %s, was at %s", got, want)
	}
}

// network can be cut in two.
type network struct {
	mu    sync.Mutex
	apart map[string]bool // addresses on the far side, or nil
}

func (n *network) cut(far ...*one) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.apart = map[string]bool{}
	for _, m := range far {
		n.apart[m.Addr()] = true
	}
}

func (n *network) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.apart = nil
}

func (n *network) reaches(a, b string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.apart[a] == n.apart[b]
}

// cable connects a member to a network.
type cable struct {
	memberlist.NodeAwareTransport
	net  *network
	addr string
}

func (c *cable) WriteTo(b []byte, addr string) (time.Time, error) {
	return c.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (c *cable) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if !c.net.reaches(c.addr, a.Addr) {
		return time.Now(), nil // lost
	}
	return c.NodeAwareTransport.WriteToAddress(b, a)
}

func (c *cable) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return c.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (c *cable) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if !c.net.reaches(c.addr, a.Addr) {
		return nil, errors.New("no route to host")
	}
	return c.NodeAwareTransport.DialAddressTimeout(a, timeout)
}

// plug puts a member on a network. Its memberlist never speaks to the dead, as
// after a long time, and it looks for them often.
func (n *network) plug(c Config) Config {
	c.pace = 200 * time.Millisecond
	c.change = func(m *memberlist.Config) {
		m.GossipToTheDeadTime = 0
		m.PushPullInterval = 0
		addr := net.JoinHostPort(m.AdvertiseAddr, strconv.Itoa(m.AdvertisePort))
		m.Transport = &cable{m.Transport.(memberlist.NodeAwareTransport), n, addr}
	}
	return c
}

// A partition that outlasts all memory of memberlist heals.
func TestPartitionHeals(t *testing.T) {
	t.Parallel()
	n := new(network)
	a := run(t, n.plug(config("a")))
	b := run(t, n.plug(config("b", a.Addr())))
	c := run(t, n.plug(config("c", b.Addr())))
	all := func() {
		t.Helper()
		a.awaits("b=alive c=alive")
		b.awaits("a=alive c=alive")
		c.awaits("a=alive b=alive")
	}
	all()
	heal := func() {
		t.Helper()
		n.cut(c)
		c.awaits("a=dead b=dead")
		a.awaits("b=alive c=dead")
		b.awaits("a=alive c=dead")
		n.heal()
		all()
	}
	heal()
	// Without a join list, by where the dead were.
	for _, m := range []*one{a, b, c} {
		if err := m.SetJoin(nil); err != nil {
			t.Fatal(err)
		}
	}
	heal()
}

// Two fleets that started without each other become one.
func TestHalvesThatStartedApart(t *testing.T) {
	t.Parallel()
	n := new(network)
	a := run(t, n.plug(config("a")))
	b := run(t, n.plug(config("b", a.Addr())))
	c := run(t, n.plug(config("c")))
	d := run(t, n.plug(config("d", c.Addr())))
	b.awaits("a=alive")
	d.awaits("c=alive")
	if err := d.SetJoin([]string{c.Addr(), a.Addr()}); err != nil {
		t.Fatal(err)
	}
	a.awaits("b=alive c=alive d=alive")
	b.awaits("a=alive c=alive d=alive")
	c.awaits("a=alive b=alive d=alive")
}
