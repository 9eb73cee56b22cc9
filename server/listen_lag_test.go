package server

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/server/bus"
	"github.com/dsproxy/dsproxy/server/message"
)

// lagged is a dialogue of nodes that hear of each other after a while.
func lagged(t *testing.T, nodes int, lag time.Duration, f func(d *dialogue, l *lagging)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLagging(func() time.Duration { return lag })
		d := newDialogue(t, func(c *Config) {
			c.Interest = l.node(c.Name)
			c.Listen.RematchInterval = 0
		})
		defer d.stop()
		for range nodes - 1 {
			d.addNode()
		}
		for _, node := range d.nodes {
			l.join(node.config.Interest.(*lagNode))
		}
		f(d, l)
	})
}

// settled is when all nodes know all.
func settled(lag time.Duration) {
	time.Sleep(2*lag + time.Second)
	synctest.Wait()
}

func (d *dialogue) join(name string, node int) *client {
	d.connect(d.nodes[node-1], name, "protobuf")
	d.login(name, name)
	return d.client(name)
}

func (c *client) say(t *testing.T, m message.Message) {
	t.Helper()
	m.Topic = message.Record
	if err := c.session.Receive(c.codec.Append(nil, &m)); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// acceptAll accepts all names that a client is asked for, and counts what it hears.
func (c *client) acceptAll(t *testing.T) map[message.Action]int {
	t.Helper()
	heard := make(map[message.Action]int)
	for _, m := range c.take() {
		heard[m.Action]++
		if m.Action == message.RecordSubscriptionForPatternFound {
			c.say(t, message.Message{Action: message.RecordListenAccept, Name: m.Name, Subscription: m.Subscription})
		}
	}
	return heard
}

func subscribe(t *testing.T, c *client, names int) {
	t.Helper()
	all := make([]string, names)
	for i := range all {
		all[i] = fmt.Sprint("x", i)
	}
	c.say(t, message.Message{Action: message.RecordSubscribe, Names: all, CorrelationID: "1"})
}

// TestListenSplit: two nodes that found providers while they did not know of each
// other keep one of them for each name, and nobody else hears of it.
func TestListenSplit(t *testing.T) {
	const lag, names = time.Second, 20
	lagged(t, 2, lag, func(d *dialogue, _ *lagging) {
		removed := 0
		var both []*client
		for node := 1; node <= 2; node++ {
			c := d.join(fmt.Sprint("c", node), node)
			both = append(both, c)
			c.say(t, message.Message{Action: message.RecordListen, Name: "x"})
			subscribe(t, c, names)
			c.acceptAll(t)
		}
		settled(lag)
		for _, c := range both {
			heard := c.acceptAll(t)
			removed += heard[message.RecordSubscriptionForPatternRemoved]
			if heard[message.RecordSubscriptionHasNoProvider] > 0 ||
				heard[message.RecordSubscriptionForPatternRemoved] == 0 {
				t.Errorf("%s heard %v", c.name, heard)
			}
		}
		if removed != names {
			t.Errorf("%d providers of %d are no longer needed", removed, 2*names)
		}
	})
}

// TestListenLateNews: what a node says of its provider takes so long that another is
// found. One of the two remains for each name, now the first, now the second.
func TestListenLateNews(t *testing.T) {
	const lag, names = 1200 * time.Millisecond, 60
	lagged(t, 3, lag, func(d *dialogue, _ *lagging) {
		settled(lag)
		var clients []*client
		for node := 1; node <= 3; node++ {
			clients = append(clients, d.join(fmt.Sprint("c", node), node))
		}
		subscribe(t, clients[2], names)
		settled(lag)
		clients[0].say(t, message.Message{Action: message.RecordListen, Name: "x"})
		clients[1].say(t, message.Message{Action: message.RecordListen, Name: "x."})
		found, removed := make([]int, 2), make([]int, 2)
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			for i, c := range clients[:2] {
				heard := c.acceptAll(t)
				found[i] += heard[message.RecordSubscriptionForPatternFound]
				removed[i] += heard[message.RecordSubscriptionForPatternRemoved]
			}
		}
		if found[0]-removed[0]+found[1]-removed[1] != names || removed[0] == 0 || removed[1] == 0 {
			t.Errorf("of %d names they were asked for %v, of which %v are no longer needed", names, found, removed)
		}
		if heard := clients[2].acceptAll(t); heard[message.RecordSubscriptionHasProvider] != names || heard[message.RecordSubscriptionHasNoProvider] > 0 {
			t.Errorf("the subscriber heard %v", heard)
		}
	})
}

// TestListenEarlyQuestion: a node that is asked for a provider before it hears that
// the name is wanted does not take it for unwanted; but if it never hears so, it does.
func TestListenEarlyQuestion(t *testing.T) {
	const lag, names = 300 * time.Millisecond, 20
	lagged(t, 2, lag, func(d *dialogue, _ *lagging) {
		settled(lag)
		a, b := d.join("a", 1), d.join("b", 2)
		b.say(t, message.Message{Action: message.RecordListen, Name: "x"})
		settled(lag)
		b.take()
		subscribe(t, a, names)
		b.acceptAll(t) // of those that the other node coordinates
		time.Sleep(lag + 10*time.Millisecond)
		synctest.Wait()
		b.acceptAll(t)
		settled(lag)
		if heard := b.take(); len(heard) > 0 {
			t.Errorf("the provider heard %v", heard)
		}
		if heard := a.acceptAll(t); heard[message.RecordSubscriptionHasProvider] != names || heard[message.RecordSubscriptionHasNoProvider] > 0 {
			t.Errorf("the subscriber heard %v", heard)
		}

		m := &message.Message{Topic: message.Record, Action: message.RecordSubscriptionForPatternFound,
			Subscription: "x-ghost", CorrelationID: "1"}
		d.nodes[1].router.topics[message.Record].(remoteHandler).Remote("node-1", m)
		synctest.Wait()
		if heard := b.acceptAll(t); heard[message.RecordSubscriptionForPatternFound] != 1 {
			t.Errorf("the listener heard %v", heard)
		}
		time.Sleep(10 * time.Second)
		if heard := b.acceptAll(t); heard[message.RecordSubscriptionForPatternRemoved] != 1 {
			t.Errorf("the provider of what nobody wants heard %v", heard)
		}
	})
}

// TestListenLostQuestion: a node that does not answer is passed over.
func TestListenLostQuestion(t *testing.T) {
	const names = 20
	lagged(t, 3, 0, func(d *dialogue, _ *lagging) {
		settled(0)
		a, b, c := d.join("a", 1), d.join("b", 2), d.join("c", 3)
		b.say(t, message.Message{Action: message.RecordListen, Name: "x"})
		c.say(t, message.Message{Action: message.RecordListen, Name: "x"})
		settled(0)
		d.network.SetFate(func(_, to string) bus.Fate { return bus.Fate{Lost: to == "node-2"} })
		subscribe(t, a, names)
		synctest.Wait()
		d.network.SetFate(nil)
		b.take() // it answers nothing that its own node asks
		for range 30 {
			c.acceptAll(t)
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		if heard := a.acceptAll(t); heard[message.RecordSubscriptionHasProvider] != names {
			t.Errorf("the subscriber heard %v", heard)
		}
	})
}

// TestListenDeadNode: what a node was asking its listeners when it died is asked of
// others at once.
func TestListenDeadNode(t *testing.T) {
	const names = 20
	synctest.Test(t, func(t *testing.T) {
		d := newDialogue(t, nil)
		defer d.stop()
		d.addNode()
		d.addNode()
		a, b, c := d.join("a", 1), d.join("b", 2), d.join("c", 3)
		b.say(t, message.Message{Action: message.RecordListen, Name: "x"})
		subscribe(t, a, names)
		if heard := b.acceptAll(t); heard[message.RecordSubscriptionForPatternFound] != names {
			t.Fatalf("the first listener heard %v", heard)
		}
		c.say(t, message.Message{Action: message.RecordListen, Name: "x"})
		subscribe(t, a, 2*names) // b is asked for the new ones
		d.kill(2)
		synctest.Wait()
		if heard := c.acceptAll(t); heard[message.RecordSubscriptionForPatternFound] != 2*names {
			t.Errorf("the second listener heard %v", heard)
		}
		if heard := a.acceptAll(t); heard[message.RecordSubscriptionHasNoProvider] != names {
			t.Errorf("the subscriber heard %v", heard)
		}
	})
}

// TestListenManyOnANode: a node that has many listeners to ask is waited for.
func TestListenManyOnANode(t *testing.T) {
	const names, many = 20, 5
	lagged(t, 3, 0, func(d *dialogue, _ *lagging) {
		settled(0)
		a, c := d.join("a", 1), d.join("c", 3)
		var silent []*client
		for i := range many {
			b := d.join(fmt.Sprint("b", i), 2)
			b.say(t, message.Message{Action: message.RecordListen, Name: "x"})
			silent = append(silent, b)
		}
		c.say(t, message.Message{Action: message.RecordListen, Name: "x"})
		settled(0)
		c.take()
		silent[0].take()
		subscribe(t, a, names)
		time.Sleep(10 * time.Millisecond)
		c.acceptAll(t) // of those that its own node coordinates
		asked := silent[0].acceptNone()
		if asked == 0 {
			t.Fatal("nobody was asked on the node with many listeners")
		}
		time.Sleep(many*500*time.Millisecond - 100*time.Millisecond)
		synctest.Wait()
		if n := c.acceptNone(); n > 0 {
			t.Errorf("another node was asked for %d of %d names, before all listeners were", n, asked)
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if n := c.acceptNone(); n != asked {
			t.Errorf("another node was asked for %d of %d names, when no listener had answered", n, asked)
		}
	})
}

// acceptNone counts the names that a client is asked for.
func (c *client) acceptNone() (asked int) {
	for _, m := range c.take() {
		if m.Action == message.RecordSubscriptionForPatternFound {
			asked++
		}
	}
	return asked
}

// TestListenNewNode: clients that were there before their node had heard of the others
// are told of the providers there, and those there of theirs.
func TestListenNewNode(t *testing.T) {
	const lag, names = 100 * time.Millisecond, 20
	lagged(t, 1, lag, func(d *dialogue, l *lagging) {
		a := d.join("a", 1)
		a.say(t, message.Message{Action: message.RecordListen, Name: "x.$"})
		subscribe(t, a, names)
		a.acceptAll(t)
		settled(lag)
		d.addNode()
		b := d.join("b", 2)
		b.say(t, message.Message{Action: message.RecordListen, Name: "x..$"})
		subscribe(t, b, names)
		b.acceptAll(t)
		settled(lag)
		for _, c := range []*client{a, b} {
			c.take()
		}
		l.join(d.nodes[1].config.Interest.(*lagNode))
		settled(lag)
		for _, c := range []*client{a, b} {
			if heard := c.acceptAll(t); heard[message.RecordSubscriptionHasProvider] != names/2 || len(heard) != 1 {
				t.Errorf("%s heard %v", c.name, heard)
			}
		}
	})
}

// remote has a node hear something of another, about records.
func (d *dialogue) remote(node int, from string, m message.Message) {
	m.Topic = message.Record
	d.nodes[node-1].router.topics[message.Record].(remoteHandler).Remote(from, &m)
	time.Sleep(10 * time.Millisecond)
	synctest.Wait()
}

// TestListenOutdatedQuestion: a node that sees a name provided for asks nobody, whatever
// another one believes.
func TestListenOutdatedQuestion(t *testing.T) {
	lagged(t, 3, 0, func(d *dialogue, _ *lagging) {
		settled(0)
		b, c := d.join("b", 2), d.join("c", 3)
		b.say(t, message.Message{Action: message.RecordListen, Name: "x"})
		subscribe(t, c, 1)
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if heard := b.acceptAll(t); heard[message.RecordSubscriptionForPatternFound] != 1 {
			t.Fatalf("the first listener heard %v", heard)
		}
		c.say(t, message.Message{Action: message.RecordListen, Name: "x"})
		settled(0)
		c.take()
		d.remote(3, "node-1", message.Message{Action: message.RecordSubscriptionForPatternFound, Subscription: "x0", CorrelationID: "1"})
		if heard := c.take(); len(heard) > 0 {
			t.Errorf("the second listener heard %v", heard)
		}
	})
}

// TestListenDeadPattern: a pattern that took too long on one node is of no use to the
// listeners of others, who are told so; one that cannot take long is.
func TestListenDeadPattern(t *testing.T) {
	lagged(t, 2, 0, func(d *dialogue, _ *lagging) {
		settled(0)
		b := d.join("b", 2)
		for _, pattern := range []string{`(?=x)(x+x+)+y`, `x`} {
			b.say(t, message.Message{Action: message.RecordListen, Name: pattern})
			settled(0)
			b.take()
			d.remote(2, "node-1", message.Message{Action: message.RecordInvalidListenRegex, Name: pattern})
			d.remote(2, "node-1", message.Message{Action: message.RecordInvalidListenRegex, Name: pattern})
			heard := b.take()
			if slow := pattern != "x"; slow != (len(heard) == 1) {
				t.Errorf("of %s the listener heard %v", pattern, heard)
			}
		}
	})
}

// TestListenSamePattern: two nodes get their first listeners of one pattern before they
// hear of each other. Each comes to know that the other has one, whichever it is that
// looks for a provider.
func TestListenSamePattern(t *testing.T) {
	const names = 20
	synctest.Test(t, func(t *testing.T) {
		var lag time.Duration
		l := newLagging(func() time.Duration { return lag })
		d := newDialogue(t, func(c *Config) {
			c.Interest = l.node(c.Name)
			c.Listen.RematchInterval = 0
		})
		defer d.stop()
		d.addNode()
		for _, node := range d.nodes {
			l.join(node.config.Interest.(*lagNode))
		}
		settled(lag)
		a, b := d.join("a", 1), d.join("b", 2)
		subscribe(t, a, names)
		settled(lag)
		lag = 1000 * time.Millisecond
		b.say(t, message.Message{Action: message.RecordListen, Name: "x"})
		time.Sleep(100 * time.Millisecond)
		lag = 1200 * time.Millisecond
		a.say(t, message.Message{Action: message.RecordListen, Name: "x"})
		asked := 0
		for range 100 {
			for _, m := range a.take() {
				if m.Action == message.RecordSubscriptionForPatternFound {
					a.say(t, message.Message{Action: message.RecordListenReject, Name: m.Name, Subscription: m.Subscription})
				}
			}
			asked += b.acceptAll(t)[message.RecordSubscriptionForPatternFound]
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		if asked != names {
			t.Errorf("the one who accepts was asked for %d of %d names", asked, names)
		}
	})
}
