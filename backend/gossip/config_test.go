package gossip

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestConfigErrors(t *testing.T) {
	f := func(want string, change func(c *Config)) {
		t.Helper()
		c := config("a")
		change(&c)
		err := c.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f("", func(c *Config) {})
	f("", func(c *Config) { c.Bind = "" })
	f("", func(c *Config) { c.Bind = ":7946" })
	f("", func(c *Config) { c.Bind = "[::]:7946" })
	f("", func(c *Config) {
		c.Join = []string{"nodes", "nodes:1", "10.0.0.1", "[fd00::1]:7", "fd00::1", "[fd00::1]"}
	})
	f("", func(c *Config) { c.Key = "MDEyMzQ1Njc4OWFiY2RlZg==" })
	f(`--name: "" is not a name`, func(c *Config) { c.Name = "" })
	f(`--name: "a b" is not a name`, func(c *Config) { c.Name = "a b" })
	f("role", func(c *Config) { c.Role = "" })
	f("--cluster", func(c *Config) { c.Cluster = "" })
	f("--cluster", func(c *Config) { c.Cluster = strings.Repeat("x", 256) })
	f(`--bind: "localhost:1" is not an address to listen on; write IP:port`, func(c *Config) { c.Bind = "localhost:1" })
	f("--bind", func(c *Config) { c.Bind = "10.0.0.1" })
	f("--advertise", func(c *Config) { c.Advertise = "host:port" })
	f(`--join: "a:0" is not an address; write host or host:port`, func(c *Config) { c.Join = []string{"ok", "a:0"} })
	f("--join", func(c *Config) { c.Join = []string{"name/10.0.0.1"} })
	f("--join", func(c *Config) { c.Join = []string{""} })
	f("--gossip-key: must be base64 of 16, 24 or 32 bytes", func(c *Config) { c.Key = "secret" })
	f("--gossip-key", func(c *Config) { c.Key = "c2hvcnQ=" })
	f("announcement: weight", func(c *Config) { c.Weight = 1001 })
	f("announcement: address", func(c *Config) { c.Announcement.Addr = "nowhere" })

	c := config("a")
	c.Key = "c2VjcmV0"
	if err := c.Validate(); err == nil || strings.Contains(err.Error(), c.Key) {
		t.Errorf("%v: the key is shown", err)
	}
}

// names is a resolver of these names.
type names map[string][]string

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	found, ok := n[host]
	if !ok {
		return nil, errors.New("no such host")
	}
	var all []netip.Addr
	for _, a := range found {
		all = append(all, netip.MustParseAddr(a))
	}
	return all, nil
}

func TestAdvertised(t *testing.T) {
	f := func(advertise, bound, want string) {
		t.Helper()
		c := Config{Advertise: advertise, Resolver: names{"node.example": {"10.1.2.3"}, "empty.example": nil}}
		got, err := c.advertised(netip.MustParseAddrPort(bound))
		if text := got.String(); err != nil && !strings.Contains(err.Error(), want) || err == nil && text != want {
			t.Errorf("%q at %s: %s, %v; want %s", advertise, bound, text, err, want)
		}
	}
	f("", "127.0.0.1:7000", "127.0.0.1:7000")
	f("10.0.0.1", "0.0.0.0:7000", "10.0.0.1:7000")
	f("10.0.0.1:1", "0.0.0.0:7000", "10.0.0.1:1")
	f("node.example:2", "0.0.0.0:7000", "10.1.2.3:2")
	f("[fd00::1]:3", "0.0.0.0:7000", "[fd00::1]:3")
	f("nobody.example", "0.0.0.0:7000", "no such host")
	f("empty.example", "0.0.0.0:7000", "has no address")

	guessed, err := (&Config{}).advertised(netip.MustParseAddrPort("0.0.0.0:7000"))
	if err != nil || guessed.Addr().IsUnspecified() || guessed.Port() != 7000 {
		t.Errorf("guessed %s, %v", guessed, err)
	}
}

func TestChosenAddress(t *testing.T) {
	f := func(out4, out6, all, want string) {
		t.Helper()
		addr := func(s string) netip.Addr { a, _ := netip.ParseAddr(s); return a } // "" is the zero one
		var own []netip.Addr
		for _, s := range strings.Fields(all) {
			own = append(own, addr(s))
		}
		if got := chooseAddress(addr(out4), addr(out6), own); got != addr(want) {
			t.Errorf("of %s with routes %q and %q: %s, want %s", all, out4, out6, got, want)
		}
	}
	f("10.0.1.5", "", "127.0.0.1 172.17.0.1 10.0.1.5", "10.0.1.5")
	f("203.0.113.7", "2600:1f18::5", "127.0.0.1 203.0.113.7 10.0.1.5 ::1 2600:1f18::5", "10.0.1.5")
	f("203.0.113.7", "2600:1f18::5", "127.0.0.1 203.0.113.7 ::1 2600:1f18::5", "203.0.113.7")
	f("", "2600:1f18::5", "127.0.0.1 172.17.0.1 ::1 2600:1f18::5 fe80::1", "2600:1f18::5")
	f("", "", "127.0.0.1 ::1 fe80::1 2600:1f18::5", "2600:1f18::5")
	f("", "", "127.0.0.1 ::1 fd00::5 2600:1f18::5", "fd00::5")
	f("", "", "127.0.0.1 ::1 fe80::1", "127.0.0.1")
	f("", "", "", "")
}

func TestPortTaken(t *testing.T) {
	a := run(t, config("a"))
	c := config("b")
	c.Bind = a.Addr()
	if f, err := New(c); err == nil || !strings.Contains(err.Error(), "listen for gossip on "+a.Addr()) {
		t.Errorf("%v", err)
		if f != nil {
			f.Close()
		}
	}
}
