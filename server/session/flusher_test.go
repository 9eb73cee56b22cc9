package session

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/wire"
)

// holding is a flusher of one worker and sessions that it writes.
type holding struct {
	t        *testing.T
	flusher  *Flusher
	sessions []*Session
	pipes    []*pipe
}

// newHolding runs in a bubble of synctest; stop ends it.
func newHolding(t *testing.T, sessions int) (h *holding, stop func()) {
	h = &holding{t: t, flusher: NewFlusher(1)}
	registry := NewRegistry(h.flusher, &handler{})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = h.flusher.Run(ctx) })
	for range sessions {
		p := &pipe{room: -1, gate: make(chan struct{})}
		s, err := registry.New(p, wire.TextG1, &Limits{OutboxBytes: 1 << 20}, &Handshake{})
		if err != nil {
			t.Fatal(err)
		}
		h.sessions, h.pipes = append(h.sessions, s), append(h.pipes, p)
	}
	synctest.Wait()
	return h, func() {
		for _, s := range h.sessions {
			s.End()
		}
		cancel()
		running.Wait()
	}
}

// send sends one event to sessions [from, to).
func (h *holding) send(from, to int) {
	for _, s := range h.sessions[from:to] {
		s.Send(&message.Message{Topic: message.Event, Action: message.EventEmit, Name: "n", Data: "1"})
	}
}

// wrote checks how many sessions have been written to.
func (h *holding) wrote(when string, want int) {
	h.t.Helper()
	got := 0
	for _, p := range h.pipes {
		if p.said() != "" {
			got++
		}
	}
	if got != want {
		h.t.Errorf("%s %d sessions were written to, want %d", when, got, want)
	}
}

// TestHold: what is sent to few sessions waits for who holds, and leaves by its
// hand or by the workers'.
func TestHold(t *testing.T) {
	f := func(name string, sessions int, test func(h *holding)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, stop := newHolding(t, sessions)
				defer stop()
				test(h)
			})
		})
	}
	f("release writes by itself", 3, func(h *holding) {
		h.flusher.Hold()
		h.send(0, 3)
		synctest.Wait()
		h.wrote("held", 0)
		h.flusher.Release()
		h.wrote("after the release", 3)
	})
	f("the workers write what is let go", 3, func(h *holding) {
		h.flusher.Hold()
		h.send(0, 3)
		synctest.Wait()
		h.flusher.LetGo()
		synctest.Wait()
		h.wrote("let go", 3)
	})
	f("what comes after the workers were roused is held again", 2, func(h *holding) {
		h.flusher.Hold()
		h.send(0, 1)
		h.flusher.Rouse()
		synctest.Wait()
		h.wrote("roused", 1)
		h.send(1, 2)
		synctest.Wait()
		h.wrote("later", 1)
		h.flusher.Release()
	})
	f("many do not wait", few, func(h *holding) {
		h.flusher.Hold()
		h.send(0, few-1)
		synctest.Wait()
		h.wrote("held", 0)
		h.send(few-1, few)
		synctest.Wait()
		h.wrote("of so many", few)
		h.flusher.Release()
	})
	f("a release leaves many to the workers", few, func(h *holding) {
		h.flusher.Hold()
		h.send(0, few) // the worker has no chance before the release
		h.flusher.Release()
		synctest.Wait()
		h.wrote("after the release", few)
	})
	f("afterwards nothing is held", 2, func(h *holding) {
		h.flusher.Hold()
		h.flusher.Release()
		h.send(0, 1)
		synctest.Wait()
		h.wrote("after a release of nothing", 1)
		h.flusher.Hold()
		h.flusher.LetGo()
		h.send(1, 2)
		synctest.Wait()
		h.wrote("after nothing was let go", 2)
	})
	f("one of two who hold releases", 2, func(h *holding) {
		h.flusher.Hold()
		h.flusher.Hold()
		h.send(0, 1)
		h.flusher.Release()
		h.wrote("after the first", 1)
		h.send(1, 2)
		synctest.Wait()
		h.wrote("while the other holds", 1)
		h.flusher.Release()
		h.wrote("after the second", 2)
	})
	f("messages to one session leave together", 1, func(h *holding) {
		h.flusher.Hold()
		h.send(0, 1)
		h.send(0, 1)
		h.flusher.Release()
		h.wrote("after the release", 1)
		if n := len(h.pipes[0].writes); n != 1 {
			h.t.Errorf("two messages left in %d writes", n)
		}
	})
	f("a session that cannot take all catches up", 1, func(h *holding) {
		h.pipes[0].room = 3
		h.flusher.Hold()
		h.send(0, 1)
		h.flusher.Release() // does not wait for the network
		h.wrote("after the release", 1)
		close(h.pipes[0].gate)
		synctest.Wait()
		if want, got := "E|EVT|n|N1+", h.pipes[0].said(); got != want {
			h.t.Errorf("the client heard %q, want %q", got, want)
		}
	})
}

// TestHoldLosesNothing: whoever sends while others hold, release and let go, in
// the end everything has been written, in order.
func TestHoldLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, stop := newHolding(t, 2*few)
		defer stop()
		const rounds = 200
		var senders sync.WaitGroup
		for i := range 4 {
			senders.Go(func() {
				for n := range rounds {
					h.flusher.Hold()
					for j := i; j < len(h.sessions); j += 4 { // each session has one sender
						h.sessions[j].Send(&message.Message{Topic: message.Event, Action: message.EventEmit, Name: fmt.Sprint(n)})
					}
					if (n+i)%3 == 0 {
						h.flusher.LetGo()
					} else {
						h.flusher.Release()
					}
					if n%10 == i {
						time.Sleep(time.Millisecond) // lets the worker run dry
					}
				}
			})
		}
		senders.Wait()
		synctest.Wait()
		var want string
		for n := range rounds {
			want += fmt.Sprintf("E|EVT|%d|U+", n)
		}
		for i, p := range h.pipes {
			if got := p.said(); got != want {
				t.Fatalf("session %d heard %d bytes of %d", i, len(got), len(want))
			}
		}
	})
}
