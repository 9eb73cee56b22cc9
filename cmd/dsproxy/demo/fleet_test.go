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
