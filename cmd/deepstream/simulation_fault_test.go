package main

import (
	"maps"
	"slices"
	"time"
)

// fault has something happen to the fleet.
func (s *simulation) fault() {
	alive := s.alive()
	switch s.random.IntN(10) {
	case 0, 1:
		if len(alive) > 1 {
			s.troubled()
			s.kill(pick(s.random, alive))
		}
	case 2:
		if len(alive) > 1 {
			s.stopInOrder(pick(s.random, alive))
		}
	case 3, 4, 5:
		s.revive()
	case 6, 7:
		s.part()
	case 8:
		s.weather()
	case 9:
		s.note("the bus is away")
		s.bus.SetAway(true)
		s.busUntil(time.Now().Add(time.Hour))
		s.later(8*time.Second, s.busBack)
	}
}

// troubled notes that what the gossip says may be late or wrong for a while.
func (s *simulation) troubled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = time.Now()
}

// revive starts a node that ended again, or one more.
func (s *simulation) revive() {
	if len(s.ended) == 0 || len(s.names) < simulatedNodes && s.random.IntN(3) == 0 {
		if len(s.names) < simulatedNodes {
			s.addNode()
		}
		return
	}
	name := pick(s.random, slices.Sorted(maps.Keys(s.ended)))
	n := s.ended[name]
	select {
	case <-n.done:
	default:
		return // the name is still its
	}
	ip := n.host.ip
	if s.random.IntN(3) == 0 {
		ip = s.newIP()
	}
	s.troubled()
	s.bring(name, ip)
}

// part cuts some members off from the others: in the gossip, on the bus, or both, and
// in one direction or both.
func (s *simulation) part() {
	var here, there []string
	members := s.alive()
	for _, p := range s.proxies {
		members = append(members, p.name)
	}
	for _, name := range members {
		if s.random.IntN(2) == 0 {
			here = append(here, name)
		} else {
			there = append(there, name)
		}
	}
	what, oneWay := s.random.IntN(3), s.random.IntN(3) == 0
	inGossip, onBus := what != 0, what != 1
	s.note("%v and %v are apart, in the gossip %v, on the bus %v, one way %v", here, there, inGossip, onBus, oneWay)
	for _, a := range here {
		for _, b := range there {
			if inGossip {
				s.troubled()
				s.wires.part(a, b)
				if !oneWay {
					s.wires.part(b, a)
				}
			}
			if onBus {
				s.mu.Lock()
				s.apart[[2]string{a, b}], s.apart[[2]string{b, a}] = true, !oneWay
				s.mu.Unlock()
			}
		}
	}
	s.later(20*time.Second, s.heal)
}

func (s *simulation) heal() {
	s.note("nobody is apart")
	s.wires.heal()
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.apart)
}

// weather has messages lost or late.
func (s *simulation) weather() {
	loss, delay := pick(s.random, []float64{0, 0.05, 0.4}), pick(s.random, []time.Duration{0, 20 * time.Millisecond, 600 * time.Millisecond})
	if s.random.IntN(2) == 0 {
		s.note("of packets of the gossip %.2f are lost, late by %v", loss, delay)
		s.troubled()
		s.wires.weather(loss, delay)
	} else {
		s.note("of messages of the bus %.2f are lost, late by %v", loss, delay)
		s.onBus(loss, delay)
	}
	s.later(15*time.Second, s.clear)
}

func (s *simulation) clear() {
	s.note("nothing is lost")
	s.wires.weather(0, 0)
	s.onBus(0, 0)
}

func (s *simulation) onBus(loss float64, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loss, s.delay = loss, delay
}

func (s *simulation) busBack() {
	s.note("the bus is not away")
	s.bus.SetAway(false)
	s.busUntil(time.Now().Add(time.Second)) // the pause of a node that tries again
}

func (s *simulation) busUntil(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busAway = at
}

// quiet ends all faults and returns when their consequences must be over.
func (s *simulation) quiet() {
	s.note("all faults end")
	s.pass(20*time.Second, 20*time.Millisecond) // and those that are to end do
	for len(s.nodes) < 2 {
		s.revive()
		s.pass(time.Second, 20*time.Millisecond)
	}
	s.pass(time.Minute, 20*time.Millisecond)
}
