package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hearing is a Receiver of messages.
type hearing func(from string, payload []byte)

func (f hearing) Deliver(from string, payload []byte) { f(from, payload) }
func (hearing) Gap(string)                            {}
func (hearing) Left(string)                           {}

// TestMemory: messages go to the nodes that are named, once, in order, and not to
// the sender.
func TestMemory(t *testing.T) {
	n := NewNetwork()
	a, b, c := n.Join("a"), n.Join("b"), n.Join("c")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var got []string
	all := make(chan struct{})
	wg.Go(func() {
		_ = b.Run(ctx, hearing(func(from string, payload []byte) {
			got = append(got, from+":"+string(payload))
			if len(got) == 100 {
				close(all)
			}
		}))
	})
	wg.Go(func() { _ = c.Run(ctx, hearing(func(string, []byte) { t.Error("c was not named") })) })
	var want []string
	payload := make([]byte, 2)
	for i := range 100 {
		copy(payload, fmt.Sprintf("%02d", i)) // the bus keeps nothing of it
		if err := a.Send([]string{"a", "b", "nobody"}, payload); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprintf("a:%02d", i))
	}
	<-all
	cancel()
	wg.Wait()
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if err := a.Send([]string{"b"}, []byte("x")); err != nil {
		t.Errorf("sending to a node that left: %v", err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	n := NewNetwork()
	a := n.Join("a")
	n.Join("b")
	payload := make([]byte, 8<<20)
	var err error
	for range 20 {
		if err = a.Send([]string{"b"}, payload); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Errorf("a node that does not read was sent everything: %v", err)
	}
}
