package bus

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// between makes a fate for the messages of one node to another and none for others'.
func between(from, to string, f Fate) func(string, string) Fate {
	return func(a, b string) Fate {
		if a == from && b == to {
			return f
		}
		return Fate{}
	}
}

// apart cuts a node off the others.
func apart(node string) func(string, string) Fate {
	return func(a, b string) Fate { return Fate{Lost: a == node || b == node} }
}

// TestJoin: nodes know each other as soon as the later one is there.
func TestJoin(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
		a := nodes["a"]
		b := run(t, n.Join("b"))
		synctest.Wait()
		a.told(t, "gap b")
		b.told(t, "gap a")
		a.send(t, "b", "1")
		b.send(t, "a", "2")
		a.told(t, "b:2")
		b.told(t, "a:1")
		b.send(t, "a", "last words")
		b.stop()
		a.told(t, "b:last words", "left b")
		a.send(t, "b", "to nobody")
		time.Sleep(time.Minute)
		a.told(t)
		if s := a.Stats(); s.Peers != 0 || s.Queued != 0 || s.Gaps != 0 {
			t.Errorf("%+v", s)
		}
	}, "a")
}

// TestJoinUnheard: where the greeting is lost the next announcement does.
func TestJoinUnheard(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
		n.SetFate(apart("b"))
		b := run(t, n.Join("b"))
		synctest.Wait()
		n.SetFate(nil)
		nodes["a"].told(t)
		time.Sleep(1100 * time.Millisecond)
		nodes["a"].told(t, "gap b")
		b.told(t, "gap a")
		b.stop()
	}, "a")
}

// TestLoss: a lost message is told before the one that follows, a message that came
// twice is told once.
func TestLoss(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
		a, b := nodes["a"], nodes["b"]
		a.send(t, "b c", "1")
		b.told(t, "a:1")
		n.SetFate(between("a", "b", Fate{Lost: true}))
		a.send(t, "b c", "2")
		synctest.Wait()
		n.SetFate(between("a", "b", Fate{Twice: true}))
		a.send(t, "b c", "3")
		b.told(t, "gap a", "a:3")
		a.send(t, "b c", "4")
		b.told(t, "a:4")
		time.Sleep(time.Minute)
		b.told(t)
		nodes["c"].told(t, "a:1", "a:2", "a:3", "a:4")
		if s := b.Stats(); s.Gaps != 1 || s.MessagesReceived != 3 {
			t.Errorf("%+v", s)
		}
	}, "a", "b", "c")
}

// TestLossOfTheFirst: it shows as well.
func TestLossOfTheFirst(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
		a, b := nodes["a"], nodes["b"]
		n.SetFate(between("a", "b", Fate{Lost: true}))
		a.send(t, "b", "1")
		synctest.Wait()
		n.SetFate(nil)
		a.send(t, "b", "2")
		b.told(t, "gap a", "a:2")
	}, "a", "b")
}

// TestLossOfTheLast: an announcement tells of what nothing follows.
func TestLossOfTheLast(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
		a, b := nodes["a"], nodes["b"]
		n.SetFate(between("a", "b", Fate{Lost: true}))
		a.send(t, "b", "1")
		synctest.Wait()
		n.SetFate(nil)
		b.told(t)
		time.Sleep(1600 * time.Millisecond)
		b.told(t, "gap a")
		a.send(t, "b", "2")
		b.told(t, "a:2")
		time.Sleep(time.Minute)
		b.told(t)
	}, "a", "b")
}

// TestAnnouncementAhead: one that overtakes the messages it counts is no loss.
func TestAnnouncementAhead(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
		a, b := nodes["a"], nodes["b"]
		m := a.runner.(*Memory).member
		m.out.mu.Lock()
		s := m.out.streams["b"]
		s.number++ // as if it were on its way
		data := appendSender(nil, kindData, "a", m.out.incarnation)
		m.out.mu.Unlock()
		time.Sleep(1300 * time.Millisecond)
		in := b.runner.(*Memory).in
		data = appendInts(data, in.incarnation, s.number)
		in.hear(append(data, 1, 'x'))
		time.Sleep(time.Minute)
		b.told(t, "a:x")
	}, "a", "b")
}

// TestRestart: a node that crashed and is there again under its name is another one;
// what the first still says is not heard.
func TestRestart(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
		a, old := nodes["a"], nodes["b"]
		old.send(t, "a", "1")
		a.told(t, "b:1")
		again := run(t, n.Join("b")) // both are there now
		a.told(t, "left b", "gap b")
		again.told(t, "gap a")
		old.send(t, "a", "of the past")
		a.told(t)
		a.send(t, "b", "2")
		again.told(t, "a:2")
		old.told(t)
		old.stop()
		time.Sleep(time.Minute)
		a.told(t) // the leave was that of the old one
		again.send(t, "a", "3")
		a.told(t, "b:3")
		delete(nodes, "b")
		again.stop()
		a.told(t, "left b")
	}, "a", "b")
}

// TestEarlierRun: what an earlier run of a node said and what comes late does not take
// the place of the run that is heard, unless that is silent: then its clock was ahead.
func TestEarlierRun(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
		a := nodes["a"].runner.(*Memory)
		earlier := n.Join("b").out.incarnation
		b := run(t, n.Join("b"))
		nodes["a"].told(t, "gap b")
		late := append(appendSender(nil, kindAnnounce, "b", earlier), 0)
		a.in.hear(late)
		b.send(t, "a", "1")
		nodes["a"].told(t, "b:1")

		a.Verdict("b", true)
		n.SetFate(apart("b"))
		time.Sleep(DefaultLease + time.Second)
		a.in.hear(late)
		nodes["a"].told(t, "left b")
		n.SetFate(nil)
		time.Sleep(1100 * time.Millisecond)
		nodes["a"].told(t, "gap b")
		b.stop()
		nodes["a"].told(t, "left b")
	}, "a")
}

// TestLate: what comes from a node that said that it leaves does not revive it.
func TestLate(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
		a := nodes["a"].runner.(*Memory)
		b := n.Join("b")
		r := run(t, b)
		synctest.Wait()
		r.stop()
		nodes["a"].told(t, "gap b", "left b")
		late := appendInts(appendSender(nil, kindData, "b", b.out.incarnation), a.in.incarnation, 1<<streamBits+1)
		a.in.hear(append(late, 1, 'x'))
		nodes["a"].told(t)
	}, "a")
}

// TestAnnounced: an announcement counts what was published, not what waits; that to
// one node alone counts all, for it comes behind it.
func TestAnnounced(t *testing.T) {
	o := newOutbox("a", 1, func(node string) string { return node })
	o.begin("b", 2)
	f := func(p parcel, want uint64) {
		t.Helper()
		var e envelope
		if err := e.decode(p.data); err != nil {
			t.Fatal(err)
		}
		if got, ok := e.mark(2); !ok || got != want {
			t.Errorf("announces %#x, %t; want %#x", got, ok, want)
		}
	}
	announcement := func() parcel {
		o.announce(0)
		p, ok := o.announcement()
		if !ok {
			t.Fatal("no announcement is due")
		}
		return p
	}
	f(announcement(), 1<<streamBits)
	if err := o.send([]string{"b"}, []byte("x")); err != nil {
		t.Fatal(err)
	}
	o.answer("b")
	f(announcement(), 1<<streamBits)
	batch := o.take(nil)
	f(announcement(), 1<<streamBits+1)
	f(batch[1], 1<<streamBits+1)
}

// TestLease: a node that is silent is gone after six seconds, and one that is back is
// heard from the beginning.
func TestLease(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
		a, b, c := nodes["a"], nodes["b"], nodes["c"]
		a.send(t, "b", "1")
		b.told(t, "a:1")
		n.SetFate(apart("b"))
		a.send(t, "b", "2")
		time.Sleep(4900 * time.Millisecond)
		a.told(t)
		time.Sleep(1500 * time.Millisecond)
		a.told(t, "left b")
		c.told(t, "left b")
		a.send(t, "b", "3")
		n.SetFate(nil)
		time.Sleep(1100 * time.Millisecond)
		a.told(t, "gap b")
		c.told(t, "gap b")
		got := b.take()
		slices.Sort(got)
		if !slices.Equal(got, []string{"gap a", "gap c", "left a", "left c"}) {
			t.Errorf("b was told %q", got)
		}
		a.send(t, "b", "4")
		b.told(t, "a:4")
	}, "a", "b", "c")
}

// TestForgotten: a node that gave up another and came back to it says so, even if the
// other noticed nothing.
func TestForgotten(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
		a, b := nodes["a"], nodes["b"]
		a.send(t, "b", "1")
		b.told(t, "a:1")
		n.SetFate(between("b", "a", Fate{Lost: true}))
		time.Sleep(7 * time.Second)
		a.told(t, "left b")
		a.send(t, "b", "2") // b is gone to a
		b.told(t)
		n.SetFate(nil)
		time.Sleep(1100 * time.Millisecond)
		a.told(t, "gap b")
		b.told(t, "gap a")
		a.send(t, "b", "3")
		b.told(t, "a:3")
	}, "a", "b")
}

// TestVerdict: what others say about a node that is, or is not, silent on the bus.
func TestVerdict(t *testing.T) {
	f := func(what string, silent bool, verdict string, after time.Duration, want ...string) {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
				if silent {
					n.SetFate(apart("b"))
				}
				for _, v := range strings.Fields(verdict) {
					nodes["a"].Verdict("b", v == "alive")
				}
				time.Sleep(after)
				nodes["a"].told(t, want...)
			}, "a", "b")
		})
	}
	f("alive and silent", true, "alive", time.Hour)
	f("alive and heard", false, "alive", time.Hour)
	f("dead and silent, before", true, "dead", 1900*time.Millisecond)
	f("dead and silent", true, "dead", 2400*time.Millisecond, "left b")
	f("dead and heard", false, "dead", time.Hour)
	f("alive, then dead", true, "alive dead", 2400*time.Millisecond, "left b")
	f("dead, then alive", true, "dead alive", time.Hour)
	f("none", true, "", 7*time.Second, "left b")

	t.Run("dead, heard, then silent", func(t *testing.T) {
		bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
			a := nodes["a"]
			a.Verdict("b", false)
			time.Sleep(2 * time.Second)
			n.SetFate(apart("b"))
			time.Sleep(3 * time.Second)
			a.told(t)
			time.Sleep(4 * time.Second)
			a.told(t, "left b")
		}, "a", "b")
	})
	t.Run("dead, while nobody can be heard", func(t *testing.T) {
		bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
			a := nodes["a"]
			n.SetAway(true)
			a.Verdict("b", false)
			time.Sleep(time.Minute)
			a.told(t)
			n.SetFate(apart("b"))
			n.SetAway(false)
			time.Sleep(1900 * time.Millisecond)
			a.told(t)
			time.Sleep(1500 * time.Millisecond)
			a.told(t, "left b")
		}, "a", "b")
	})
	t.Run("about many", func(t *testing.T) {
		bubble(t, func(t *testing.T, _ *Network, nodes map[string]*running) {
			a := nodes["a"].runner.(*Memory)
			for i := range 10 * maxPeers {
				a.Verdict(strings.Repeat("x", i%100)+string(rune('a'+i/100)), i%2 == 0)
			}
			if n := len(a.in.opinions.by); n > maxPeers {
				t.Errorf("%d verdicts are kept", n)
			}
		}, "a")
	})
}

// TestCrowd: the nodes that are known are bounded.
func TestCrowd(t *testing.T) {
	bubble(t, func(t *testing.T, _ *Network, nodes map[string]*running) {
		a := nodes["a"]
		in := a.runner.(*Memory).in
		for i := range 2 * maxPeers {
			in.hear(append(appendSender(nil, kindAnnounce, "node"+string(rune('0'+i)), uint64(i+1)), 0))
		}
		if n := known(in); n != maxPeers {
			t.Errorf("%d nodes are known", n)
		}
		in.hear([]byte("garbage"))
		if s := a.Stats(); s.Malformed != 1 {
			t.Errorf("%+v", s)
		}
		time.Sleep(7 * time.Second)
		if n := known(in); n != 0 {
			t.Errorf("%d nodes are known after a lease", n)
		}
	}, "a")
}

// TestRunTwice and names that cannot be.
func TestRunErrors(t *testing.T) {
	for _, name := range []string{"", strings.Repeat("x", maxName+1)} {
		if err := NewNetwork().Join(name).Run(t.Context(), &heard{}); err == nil {
			t.Errorf("a name of %d bytes is taken", len(name))
		}
	}
	b := NewNetwork().Join("a")
	r := run(t, b)
	eventually(t, "the bus to run", b.Connected)
	if err := b.Run(t.Context(), &heard{}); err == nil {
		t.Error("Run can be called twice")
	}
	r.stop()
	if b.Connected() {
		t.Error("connected after Run")
	}
}

func appendInts(dst []byte, incarnation, number uint64) []byte {
	return binary.AppendUvarint(binary.LittleEndian.AppendUint64(dst, incarnation), number)
}

func known(p *peers) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.peers)
}
