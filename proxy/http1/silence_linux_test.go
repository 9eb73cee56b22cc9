package http1

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDialLimitsSilence: a tunnel to a host that has vanished ends, though nothing
// ever comes that would end it.
func TestDialLimitsSilence(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := PoolConfig{Addr: l.Addr().String(), DialTimeout: 10 * time.Second, MaxSilence: 7 * time.Second}
	c, err := cfg.dialer()(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got int
	if cerr := raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	if got != 7000 {
		t.Errorf("what was sent may be without an answer for %d ms, want 7000", got)
	}
}
