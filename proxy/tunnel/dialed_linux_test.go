package tunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"
	"golang.org/x/sys/unix"
)

// TestDialedIsAConn: what Dial returns keeps the promises of net.Conn, among them
// deadlines for those who wait already and use by many.
func TestDialedIsAConn(t *testing.T) {
	r := newRig(t, path{dialed: true})
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		near, far := connect(t, r.dialBackend)
		return near, far, func() { near.Close(); far.Close() }, nil
	})
}

// TestDialedRaw: a waiter of the RawConn hears of bytes, of room, of a deadline
// and of Close, each while it waits.
func TestDialedRaw(t *testing.T) {
	r := newRig(t, path{dialed: true})
	open := func() (net.Conn, *net.TCPConn, syscall.RawConn) {
		near, far := connect(t, r.dialBackend)
		t.Cleanup(func() { near.Close(); far.Close() })
		raw, err := near.(syscall.Conn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		return near, far, raw
	}
	waits := func(wait func(func(uintptr) bool) error, enough func(fd uintptr) bool) chan error {
		tried, done := make(chan struct{}, 100), make(chan error, 1)
		go func() {
			done <- wait(func(fd uintptr) bool {
				ok := enough(fd)
				tried <- struct{}{}
				return ok
			})
		}()
		<-tried
		return done
	}
	buf := make([]byte, 1<<20)
	hears := func(fd uintptr) bool {
		n, err := receive(int(fd), buf)
		return n > 0 || err != unix.EAGAIN
	}
	fills := func(fd uintptr) bool {
		for {
			if n, err := send(int(fd), buf); n < len(buf) || err != nil {
				return false
			}
		}
	}

	_, far, raw := open()
	done := waits(raw.Read, hears)
	r.say(peer{far, far}, "now")
	if err := <-done; err != nil {
		t.Error(err)
	}

	near, far, raw := open()
	full := false
	done = waits(raw.Write, func(fd uintptr) bool {
		if full {
			return true // asked again
		}
		full = true
		return fills(fd)
	})
	go io.Copy(io.Discard, far)
	if err := <-done; err != nil {
		t.Error(err)
	}
	near.SetWriteDeadline(time.Unix(1, 0))
	if err := raw.Write(fills); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write after its deadline: %v", err)
	}

	near, _, raw = open()
	done = waits(raw.Read, hears)
	near.SetReadDeadline(time.Unix(1, 0))
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a deadline ends a wait with %v", err)
	}
	near.SetReadDeadline(time.Now().Add(time.Millisecond))
	if err := raw.Read(hears); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a deadline that comes ends a wait with %v", err)
	}
	near.SetReadDeadline(time.Time{})
	done = waits(raw.Read, hears)
	near.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Close ends a wait with %v", err)
	}
	if err := raw.Control(func(uintptr) {}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestDialedSpeaksFirst: what the backend has sent before Start, its end among
// it, arrives though the loop has been told of it before.
func TestDialedSpeaksFirst(t *testing.T) {
	for _, last := range []string{"", "end", "reset"} {
		t.Run("last="+last, func(t *testing.T) {
			r := newRig(t, path{dialed: true})
			c, b, near := r.sides()
			defer c.tcp.Close()
			text := strings.Repeat("more than a look takes ", 1000)
			d := near[backend].(*dialed)
			told := func() { // what the loop was told is not told again
				r.until("an event", func() bool {
					d.pair.mu.Lock()
					defer d.pair.mu.Unlock()
					ready := d.reader.ready
					d.reader.ready = false
					return ready
				})
			}
			r.say(b, "101"+text)
			told()
			switch last {
			case "end":
				b.CloseWrite()
				told()
			case "reset":
				b.abort()
				told()
			}
			head := make([]byte, 3)
			if _, err := io.ReadFull(near[backend], head); err != nil && last != "reset" {
				t.Fatal(err)
			}
			if last == "reset" {
				if _, err := r.Start(near[client], near[backend], nil, nil, Options{}, nil); err != nil {
					t.Fatal(err)
				}
				r.hearReset(c)
				return
			}
			if _, err := r.Start(near[client], near[backend], nil, nil, Options{}, nil); err != nil {
				t.Fatal(err)
			}
			r.hear(c, text)
			if last == "end" {
				r.hearEnd(c)
			}
			r.say(c, "and back")
			r.hear(b, "and back")
			b.tcp.Close()
			c.tcp.Close()
			r.until("the end", func() bool { return r.Open() == 0 })
		})
	}
}

// TestDialFails: the errors that a dial can have, and that nothing is left of it.
func TestDialFails(t *testing.T) {
	tcpPairClosed(t)
	before := openFiles(t)
	t.Run("all", func(t *testing.T) {
		r := newRig(t, path{dialed: true})
		ctx := context.Background()
		f := func(name string, ctx context.Context, to netip.AddrPort, o DialOptions, want error, timeout bool) {
			t.Helper()
			c, err := r.Dial(ctx, to, o)
			if c != nil || !errors.Is(err, want) {
				t.Fatalf("%s: %v, %v; want %v", name, c, err, want)
			}
			var of net.Error
			if !errors.As(err, &of) || of.Timeout() != timeout {
				t.Errorf("%s: %v is a timeout: %v", name, err, !timeout)
			}
		}
		l := listen(t)
		closed := l.Addr().(*net.TCPAddr).AddrPort()
		l.Close()
		f("refused", ctx, closed, DialOptions{}, unix.ECONNREFUSED, false)
		f("no such address", ctx, netip.MustParseAddrPort("255.255.255.255:1"), DialOptions{}, unix.ENETUNREACH, false)

		full := fullListener(t)
		f("timeout", ctx, full, DialOptions{Timeout: time.Millisecond}, os.ErrDeadlineExceeded, true)
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		f("context's end", short, full, DialOptions{Timeout: time.Hour}, context.DeadlineExceeded, true)
		given, cancel := context.WithCancel(ctx)
		cancel()
		f("given up", given, full, DialOptions{}, context.Canceled, false)

		if _, err := r.Dial(ctx, netip.MustParseAddrPort("[fe80::1%lo]:1"), DialOptions{}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("an address with a zone: %v", err)
		}
		if err := r.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Dial(ctx, closed, DialOptions{}); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors are open; want %d", after, before)
	}
	portable := newRig(t, path{portable: true})
	if _, err := portable.Dial(context.Background(), netip.AddrPort{}, DialOptions{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("without loops: %v", err)
	}
}

// fullListener has no room for another connection: the kernel leaves who asks
// without an answer.
func fullListener(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(sa.(*unix.SockaddrInet4).Port))
	c, err := net.DialTimeout("tcp", addr.String(), patience) // a backlog of 0 takes one
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return addr
}

// TestDialSlowly: a connection that stands only after a while is waited for.
func TestDialSlowly(t *testing.T) {
	r := newRig(t, path{dialed: true})
	l := r.loops[0]
	d := &dialed{pair: &pair{loop: l}}
	p := d.pair
	p.way, p.relay, p.shard, p.dialed = p, r.Relay, &l.shard, d
	ln := listen(t)
	defer ln.Close()
	address := newSockaddr(ln.Addr().(*net.TCPAddr).AddrPort())
	fd, err := openSocket(unix.AF_INET, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	p.ends[backend].fd = fd
	if !l.reserve(&p.Tunnel) {
		t.Fatal("closed")
	}
	defer d.Close()
	if err := d.watch(true); err != nil {
		t.Fatal(err)
	}
	if errno := address.connect(fd); errno != unix.EINPROGRESS {
		t.Fatal(errno)
	}
	if err := d.connected(context.Background(), &address, patience); err != nil {
		t.Fatal(err)
	}
	if v, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); v != 60_000 || err != nil {
		t.Errorf("TCP_USER_TIMEOUT is %d, %v", v, err)
	}
	if v, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY); v == 0 || err != nil {
		t.Errorf("TCP_NODELAY is %d, %v", v, err)
	}
}

// TestDialIPv6 dials by the longer address.
func TestDialIPv6(t *testing.T) {
	ln, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip(err)
	}
	defer ln.Close()
	r := newRig(t, path{dialed: true})
	c, err := r.Dial(context.Background(), ln.Addr().(*net.TCPAddr).AddrPort(), DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if c.LocalAddr().String() != far.RemoteAddr().String() || c.RemoteAddr().String() != ln.Addr().String() {
		t.Errorf("from %v to %v; the other end says from %v to %v", c.LocalAddr(), c.RemoteAddr(), far.RemoteAddr(), ln.Addr())
	}
}
