package tunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestReasonNames(t *testing.T) {
	f := func(r Reason, want string) {
		t.Helper()
		if got := r.String(); got != want {
			t.Errorf("%d is %q; want %q", r, got, want)
		}
	}
	f(0, "unknown")
	f(ClientClosed, "client_closed")
	f(BackendClosed, "backend_closed")
	f(ClientAborted, "client_aborted")
	f(BackendAborted, "backend_aborted")
	f(Idle, "idle")
	f(Drained, "drained")
	f(Stopped, "stopped")
	f(Detached, "detached")
	f(200, "unknown")
}

// piped starts a tunnel between two pipes, which know no half-close, inside a
// synctest bubble.
func piped(t *testing.T, r *Relay, o Options) (c, b net.Conn, ended chan Stats) {
	t.Helper()
	c, nearC := net.Pipe()
	b, nearB := net.Pipe()
	ended = make(chan Stats, 1)
	if _, err := r.Start(nearC, nearB, nil, nil, o, func(s Stats) { ended <- s }); err != nil {
		t.Fatal(err)
	}
	return c, b, ended
}

func bubble(t *testing.T, f func(t *testing.T, r *Relay)) {
	synctest.Test(t, func(t *testing.T) {
		r, err := NewRelay(Config{Portable: true})
		if err != nil {
			t.Fatal(err)
		}
		f(t, r)
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// pass lets the time of a bubble pass.
func pass(d time.Duration) { <-time.After(d) }

func TestDrainIsPaced(t *testing.T) {
	bubble(t, func(t *testing.T, r *Relay) {
		const n = 5
		start := time.Now()
		closed := make(chan time.Duration, n+1)
		watch := func(ended chan Stats) {
			if s := <-ended; s.Reason != Drained {
				t.Errorf("ended with %v", s.Reason)
			}
			closed <- time.Since(start)
		}
		for range n {
			_, _, ended := piped(t, r, Options{})
			go watch(ended)
		}
		go func() {
			pass(1500 * time.Millisecond) // one more comes meanwhile
			_, _, ended := piped(t, r, Options{})
			watch(ended)
		}()
		if err := r.Drain(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		for i := range n + 1 {
			if got, want := <-closed, time.Duration(i)*time.Second; got != want {
				t.Errorf("close %d came after %v; want %v", i, got, want)
			}
		}
	})
}

func TestDrainEndsWithContext(t *testing.T) {
	bubble(t, func(t *testing.T, r *Relay) {
		_, _, first := piped(t, r, Options{})
		_, _, second := piped(t, r, Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.Drain(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if r.Open() != 1 || len(first)+len(second) != 1 {
			t.Errorf("%d are open, %d ended; want one each", r.Open(), len(first)+len(second))
		}
	})
}

func TestDrainOfNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *Relay) {
		if err := r.Drain(t.Context(), time.Hour); err != nil {
			t.Error(err)
		}
	})
}

func TestTunnelsYieldsTheOpen(t *testing.T) {
	bubble(t, func(t *testing.T, r *Relay) {
		for range 3 {
			piped(t, r, Options{})
		}
		seen := map[*Tunnel]bool{}
		for tun := range r.Tunnels() {
			seen[tun] = true
			tun.Close(Drained)
			if len(seen) == 2 {
				break
			}
		}
		synctest.Wait()
		if len(seen) != 2 || r.Open() != 1 {
			t.Errorf("saw %d, left %d open", len(seen), r.Open())
		}
		for tun := range r.Tunnels() {
			if seen[tun] {
				t.Error("yielded one that has ended")
			}
		}
	})
}

// The ticker of a real relay: never early, at most half a second late.
func TestIdleTimeoutInTime(t *testing.T) {
	bubble(t, func(t *testing.T, r *Relay) {
		for _, idle := range []time.Duration{time.Millisecond, time.Second, 1100 * time.Millisecond, time.Hour} {
			pass(77 * time.Millisecond)
			c, b, ended := piped(t, r, Options{IdleTimeout: idle})
			pass(idle / 2)
			go io.WriteString(c, "x")
			b.Read(make([]byte, 1))
			last := time.Now()
			s := <-ended
			if late := time.Since(last) - idle; s.Reason != Idle || late < 0 || late > 2*tick {
				t.Errorf("idle timeout %v: ended with %v, late by %v", idle, s.Reason, late)
			}
		}
	})
}

// A connection without half-close ends as a whole.
func TestEndOfConnWithoutHalfClose(t *testing.T) {
	bubble(t, func(t *testing.T, r *Relay) {
		c, b, ended := piped(t, r, Options{})
		go func() {
			io.WriteString(b, "bye")
			b.Close()
		}()
		if got, err := io.ReadAll(c); string(got) != "bye" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if s := <-ended; s.Reason != BackendClosed || s.Err != nil {
			t.Errorf("ended with %v, %v", s.Reason, s.Err)
		}
	})
}

// slowDone keeps done from returning.
// deaf takes no bytes.
type deaf struct{ net.Conn }

func (deaf) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// After a failed write the other direction goes on for what was said before,
// but not for longer than lastWords, whoever keeps it waiting.
func TestLastWordsOnPumps(t *testing.T) {
	f := func(name string, say time.Duration, hear bool, want string, after time.Duration) {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *Relay) {
				c, nearC := net.Pipe()
				b, nearB := net.Pipe()
				ended := make(chan Stats, 1)
				start := time.Now()
				if _, err := r.Start(nearC, deaf{nearB}, []byte("x"), nil, Options{}, func(s Stats) { ended <- s }); err != nil {
					t.Fatal(err)
				}
				var g sync.WaitGroup
				defer g.Wait()
				g.Go(func() {
					pass(say)
					io.WriteString(b, "bye")
					b.Close()
				})
				if hear {
					if got, err := io.ReadAll(c); string(got) != want || err != nil {
						t.Errorf("got %q, %v; want %q", got, err, want)
					}
				}
				s := <-ended
				if s.Reason != BackendAborted || !errors.Is(s.Err, io.ErrClosedPipe) {
					t.Errorf("ended with %v, %v", s.Reason, s.Err)
				}
				if took := time.Since(start); took != after {
					t.Errorf("took %v; want %v", took, after)
				}
			})
		})
	}
	f("said in time", lastWords/2, true, "bye", lastWords/2)
	f("said too late", 2*lastWords, true, "", lastWords)
	f("not heard", time.Millisecond, false, "", lastWords) // a pipe that is closed at once takes no deadline
}

func TestCloseWaitsForDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := NewRelay(Config{Portable: true})
		if err != nil {
			t.Fatal(err)
		}
		c, nearC := net.Pipe()
		b, nearB := net.Pipe()
		defer c.Close()
		defer b.Close()
		if _, err := r.Start(nearC, nearB, nil, nil, Options{}, func(Stats) { pass(time.Hour) }); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v; want the deadline", err)
		}
		start := time.Now()
		if err := r.Close(t.Context()); err != nil || time.Since(start) < 58*time.Minute {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}
