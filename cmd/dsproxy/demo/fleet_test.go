package demo

import (
	"net"
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
