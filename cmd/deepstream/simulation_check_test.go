package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dsproxy/dsproxy/backend/gossip"
	"github.com/dsproxy/dsproxy/server/message"
)

const (
	// verdictMost is the most that memberlist takes to miss a node where all is well.
	verdictMost = 5 * time.Second
	// tracesMost is how long after a verdict something of a dead node may be left.
	tracesMost = 3 * time.Second
	// joinMost is how long a node takes to know all where all is well.
	joinMost = time.Second
	// silentMost is how long one may be silent on the bus that the gossip, too, has
	// nothing to say of.
	silentMost = 8 * time.Second
	// healthy is how long ago the last trouble must be for these to hold.
	healthy = 15 * time.Second
)

// doorCloses is called when a node takes no more clients. One that was told to stop
// has told the proxies before.
func (s *simulation) doorCloses(n *simulatedNode) {
	s.mu.Lock()
	_, crashed := s.crashed[n.name]
	calm := !crashed && time.Since(s.trouble) > healthy && time.Since(n.born) > healthy
	s.mu.Unlock()
	s.note("%s takes no more clients", n.name)
	for _, p := range s.proxies {
		for _, b := range p.backends() {
			if calm && b.ID == n.name && !b.Draining {
				s.wrong("%s closes its door, and %s does not know that it drains", n.name, p.name)
			}
		}
	}
}

// checkDead looks at all times at what nodes keep of those that crashed: a node that
// the gossip says is dead is gone tracesMost later, if the bus works.
func (s *simulation) checkDead() {
	s.mu.Lock()
	crashed, away := maps.Clone(s.crashed), s.busAway
	s.mu.Unlock()
	if s.t.Failed() {
		return // once is enough
	}
	for _, n := range s.nodes {
		for name, at := range crashed {
			verdict, isDead := n.bus.deadSince(name)
			most := tracesMost
			if verdict.Before(at) {
				verdict, most = at, silentMost // it was said too soon, and does not count
			}
			if verdict.Before(away) {
				verdict = away
			}
			if isDead && time.Since(verdict) > most && n.bus.knows(name) {
				s.wrong("%s knows %s on the bus, which crashed and is dead for %v", n.name, name, time.Since(verdict))
			}
		}
	}
}

// check looks at a fleet that is quiet, and then has one node join, one leave, one die
// and one move, and looks again.
func (s *simulation) check() {
	s.checkFleet()
	s.checkClients()
	for _, change := range []func(){s.joins, s.leaves, s.dies, s.moves} {
		if s.t.Failed() {
			return
		}
		change()
		s.pass(healthy, 10*time.Millisecond)
		s.checkFleet()
		s.checkClients()
	}
}

// checkFleet: each member sees exactly those that live, as they announce themselves,
// and each proxy has them for backends.
func (s *simulation) checkFleet() {
	want := s.living()
	fleets := make(map[string]*gossip.Fleet)
	for name, n := range s.nodes {
		fleets[name] = n.member.fleet
	}
	for _, p := range s.proxies {
		fleets[p.name] = p.fleet
	}
	for name, f := range fleets {
		s.checkMember(name, f, want)
	}
	for _, p := range s.proxies {
		s.checkSource(p)
	}
	for name := range s.nodes {
		s.checkBus(name)
	}
}

// living is what a member sees of those that live.
func (s *simulation) living() map[string]string {
	want := make(map[string]string)
	for name, n := range s.nodes {
		want[name] = fmt.Sprint(n.host.ip, ":", gossipPort, " ", n.addr())
	}
	for _, p := range s.proxies {
		want[p.name] = fmt.Sprint(p.host.ip, ":", gossipPort, " ")
	}
	return want
}

func (s *simulation) checkMember(name string, f *gossip.Fleet, want map[string]string) {
	seen := make(map[string]string)
	for _, m := range f.Members() {
		if m.State != gossip.Alive {
			continue
		}
		seen[m.Name] = m.Addr + " " + m.Announcement.Addr
		if m.Draining {
			seen[m.Name] += " drains"
		}
	}
	if !maps.Equal(seen, want) {
		s.wrong("%s sees %v; there are %v", name, seen, want)
	}
}

func (s *simulation) checkBus(name string) {
	n := s.nodes[name]
	for other := range s.nodes {
		if name != other && !n.bus.knows(other) {
			s.wrong("%s does not know %s on the bus", name, other)
		}
	}
	for other := range s.ended {
		if n.bus.knows(other) {
			s.wrong("%s still knows %s on the bus", name, other)
		}
	}
}

func (s *simulation) checkSource(p *simulatedProxy) {
	has := make(map[string]bool)
	for _, b := range p.backends() {
		n := s.nodes[b.ID]
		switch {
		case n == nil && b.Doubt != "":
			if _, crashed := s.crashed[b.ID]; !crashed && time.Since(s.trouble) > 10*time.Minute {
				s.wrong("%s has %s, which has left", p.name, b.ID)
			}
			continue
		case n == nil:
			s.wrong("%s has %s, which is no more, without a doubt", p.name, b.ID)
			continue
		case b.Addr != n.addr() || b.Draining || b.Doubt != "" || b.Zone != "z" || b.Weight != 2:
			s.wrong("%s has %+v; the node is at %s", p.name, b, n.addr())
		}
		has[b.ID] = true
	}
	if len(has) != len(s.nodes) {
		s.wrong("%s has %v; there are %v", p.name, slices.Sorted(maps.Keys(has)), s.alive())
	}
}

// checkClients asks each node by a client of its own, and looks at what all clients
// have been told.
func (s *simulation) checkClients() {
	for _, p := range s.players {
		if !p.ready {
			s.wrong("%s has no node", p.name)
		}
	}
	observers := s.observe()
	if s.t.Failed() {
		return
	}
	s.checkPresence(observers)
	s.checkEvents(observers)
	s.checkRecords(observers)
	s.checkCalls(observers)
	for _, o := range observers {
		s.leave(o)
	}
	s.pass(500*time.Millisecond, 10*time.Millisecond)
}

// observe has a client on each node.
func (s *simulation) observe() (all []*player) {
	for _, name := range s.alive() {
		all = append(all, s.visit(name, "watch-"+name))
	}
	s.pass(500*time.Millisecond, 10*time.Millisecond)
	return all
}

// visit connects a client to a node, where it stays.
func (s *simulation) visit(node, user string) *player {
	p := s.newPlayer(user)
	p.stays = true
	if err := p.connect(s.nodes[node].addr()); err != nil {
		s.wrong("%s cannot be at %s: %v", p.name, node, err)
	}
	s.players = append(s.players, p)
	return p
}

// checkPresence: those are present who are logged in, for all nodes and all clients.
func (s *simulation) checkPresence(observers []*player) {
	here := make(map[string]bool)
	for _, p := range s.players {
		here[p.user] = true
	}
	for _, o := range observers {
		o.askUsers()
	}
	s.pass(200*time.Millisecond, 10*time.Millisecond)
	for _, o := range observers {
		want := slices.DeleteFunc(slices.Sorted(maps.Keys(here)), func(u string) bool { return u == o.user })
		if got := slices.Sorted(slices.Values(o.users)); !slices.Equal(got, want) {
			s.wrong("%s says that %v are present; they are %v", o.at(), got, want)
		}
	}
	for _, p := range s.players {
		for user, told := range p.present {
			if told != here[user] {
				s.wrong("%s was told that the presence of %s is %v", p.name, user, told)
			}
		}
	}
}

// checkEvents: an event that is emitted on any node is heard once by all who subscribe.
func (s *simulation) checkEvents(observers []*player) {
	for _, o := range observers {
		for _, name := range simulatedEvents {
			data := o.emit(name)
			s.pass(100*time.Millisecond, 10*time.Millisecond)
			for _, p := range s.players {
				want := 0
				if p.events[name] && p != o {
					want = 1
				}
				if p.heard[data] != want {
					s.wrong("%s of %s heard %s, emitted on %s, %d times, want %d", p.name, p.at(), name, o.at(), p.heard[data], want)
				}
			}
		}
	}
}

// checkRecords: all who follow a record, and all who read it on any node, have what
// is stored.
func (s *simulation) checkRecords(observers []*player) {
	for _, name := range simulatedRecords {
		stored, err := s.cache.Get(s.t.Context(), name)
		if err != nil {
			s.t.Fatal(err)
		}
		if !stored.Exists() {
			continue
		}
		if s.acknowledged[name] > stored.Version {
			s.wrong("%d writes of %s were acknowledged, stored is version %d", s.acknowledged[name], name, stored.Version)
		}
		for _, p := range s.players {
			if held, follows := p.copies[name]; follows && (held == nil || !same(*held, stored.Version, stored.Data)) {
				s.wrong("%s of %s has %v of %s, stored is version %d, %s", p.name, p.at(), held, name, stored.Version, stored.Data)
			}
		}
		for _, o := range observers {
			delete(o.read, name)
			o.say(&message.Message{Topic: message.Record, Action: message.RecordRead, Name: name, CorrelationID: s.id("r")})
		}
		s.pass(200*time.Millisecond, 10*time.Millisecond)
		for _, o := range observers {
			if read := o.read[name]; !same(read, stored.Version, stored.Data) {
				s.wrong("%s reads %v of %s, stored is version %d, %s", o.at(), read, name, stored.Version, stored.Data)
			}
		}
	}
}

// checkCalls: a call on any node is answered by a provider, if there is one anywhere.
func (s *simulation) checkCalls(observers []*player) {
	provided := make(map[string]bool)
	for _, p := range s.players {
		for name := range p.provides {
			provided[name] = true
		}
	}
	for _, o := range observers {
		for _, name := range simulatedCalls {
			c := o.call(name)
			s.pass(300*time.Millisecond, 10*time.Millisecond)
			want := message.RPCNoRPCProvider
			if provided[name] {
				want = message.RPCResponse
			}
			if len(c.answers) != 1 || c.answers[0] != want {
				s.wrong("a call of %s on %s has the answers %v, want %v; provided: %v", name, o.at(), c.answers, want, provided[name])
			}
		}
	}
}

// joins has a node come, which knows all in joinMost. That others know it as soon is a
// matter of chance where they hear of it by gossip, so they are asked later.
func (s *simulation) joins() {
	before := s.alive()
	if len(s.names) < simulatedNodes {
		s.addNode()
	} else {
		for _, name := range slices.Sorted(maps.Keys(s.ended)) {
			s.bring(name, s.newIP())
			break
		}
	}
	s.pass(joinMost, 10*time.Millisecond)
	for _, name := range s.alive() {
		if !slices.Contains(before, name) {
			s.checkMember(name, s.nodes[name].member.fleet, s.living())
			s.checkBus(name)
		}
	}
	s.checkClients()
}

// ghost is a client that goes with its node, and what it leaves.
func (s *simulation) ghost(node string) *player {
	g := s.visit(node, "ghost")
	g.events["ghost"], g.provides["ghost"] = true, true
	g.tell(message.Event, message.EventSubscribe, "ghost")
	g.tell(message.RPC, message.RPCProvide, "ghost")
	s.pass(joinMost, 10*time.Millisecond)
	return g
}

// traces looks at what the nodes have of a ghost: its presence, its provider and its
// interest.
func (s *simulation) traces(of string, want bool) {
	observers := s.observe()
	if s.t.Failed() {
		return
	}
	for _, o := range observers {
		if o.at() == of {
			continue
		}
		n := s.nodes[o.at()]
		if n == nil {
			s.wrong("%s has lost its node", o.name)
			return
		}
		bus := n.bus
		before := bus.sentTo(of)
		o.askUsers()
		o.emit("ghost")
		s.pass(200*time.Millisecond, 10*time.Millisecond)
		sent := bus.sentTo(of) > before
		c := o.call("ghost")
		s.pass(500*time.Millisecond, 10*time.Millisecond)
		present, called := slices.Contains(o.users, "ghost"), slices.Equal(c.answers, []message.Action{message.RPCResponse})
		if present != want || sent != want || called != want {
			s.wrong("%s has a user of %s: %v, sends it events: %v, calls its providers: %v; all should be %v (%v)",
				o.at(), of, present, sent, called, want, c.answers)
		}
	}
	for _, o := range observers {
		s.leave(o)
	}
	s.pass(500*time.Millisecond, 10*time.Millisecond)
}

// leaves has a node stop in order: nothing of it is left a moment later.
func (s *simulation) leaves() {
	name := pick(s.random, s.alive())
	g := s.ghost(name)
	s.traces(name, true)
	n := s.stopInOrder(name)
	s.pass(3*time.Second, 10*time.Millisecond)
	select {
	case <-n.done:
	default:
		s.wrong("%s has not stopped", name)
	}
	s.leave(g)
	for _, p := range s.proxies {
		for _, b := range p.backends() {
			if b.ID == name {
				s.wrong("%s has %+v, which has left", p.name, b)
			}
		}
	}
	s.checkFleet()
	s.traces(name, false)
}

// dies has a node killed: it is missed in verdictMost, and nothing of it is left
// tracesMost later.
func (s *simulation) dies() {
	if len(s.alive()) < 2 {
		return
	}
	name := pick(s.random, s.alive())
	g := s.ghost(name)
	s.traces(name, true)
	s.kill(name)
	late := time.Now().Add(verdictMost)
	for s.pass(10*time.Millisecond, 10*time.Millisecond); ; s.pass(10*time.Millisecond, 10*time.Millisecond) {
		missing := slices.DeleteFunc(s.alive(), func(o string) bool {
			_, dead := s.nodes[o].bus.deadSince(name)
			return dead
		})
		if len(missing) == 0 {
			break
		}
		if time.Now().After(late) {
			s.wrong("%s does not miss %s after %v", strings.Join(missing, " and "), name, verdictMost)
			break
		}
	}
	s.pass(tracesMost, 10*time.Millisecond)
	s.leave(g)
	s.traces(name, false)
}

// moves has a node killed that comes back at once, elsewhere: those who have not missed
// it yet take the address when they do.
func (s *simulation) moves() {
	name := pick(s.random, s.alive())
	n := s.nodes[name]
	s.kill(name)
	killed := time.Now()
	for done := false; !done; s.pass(10*time.Millisecond, 10*time.Millisecond) {
		select {
		case <-n.done:
			done = true
		default:
		}
	}
	s.bring(name, s.newIP())
	s.pass(time.Until(killed.Add(verdictMost+2*time.Second)), 10*time.Millisecond)
	s.checkFleet()
}
