package tunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

func TestBytesReadBeforeStartComeFirst(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		// Larger than any one read and than the sockets, so that some is held.
		r.small = true
		fromClient := strings.Repeat("early client ", 40_000)
		fromBackend := "C|CH+" + strings.Repeat("early backend ", 40_000)
		l := r.open(Options{}, fromClient, fromBackend)
		r.say(l.client, "late client")
		r.say(l.backend, "late backend")
		r.hear(l.backend, fromClient+"late client")
		r.hear(l.client, fromBackend+"late backend")
		l.client.Close()
		r.hearEnd(l.backend)
		l.backend.Close()
		s := r.end(l)
		if s.ToBackend != int64(len(fromClient+"late client")) || s.ToClient != int64(len(fromBackend+"late backend")) {
			t.Errorf("counted %+v", s)
		}
		if sum := r.Totals(); sum.ToBackend != s.ToBackend || sum.ToClient != s.ToClient || sum.Opened != 1 {
			t.Errorf("totals %+v differ from %+v", sum, s)
		}
	})
}

// TestDeadlinesAreDropped: those of the request before end nothing.
func TestDeadlinesAreDropped(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		c, b, near := r.sides()
		defer c.tcp.Close()
		defer b.tcp.Close()
		for _, n := range near {
			n.SetDeadline(time.Unix(1, 0))
		}
		if _, err := r.Start(near[client], near[backend], nil, nil, Options{}, nil); err != nil {
			t.Fatal(err)
		}
		r.say(c, "question")
		r.hear(b, "question")
		r.say(b, "answer")
		r.hear(c, "answer")
	})
}

func TestHalfClose(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		r.eitherFirst(func(t *testing.T, r *rig, pick picker, s side) {
			l := r.open(Options{}, "", "")
			first, second := pick(l)
			r.say(first, "question")
			if err := first.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			r.hear(second, "question")
			r.hearEnd(second)
			r.say(second, "a first answer")
			r.hear(first, "a first answer")
			r.say(second, "a second answer")
			second.Close()
			r.hear(first, "a second answer")
			r.hearEnd(first)
			if got := r.end(l); got.Reason != endedBy[s] || got.Err != nil {
				t.Errorf("ended with %v, %v; want %v", got.Reason, got.Err, endedBy[s])
			}
		})
	})
}

// A FIN behind bytes that the other side does not take yet waits for them.
func TestHalfCloseBehindHeldBytes(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		r.small = true
		r.eitherFirst(func(t *testing.T, r *rig, pick picker, s side) {
			l := r.open(Options{}, "", "")
			first, second := pick(l)
			sent := r.stuff(first)
			go func() { sent(); first.CloseWrite() }()
			r.say(second, "meanwhile")
			r.hear(first, "meanwhile")
			if n, err := io.Copy(io.Discard, second); n != sent() || err != nil {
				t.Fatalf("got %d bytes, %v; want %d", n, err, sent())
			}
			second.Close()
			r.hearEnd(first)
			if got := r.end(l); got.Reason != endedBy[s] {
				t.Errorf("ended with %v; want %v", got.Reason, endedBy[s])
			}
		})
	})
}

// Both have ended while bytes for one of them are still held.
func TestBothEndedWithHeldBytes(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		r.small = true
		r.eitherFirst(func(t *testing.T, r *rig, pick picker, s side) {
			l := r.open(Options{}, "", "")
			first, second := pick(l)
			sent := r.stuff(first)
			go func() { sent(); first.CloseWrite() }()
			second.CloseWrite()
			r.hearEnd(first)
			if n, err := io.Copy(io.Discard, second); n != sent() || err != nil {
				t.Fatalf("got %d bytes, %v; want %d", n, err, sent())
			}
			if got := r.end(l); got.Reason != ClientClosed && got.Reason != BackendClosed {
				t.Errorf("ended with %v", got.Reason)
			}
		})
	})
}

func TestReset(t *testing.T) {
	before := map[string]func(r *rig, first, second peer){
		"open":            func(r *rig, first, second peer) {},
		"itself half":     func(r *rig, first, second peer) { first.CloseWrite(); r.hearEnd(second) },
		"other half":      func(r *rig, first, second peer) { second.CloseWrite(); r.hearEnd(first) },
		"bytes from it":   func(r *rig, first, second peer) { r.stuff(first) },
		"bytes for it":    func(r *rig, first, second peer) { r.stuff(second) },
		"bytes both ways": func(r *rig, first, second peer) { r.stuff(first); r.stuff(second) },
	}
	everyPath(t, func(t *testing.T, r *rig) {
		r.small = true
		for name, prepare := range before {
			r.run(name, func(t *testing.T, r *rig) {
				r.eitherFirst(func(t *testing.T, r *rig, pick picker, s side) {
					l := r.open(Options{}, "", "")
					first, second := pick(l)
					prepare(r, first, second)
					first.abort()
					if name == "itself half" {
						// The second has had its FIN. A pump that has read
						// to the end learns of the reset by writing only.
						if r.path.portable || r.path.tls {
							io.WriteString(second, "anyone?")
						}
					} else {
						r.hearReset(second)
					}
					if got := r.end(l); got.Reason != abortedBy[s] || got.Err == nil {
						t.Errorf("ended with %v, %v; want %v and a cause", got.Reason, got.Err, abortedBy[s])
					}
				})
			})
		}
	})
}

// The peer of a connection may be gone before the tunnel starts.
func TestStartWithResetPeer(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		for s := range side(2) {
			c, b, near := r.sides()
			far := [2]peer{c, b}
			far[s].abort()
			ended := make(chan Stats, 1)
			tun, err := r.Start(near[client], near[backend], []byte("early"), []byte("early"), Options{},
				func(s Stats) { ended <- s })
			if err != nil {
				t.Fatal(err)
			}
			r.hearReset(far[s.other()])
			if got := r.end(&link{tunnel: tun, ended: ended}); got.Reason != abortedBy[s] || got.Err == nil {
				t.Errorf("ended with %v, %v; want %v and a cause", got.Reason, got.Err, abortedBy[s])
			}
			far[s.other()].tcp.Close()
		}
	})
}

// A side that resets the connection behind its last message has that message
// delivered, also when the relay learns of the reset by writing.
func TestLastWords(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		l := r.open(Options{}, "", "")
		r.say(l.client, "never read")
		r.until("bytes at the backend", func() bool { return l.tunnel.Stats().ToBackend > 0 })
		r.say(l.backend, "bye")
		l.backend.Close() // with unread input, so a RST goes out
		r.hear(l.client, "bye")
		if s := r.end(l); s.Reason != BackendAborted && s.Reason != BackendClosed {
			t.Errorf("ended with %v, %v", s.Reason, s.Err)
		}
	})
}

func TestIdleTimeout(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		never := r.open(Options{}, "", "")
		l := r.open(Options{IdleTimeout: time.Minute}, "", "")
		ticks := int(time.Minute / tick)
		for _, speak := range []peer{l.client, l.backend} {
			r.tick(ticks - 1)
			before := l.tunnel.Stats()
			r.say(speak, "still here")
			r.until("the bytes", func() bool { s := l.tunnel.Stats(); return s != before })
		}
		r.tick(ticks - 1)
		if s := l.tunnel.Stats(); s.Reason != 0 {
			t.Fatalf("closed early: %+v", s)
		}
		r.tick(ticks) // a pump may have noted its last write meanwhile
		if s := r.end(l); s.Reason != Idle || s.Err != nil {
			t.Errorf("ended with %v, %v", s.Reason, s.Err)
		}
		r.hear(l.client, "still here")
		r.hearEnd(l.client)
		r.hear(l.backend, "still here")
		r.hearEnd(l.backend)
		r.tick(5 * ticks)
		r.say(never.client, "alive")
		r.hear(never.backend, "alive")
	})
}

// A half-closed tunnel whose other direction never ends is idle some day.
func TestIdleTimeoutOfHalfClosed(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		l := r.open(Options{IdleTimeout: time.Second}, "", "")
		l.client.CloseWrite()
		r.hearEnd(l.backend)
		r.tick(2 * int(time.Second/tick))
		r.hearEnd(l.client)
		if s := r.end(l); s.Reason != Idle {
			t.Errorf("ended with %v", s.Reason)
		}
	})
}

func TestCloseDropsHeldBytesWithReset(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		r.small = true
		r.eitherFirst(func(t *testing.T, r *rig, pick picker, s side) {
			l := r.open(Options{}, "", "")
			first, second := pick(l)
			r.stuff(first)
			l.tunnel.Close(Drained)
			l.tunnel.Close(Stopped)
			if s := r.end(l); s.Reason != Drained || s.Err != nil {
				t.Errorf("ended with %v, %v", s.Reason, s.Err)
			}
			r.hearReset(second) // only now: what it reads makes room
			l.tunnel.Close(Stopped)
			select {
			case s := <-l.ended:
				t.Errorf("ended twice: %+v", s)
			default:
			}
		})
	})
}

func TestCloseOfQuietTunnelIsAnEnd(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		l := r.open(Options{}, "", "")
		l.tunnel.Close(Drained)
		r.hearEnd(l.client)
		r.hearEnd(l.backend)
		if s := r.end(l); s.Reason != Drained {
			t.Errorf("ended with %v", s.Reason)
		}
	})
}

func TestStartAfterClose(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		l := r.open(Options{}, "", "")
		c, b, near := r.sides()
		if err := r.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if s := r.end(l); s.Reason != Stopped {
			t.Errorf("ended with %v", s.Reason)
		}
		tun, err := r.Start(near[client], near[backend], nil, nil, Options{}, func(Stats) { t.Error("done was called") })
		if tun != nil || !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, %v", tun, err)
		}
		r.hearEnd(c)
		r.hearEnd(b)
		if err := r.Close(context.Background()); err != nil {
			t.Errorf("closing again: %v", err)
		}
	})
}

// What is held in both directions and a FIN that was seen outlive the change.
func TestKeepAlive(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		for _, every := range []time.Duration{time.Minute, -1} {
			l := r.open(Options{KeepAlive: every}, "", "")
			l.client.Close()
			l.backend.Close()
			r.end(l)
		}
	})
	dialed, accepted := tcpPair(t)
	defer dialed.Close()
	defer accepted.Close()
	f := func(every time.Duration, want int) {
		t.Helper()
		setKeepAlive(dialed, every)
		raw, _ := dialed.SyscallConn()
		raw.Control(func(fd uintptr) {
			got, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
			if err != nil || (got != 0) != (want != 0) {
				t.Errorf("KeepAlive %v: SO_KEEPALIVE is %d, %v", every, got, err)
			}
		})
	}
	f(-1, 0)
	f(0, 0)
	f(time.Minute, 1)
	f(0, 1)
}

// The error of a reset is reported once. When the pump that writes has had it,
// the one that reads sees what looks like a FIN.
func TestResetThatLooksLikeAnEnd(t *testing.T) {
	r := newRig(t, path{portable: true})
	r.eitherFirst(func(t *testing.T, r *rig, pick picker, s side) {
		c, b, near := r.sides()
		far := [2]peer{c, b}
		defer far[s.other()].tcp.Close()
		far[s].abort()
		r.until("the error", func() bool { _, err := near[s].Write([]byte("x")); return err != nil })
		ended := make(chan Stats, 1)
		tun, err := r.Start(near[client], near[backend], nil, nil, Options{}, func(s Stats) { ended <- s })
		if err != nil {
			t.Fatal(err)
		}
		r.hearReset(far[s.other()])
		if got := r.end(&link{tunnel: tun, ended: ended}); got.Reason != abortedBy[s] || got.Err == nil {
			t.Errorf("ended with %v, %v; want %v and a cause", got.Reason, got.Err, abortedBy[s])
		}
	})
}

// wrapped embeds a socket but reads otherwise, as a peeking listener's does.
type wrapped struct {
	*net.TCPConn
	first io.Reader
}

func (w *wrapped) Read(p []byte) (int, error) { return io.MultiReader(w.first, w.TCPConn).Read(p) }

func TestWrapperIsReadThroughItself(t *testing.T) {
	everyPath(t, func(t *testing.T, r *rig) {
		if r.path.dialed {
			t.Skip("what the relay has dialed is its own")
		}
		c, b, near := r.sides()
		near[backend] = &wrapped{near[backend].(*net.TCPConn), strings.NewReader("peeked ")}
		if _, err := r.Start(near[client], near[backend], nil, nil, Options{}, nil); err != nil {
			t.Fatal(err)
		}
		r.say(b, "and read")
		r.hear(c, "peeked and read")
		c.Close()
		r.hearEnd(b)
		b.Close()
		r.until("the end", func() bool { return r.Open() == 0 })
	})
}
