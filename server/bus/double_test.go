package bus

import (
	"testing"
	"time"
)

// TestDouble: of two nodes with one name the later is heard, and the earlier when it
// is alone, with all that follows as if it had just come.
func TestDouble(t *testing.T) {
	f := func(what string, end func(n *Network, a, later *running), wait time.Duration) {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
				a, earlier := nodes["a"], nodes["b"]
				later := run(t, n.Join("b"))
				a.told(t, "left b", "gap b")
				later.told(t, "gap a")
				time.Sleep(time.Minute)
				earlier.send(t, "a", "unheard")
				a.told(t)
				earlier.told(t)
				if earlier.Connected() || !later.Connected() {
					t.Errorf("connected: the earlier %t, the later %t", earlier.Connected(), later.Connected())
				}

				end(n, a, later)
				time.Sleep(wait)
				a.told(t, "left b", "gap b")
				earlier.told(t, "gap a")
				if !earlier.Connected() {
					t.Error("the earlier is not connected when it is heard again")
				}
				a.send(t, "b", "1")
				earlier.told(t, "a:1")
				earlier.send(t, "a", "2")
				a.told(t, "b:2")
				earlier.stop()
				a.told(t, "left b")
				time.Sleep(time.Minute)
				a.told(t)
			}, "a", "b")
		})
	}
	f("the later leaves", func(_ *Network, _, later *running) { later.stop() }, 1100*time.Millisecond)
	die := func(n *Network, later *running) {
		n.SetFate(apart("b"))
		later.stop()
		n.SetFate(nil)
	}
	f("the later dies", func(n *Network, _, later *running) { die(n, later) }, 7*time.Second)
	f("the later dies, and memberlist knows that one of them lives", func(n *Network, a, later *running) {
		a.Verdict("b", true)
		die(n, later)
	}, 7*time.Second)
}

// TestDoubleAgain: two living nodes with one name that are cut off in turns are heard
// in turns, and the later when both can be.
func TestDoubleAgain(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
		a := nodes["a"]
		later := run(t, n.Join("b"))
		a.told(t, "left b", "gap b")
		for range 3 {
			time.Sleep(3 * time.Second)
			later.stop()
			time.Sleep(1100 * time.Millisecond)
			a.told(t, "left b", "gap b")
			later = run(t, n.Join("b"))
			a.told(t, "left b", "gap b")
		}
		time.Sleep(time.Minute)
		a.told(t)
		later.stop()
	}, "a", "b")
}

// TestDoubleLate: what a run said that has just been replaced, and comes after that,
// does not bring it back, even if the one in its place left at once.
func TestDoubleLate(t *testing.T) {
	bubble(t, func(t *testing.T, n *Network, nodes map[string]*running) {
		a := nodes["a"]
		earlier := n.Join("b").out.incarnation
		in := a.runner.(*Memory).in
		said := append(appendSender(nil, kindAnnounce, "b", earlier), 0)
		in.hear(said)
		b := run(t, n.Join("b"))
		a.told(t, "gap b")
		b.stop()
		a.told(t, "left b")
		in.hear(said)
		if n := known(in); n != 0 {
			t.Errorf("%d nodes are known", n)
		}
	}, "a")
}
