package interest

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestSettleAlone: a node without others waits for nobody, and f is not called by
// Settle itself.
func TestSettleAlone(t *testing.T) {
	c := newQuiet("a")
	var mu sync.Mutex
	called := make(chan struct{})
	mu.Lock()
	c.Settle(func() {
		mu.Lock()
		defer mu.Unlock()
		close(called)
	})
	mu.Unlock()
	<-called
}

// TestSettle: f is called when all who are there have acknowledged.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t)
		defer a.end()
		a.join("b")
		number := a.join("c")
		a.Deliver("b", appendAck(nil, number))
		a.Deliver("c", appendAck(nil, number))
		calls := a.settle()
		if f := a.take(); len(f) > 0 {
			t.Errorf("sent %q for nothing", kindsOf(f))
		}
		expect(t, "all is known", calls, 1)

		a.Add(Records, "name")
		calls = a.settle()
		f := a.take()
		if kindsOf(f) != "dd" || !f[0].ack || f[0].number != number || f[0].count != 1 {
			t.Fatalf("sent %+v", f)
		}
		a.Deliver("b", appendAck(nil, number+1))
		expect(t, "one has acknowledged", calls, 0)
		a.Deliver("c", appendAck(nil, number))
		expect(t, "one has acknowledged less", calls, 0)
		a.Deliver("c", appendAck(nil, number+100))
		expect(t, "one has acknowledged what was not sent", calls, 0)
		a.Deliver("c", appendAck(nil, number+1))
		expect(t, "both have acknowledged", calls, 1)
	})
}

// TestSettleShares: many calls wait for one acknowledgement.
func TestSettleShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t)
		defer a.end()
		a.join("b")
		var calls atomic.Int32
		const many = 10_000
		for i := range many {
			a.Add(Records, nameOf(i))
			a.Settle(func() { calls.Add(1) })
		}
		var acks int
		for _, f := range a.take() {
			if f.ack {
				acks++
				a.Deliver("b", appendAck(nil, f.number+f.count))
			}
		}
		if acks == 0 || acks > 20 {
			t.Errorf("%d acknowledgements for %d calls", acks, many)
		}
		expect(t, "all is acknowledged", &calls, many)
	})
}

// TestSettleEnds: f is called although a node does not acknowledge, if it leaves, if
// it says otherwise that it knows, after a while, and at the end of Run.
func TestSettleEnds(t *testing.T) {
	for name, end := range map[string]func(a *alone, number uint64){
		"left": func(a *alone, _ uint64) { a.Left("b") },
		"the acknowledgement was lost": func(a *alone, number uint64) {
			a.Gap("b")
			a.Deliver("b", appendBegin(nil, a.take()[0].nonce, number+1))
		},
		"it asks for all again": func(a *alone, number uint64) {
			a.Deliver("b", appendRequest(nil, 9))
			f := a.take()
			if kindsOf(f) != "bne" || f[2].number != number+1 {
				a.t.Errorf("sent %+v", f)
			}
			a.Deliver("b", appendAck(nil, number+1))
		},
		"time": func(*alone, uint64) { time.Sleep(settleTimeout + tickInterval - 10*flushInterval) },
		"end":  func(a *alone, _ uint64) { a.end() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAlone(t)
				defer a.end()
				number := a.join("b")
				a.Add(Records, "name")
				calls := a.settle()
				a.take()
				time.Sleep(settleTimeout - time.Second)
				expect(t, "before", calls, 0)
				if got := a.Stats().Unsettled; got != 1 {
					t.Errorf("%d wait", got)
				}
				end(a, number)
				expect(t, "after", calls, 1)
				if got := a.Stats().Unsettled; got != 0 {
					t.Errorf("%d wait in the end", got)
				}
			})
		})
	}
}

// TestSettleHeard: a node that is heard but has not asked yet is waited for; one that
// is heard later is not.
func TestSettleHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t)
		defer a.end()
		a.Gap("b")
		a.take()
		a.Add(Records, "name")
		calls := a.settle()
		a.take()
		expect(t, "it has not asked", calls, 0)
		a.Deliver("b", appendRequest(nil, 5))
		f := a.take()
		if kindsOf(f) != "bne" {
			t.Fatalf("sent %q", kindsOf(f))
		}
		a.Deliver("b", appendAck(nil, f[2].number))
		expect(t, "it knows", calls, 1)

		a.Add(Records, "second")
		calls = a.settle()
		f = a.take()
		a.Gap("c")
		a.Deliver("b", appendAck(nil, f[0].number+1))
		expect(t, "another is heard since", calls, 1)
	})
}

// TestSettleAfterRun: nobody is waited for when Run is over.
func TestSettleAfterRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone(t)
		a.join("b")
		a.end()
		calls := a.settle()
		expect(t, "after Run", calls, 1)
		a.Add(Records, "name")
		if f := a.take(); strings.Contains(kindsOf(f), "d") || len(a.pending) > 0 {
			t.Errorf("sent %q, %d changes wait", kindsOf(f), len(a.pending))
		}
		if !slices.Equal(a.Names(Records), []string{"name"}) {
			t.Error("it is not wanted here")
		}
	})
}
