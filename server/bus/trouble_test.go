package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestAway: while the network is away nobody is gone, and what waited for long is a
// gap when it is back.
func TestAway(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
		a, b := nodes["a"], nodes["b"]
		n.SetAway(true)
		synctest.Wait()
		if a.Connected() || b.Connected() {
			t.Error("nobody noticed")
		}
		a.Verdict("b", false)
		a.send(t, "b", "1")
		time.Sleep(10 * time.Minute)
		n.SetAway(false)
		time.Sleep(1500 * time.Millisecond)
		if !a.Connected() || !b.Connected() {
			t.Error("nobody came back")
		}
		b.told(t, "gap a")
		a.send(t, "b", "2")
		b.told(t, "a:2")
		time.Sleep(time.Minute)
		a.told(t)
		b.told(t)
		if s := a.Stats(); s.Reconnects != 1 || s.Queued != 0 || s.Dropped != 1 {
			t.Errorf("%+v", s)
		}
	}, "a", "b")
}

// TestDeaf: what was lost while a node did not listen is told as soon as it does again.
func TestDeaf(t *testing.T) {
	faultyBubble(t, func(t *testing.T, l *faulty, a, b *running) {
		l.drop()
		b.send(t, "a", "1")
		synctest.Wait()
		a.told(t)
		time.Sleep(firstWait)
		a.told(t, "gap b")
		b.told(t)
		b.send(t, "a", "2")
		a.told(t, "b:2")
	})
}

// TestFlicker: nothing is said about a network that was away for a moment in which
// nothing was sent.
func TestFlicker(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
		nodes["a"].send(t, "b", "1")
		nodes["b"].told(t, "a:1")
		n.SetAway(true)
		synctest.Wait()
		n.SetAway(false)
		time.Sleep(time.Minute)
		nodes["a"].told(t)
		nodes["b"].told(t)
		nodes["a"].send(t, "b", "2")
		nodes["b"].told(t, "a:2")
	}, "a", "b")
}

// faulty is a transport whose subscription can hang and whose publications can fail.
type faulty struct {
	line
	hung, mute atomic.Bool
	refuse     atomic.Bool
	lag        atomic.Int64 // for each message that is heard
}

// drop ends the subscription.
func (f *faulty) drop() {
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	for _, b := range f.network.listening["a"] {
		b.cut()
	}
	delete(f.network.listening, "a")
}

func (f *faulty) listen(ctx context.Context, node string, ready func(), hear func([]byte)) error {
	return f.line.listen(ctx, node, ready, func(data []byte) {
		if lag := f.lag.Load(); lag > 0 {
			time.Sleep(time.Duration(lag))
		}
		if !f.hung.Load() {
			hear(data)
		}
	})
}

func (f *faulty) publish(ctx context.Context, batch []parcel) error {
	if f.refuse.Load() {
		return errors.New("refused")
	}
	err := f.line.publish(ctx, batch)
	if f.mute.Load() {
		return errors.New("no answer") // though it arrived
	}
	return err
}

// faultyBubble runs a test with a node a whose transport can be made to fail, and b.
func faultyBubble(t *testing.T, f func(t *testing.T, l *faulty, a, b *running)) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		l := &faulty{line: line{network: n, node: "a"}}
		a := run(t, &Memory{newMember("a", l, DefaultLease, testLog(t))})
		b := run(t, n.Join("b"))
		synctest.Wait()
		a.take()
		b.take()
		f(t, l, a, b)
		a.stop()
		b.stop()
	})
}

// TestHung: a way that takes everything and brings nothing is given up, and nobody is
// declared gone because of it.
func TestHung(t *testing.T) {
	faultyBubble(t, func(t *testing.T, l *faulty, a, b *running) {
		l.hung.Store(true)
		b.send(t, "a", "1")
		time.Sleep(3500 * time.Millisecond)
		if a.Connected() {
			t.Error("a noticed nothing")
		}
		time.Sleep(time.Minute)
		a.told(t)
		l.hung.Store(false)
		time.Sleep(5 * time.Second)
		a.told(t, "gap b")
		if !a.Connected() || a.Stats().Reconnects != 1 {
			t.Errorf("connected %t, %+v", a.Connected(), a.Stats())
		}
	})
}

// TestBehind: a node that cannot keep up with what it hears loses none of it, and takes
// nobody to be gone; one that is far behind begins anew.
func TestBehind(t *testing.T) {
	f := func(what string, messages int, whole bool) {
		t.Run(what, func(t *testing.T) {
			faultyBubble(t, func(t *testing.T, l *faulty, a, b *running) {
				c := run(t, l.network.Join("c")) // has nothing to say, but that it is there
				defer c.stop()
				synctest.Wait()
				a.take()
				l.lag.Store(int64(100 * time.Millisecond))
				var want []string
				for i := range messages {
					b.send(t, "a", fmt.Sprint(i))
					want = append(want, fmt.Sprintf("b:%d", i))
					synctest.Wait() // they do not join
				}
				time.Sleep(time.Duration(messages)*100*time.Millisecond + 10*time.Second)
				l.lag.Store(0)
				time.Sleep(time.Minute)
				got, s := a.take(), a.Stats()
				if whole != slices.Equal(got, want) || whole != (s.Reconnects == 0) || slices.Contains(got, "left b") || slices.Contains(got, "left c") {
					t.Errorf("told %d things, %+v", len(got), s)
				}
				b.send(t, "a", "and")
				a.told(t, "b:and")
			})
		})
	}
	f("by ten seconds", 100, true)
	f("by a minute", 600, false)
}

// TestNotPublished: a node that hears the others, and cannot publish, is not connected.
func TestNotPublished(t *testing.T) {
	faultyBubble(t, func(t *testing.T, l *faulty, a, b *running) {
		l.refuse.Store(true)
		time.Sleep(2900 * time.Millisecond)
		if !a.Connected() {
			t.Error("given up soon")
		}
		time.Sleep(1500 * time.Millisecond)
		if a.Connected() {
			t.Error("connected")
		}
		b.told(t)
		time.Sleep(4 * time.Second)
		b.told(t, "left a")
		a.told(t)
		l.refuse.Store(false)
		time.Sleep(5 * time.Second)
		b.told(t, "gap a")
		a.told(t, "gap b")
		if !a.Connected() {
			t.Error("not connected")
		}
	})
}

// TestUnanswered: what is published again and again, because no answer comes, arrives
// once.
func TestUnanswered(t *testing.T) {
	faultyBubble(t, func(t *testing.T, l *faulty, a, b *running) {
		l.mute.Store(true)
		a.send(t, "b", "1")
		synctest.Wait()
		a.send(t, "b", "2")
		time.Sleep(1500 * time.Millisecond)
		l.mute.Store(false)
		time.Sleep(time.Minute)
		b.told(t, "a:1", "a:2")
	})
}

// TestJoined: what waits for a node becomes few messages.
func TestJoined(t *testing.T) {
	faultyBubble(t, func(t *testing.T, l *faulty, a, b *running) {
		l.mute.Store(true)
		a.send(t, "b", "0")
		synctest.Wait() // it is being tried
		before := a.Stats().Published
		payload := strings.Repeat("x", 1000)
		for range 3000 {
			a.send(t, "b", payload)
		}
		l.mute.Store(false)
		time.Sleep(500 * time.Millisecond)
		if got := b.take(); len(got) != 3001 {
			t.Errorf("b was told %d things", len(got))
		}
		if n := a.Stats().Published - before; n > 5 {
			t.Errorf("3000 payloads of 1 kB took %d messages", n)
		}
	})
}

// TestFull: what exceeds the bound is dropped, the receiver learns that, and memory is
// given back.
func TestFull(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
		a, b := nodes["a"], nodes["b"]
		n.SetAway(true)
		synctest.Wait()
		for range 20 {
			if err := a.Send([]string{"b"}, make([]byte, 8<<20)); err != nil {
				t.Fatal(err)
			}
		}
		if s := a.Stats(); s.Queued > maxQueue+maxJoined || s.Dropped < 12 {
			t.Errorf("%+v", s)
		}
		n.SetAway(false)
		time.Sleep(2 * time.Second)
		synctest.Wait() // an announcement may be due at this moment
		got := b.take()
		if len(got) == 0 || got[len(got)-1] != "gap a" {
			t.Errorf("b was told %d things", len(got))
		}
		if s := a.Stats(); s.Queued != 0 {
			t.Errorf("%+v", s)
		}
		a.send(t, "b", "fresh")
		b.told(t, "a:fresh")
		if err := a.Send([]string{"b"}, make([]byte, maxPayload+1)); err == nil || !strings.Contains(err.Error(), "at most") {
			t.Errorf("a payload too large: %v", err)
		}
		time.Sleep(time.Minute)
		b.told(t)
	}, "a", "b")
}
