package tunnel

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func openFiles(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

func TestNoDescriptorIsLost(t *testing.T) {
	for _, p := range paths() {
		t.Run(p.name, func(t *testing.T) {
			tcpPairClosed(t) // the listener of all pairs
			before := openFiles(t)
			t.Run("work", func(t *testing.T) { // its cleanups close the far ends
				r := newRig(t, p)
				r.small = true
				for range 3 {
					l := r.open(Options{}, "early", "early")
					l.client.Close()
					l.backend.Close()
					r.end(l)
					l = r.open(Options{}, "", "")
					l.client.abort()
					r.end(l)
					l = r.open(Options{}, "", "")
					sent := r.stuff(l.backend)
					l.tunnel.Close(Drained)
					r.end(l)
					sent()
					l = r.open(Options{}, "", "")
					if h, err := l.tunnel.Detach(); err == nil {
						h.Client.Close()
						h.Backend.Close()
					}
				}
				c, b, near := r.sides()
				r.Close(context.Background())
				defer c.tcp.Close()
				defer b.tcp.Close()
				if _, err := r.Start(near[client], near[backend], nil, nil, Options{}, nil); !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
			})
			if after := openFiles(t); after != before {
				t.Errorf("%d descriptors are open; want %d", after, before)
			}
		})
	}
}

func tcpPairClosed(t *testing.T) {
	a, b := tcpPair(t)
	a.Close()
	b.Close()
}

func TestStartOfClosedConn(t *testing.T) {
	r := newRig(t, path{})
	for s := range 2 {
		c, b, near := r.sides()
		near[s].Close()
		if _, err := r.Start(near[client], near[backend], nil, nil, Options{}, nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
		r.hearEnd(c)
		r.hearEnd(b)
		c.Close()
		b.Close()
	}
	if r.Open() != 0 {
		t.Errorf("%d are open", r.Open())
	}
}

func TestStartWhenEpollFails(t *testing.T) {
	r := newRig(t, path{})
	for _, l := range r.loops {
		l.close()
	}
	c, b, near := r.sides()
	_, err := r.Start(near[client], near[backend], nil, nil, Options{}, func(Stats) { t.Error("done was called") })
	if err == nil || errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	r.hearEnd(c)
	r.hearEnd(b)
	c.Close()
	b.Close()
	if r.Open() != 0 {
		t.Errorf("%d are open", r.Open())
	}
}

func TestBytesBehindUrgentMark(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		if r.path.tls {
			t.Skip("TLS has no urgent data")
		}
		l := r.open(Options{}, "", "")
		for range 50 {
			raw, err := l.client.tcp.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			raw.Control(func(fd uintptr) {
				if err := unix.Sendto(int(fd), []byte("before!"), unix.MSG_OOB, nil); err != nil {
					t.Error(err)
				}
			})
			r.say(l.client, "after")
			r.hear(l.backend, "beforeafter")
		}
	})
}

func TestRelayingAllocatesNothing(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		if r.path.tls {
			t.Skip("crypto/tls allocates")
		}
		if r.path.portable && raceEnabled {
			t.Skip("the race detector empties pools")
		}
		l := r.open(Options{IdleTimeout: time.Hour}, "", "")
		buf := make([]byte, 1000)
		allocs := testing.AllocsPerRun(200, func() {
			for _, to := range []*net.TCPConn{l.backend.tcp, l.client.tcp} {
				from := l.client.tcp
				if to == from {
					from = l.backend.tcp
				}
				from.Write(buf)
				for n := 0; n < len(buf); {
					k, err := to.Read(buf[n:])
					if err != nil {
						t.Fatal(err)
					}
					n += k
				}
			}
		})
		if allocs >= 1 {
			t.Errorf("%v allocations a round trip", allocs)
		}
	})
}

func TestSocketError(t *testing.T) {
	a, b := tcpPair(t)
	defer a.Close()
	b.SetLinger(0)
	b.Close()
	fd, err := takeSocket(a)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != nil {
		t.Fatal(err)
	}
	// Once from the socket, then because it must be something.
	for range 2 {
		if err := socketError(fd); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := receive(fd, make([]byte, 1)); err != nil {
		t.Errorf("got %v; want the end, which is all that is left", err)
	}
}

func TestStartWithEndedSides(t *testing.T) {
	r := newRig(t, path{})
	c, b, near := r.sides()
	defer c.Close()
	c.CloseWrite()
	r.hearEnd(peer{near[client], near[client].(*net.TCPConn)})
	near[backend].(*net.TCPConn).CloseWrite()
	r.hearEnd(b)
	r.say(b, "tail")
	b.Close()
	raw, err := near[backend].(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	r.until("the FIN", func() (closed bool) {
		raw.Control(func(fd uintptr) {
			fds := []unix.PollFd{{Fd: int32(fd)}}
			unix.Poll(fds, 0)
			closed = fds[0].Revents&unix.POLLHUP != 0
		})
		return closed
	})
	ended := make(chan Stats, 1)
	tun, err := r.Start(near[client], near[backend], nil, nil, Options{}, func(s Stats) { ended <- s })
	if err != nil {
		t.Fatal(err)
	}
	r.hear(c, "tail")
	r.hearEnd(c)
	if s := r.end(&link{tunnel: tun, ended: ended}); s.Reason != ClientClosed && s.Reason != BackendClosed {
		t.Errorf("ended with %v, %v", s.Reason, s.Err)
	}
}
