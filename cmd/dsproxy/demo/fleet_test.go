package demo

import (
	"net"
	"slices"
	"strings"
	"testing"
)

// The page is said to be where a browser can open it.
func TestDescribe(t *testing.T) {
	f := newFleet("", &redisStore{addr: "127.0.0.1:6379"})
	for addr, want := range map[*net.TCPAddr]string{
		{IP: net.IPv4(127, 0, 0, 1), Port: 8080}: "http://127.0.0.1:8080/",
		{IP: net.IPv6loopback, Port: 8080}:       "http://[::1]:8080/",
		{IP: net.IPv6unspecified, Port: 8080}:    "http://localhost:8080/",
		{IP: net.IPv4zero, Port: 8080}:           "http://localhost:8080/",
	} {
		if text := f.describe(addr); !strings.Contains(text, "page       "+want+"\n") {
			t.Errorf("%s: not %s in %s", addr, want, text)
		}
	}
}

// What a proxy says is told once, however what it counts goes up.
func TestJournalOfReasons(t *testing.T) {
	f := newFleet("", &redisStore{addr: "127.0.0.1:6379"})
	was := &state{Proxies: make([]proxyView, 2)}
	for _, reasons := range [][]string{
		{"table away, 0 pins wait for it"},
		{"table away, 7 pins wait for it"},
		{"no backend takes new sessions", "table away, 12 pins wait for it"},
		{"table away, 12 pins wait for it"},
		nil,
		{"table away, 3 pins wait for it"},
	} {
		is := &state{Proxies: []proxyView{{Name: "proxy-1", reasons: reasons}, {Name: "proxy-2"}}}
		f.compare(was, is)
		was = is
	}
	var got []string
	for _, e := range f.since(0) {
		got = append(got, e.Text)
	}
	want := []string{
		"proxy-1: table away, 0 pins wait for it",
		"proxy-1: no backend takes new sessions",
		"proxy-1: table away, 3 pins wait for it",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the journal says\n%s\nand not\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A proxy that has a node may not be ready for it yet.
func TestWhole(t *testing.T) {
	f := func(want bool, proxy, node string, seenBy ...string) {
		t.Helper()
		s := &state{Proxies: []proxyView{{Name: "proxy-1", State: "up"}, {Name: "proxy-2", State: proxy}},
			Nodes: []nodeView{{Name: "node-1", State: node, Seen: map[string]string{}}}}
		for _, p := range seenBy {
			s.Nodes[0].Seen[p] = "up"
		}
		if got := s.whole(); got != want {
			t.Errorf("a proxy that is %s, a node that is %s and seen by %q are whole: %v", proxy, node, seenBy, got)
		}
	}
	f(true, "up", "up", "proxy-1", "proxy-2")
	f(false, "up", "up", "proxy-1")
	f(false, "not ready", "up", "proxy-1", "proxy-2")
	f(false, "up", "starting", "proxy-1", "proxy-2")
	if new(state).whole() {
		t.Error("a fleet at which nobody has looked is whole")
	}
}
