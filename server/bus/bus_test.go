package bus

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// A client of Redis that was closed while it could not dial looks once a second whether it was.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// runner is what the tests need of a bus of either kind.
type runner interface {
	Bus
	Verdict(node string, alive bool)
	Connected() bool
	Stats() Stats
}

// heard keeps what a receiver was told, a line each.
type heard struct {
	mu    sync.Mutex
	lines []string
}

func (h *heard) add(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, line)
}

func (h *heard) Deliver(node string, payload []byte) { h.add(node + ":" + string(payload)) }
func (h *heard) Gap(node string)                     { h.add("gap " + node) }
func (h *heard) Left(node string)                    { h.add("left " + node) }

// take returns what was told since the last call.
func (h *heard) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	lines := h.lines
	h.lines = nil
	return lines
}

func (h *heard) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.lines)
}

// running is a bus that runs.
type running struct {
	runner
	heard
	stop func() // returns when Run has
}

func run(t testing.TB, b runner) *running {
	t.Helper()
	r := &running{runner: b}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := b.Run(ctx, &r.heard); err != nil {
			t.Error(err)
		}
	})
	r.stop = func() {
		cancel()
		wg.Wait()
	}
	return r
}

func (r *running) send(t testing.TB, nodes string, payloads ...string) {
	t.Helper()
	for _, p := range payloads {
		if err := r.Send(strings.Fields(nodes), []byte(p)); err != nil {
			t.Error(err)
		}
	}
}

// told waits until nothing moves any more and checks what r was told since.
func (r *running) told(t testing.TB, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := r.take(); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// bubble runs a test on a network of its own, with some nodes that know each other.
func bubble(t *testing.T, f func(t *testing.T, n *Network, nodes map[string]*running), names ...string) {
	synctest.Test(t, func(t *testing.T) {
		n, nodes := NewNetwork(), map[string]*running{}
		for _, name := range names {
			nodes[name] = run(t, n.Join(name))
		}
		synctest.Wait()
		for _, r := range nodes {
			r.take()
		}
		f(t, n, nodes)
		for _, r := range nodes {
			r.stop()
		}
	})
}

// TestOrder: messages go to the nodes that are named, once, in order, and not to the
// sender; what is sent is the receiver's own.
func TestOrder(t *testing.T) {
	bubble(t, func(t *testing.T, _ *Network, nodes map[string]*running) {
		a, b, c := nodes["a"], nodes["b"], nodes["c"]
		var want []string
		payload := make([]byte, 2)
		for i := range 100 {
			copy(payload, fmt.Sprintf("%02d", i)) // the bus keeps nothing of it
			if err := a.Send([]string{"a", "b", "nobody"}, payload); err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("a:%02d", i))
		}
		b.told(t, want...)
		c.told(t)
		a.told(t)
		if s := a.Stats(); s.MessagesSent != 100 || s.Queued != 0 || s.Dropped != 0 || s.Peers != 2 {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Hour)
		c.told(t)
		a.told(t)
		b.told(t)
	}, "a", "b", "c")
}
