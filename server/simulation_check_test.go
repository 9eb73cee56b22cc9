package server

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/message"
)

// check looks at a fleet that is quiet and without faults.
func (s *simulation) check() {
	s.market.check() // the nodes know each other, each wanted name has one provider
	s.checkRecords()
	s.checkPresence()
	s.checkEvents()
	s.checkCalls()
}

// checkEmpty: of clients that are gone nothing is left, on any node.
func (s *simulation) checkEmpty() {
	for _, p := range slices.Clone(s.players) {
		s.leave(p)
	}
	s.pass(time.Minute, 100*time.Millisecond)
	for _, i := range s.alive() {
		n := s.nodes[i-1]
		for kind := interest.Events; kind <= interest.RecordProviders; kind++ {
			if names := n.config.Interest.Names(kind); len(names) > 0 {
				s.wrong("%s takes %s %v for wanted", n.config.Name, kind, names)
			}
		}
		for name, g := range n.gauges {
			if left := g.value(); left != 0 && name != "cache_bytes" {
				s.wrong("%s has %d %s", n.config.Name, left, name)
			}
		}
	}
}

// checkRecords: what was acknowledged is stored, nothing is that nobody wrote, and
// all who follow a record have what is stored.
func (s *simulation) checkRecords() {
	for _, p := range s.players {
		for id := range p.pending {
			s.wrong("write %s of %s was not answered", id, p.name)
		}
	}
	for _, record := range simulatedRecords {
		stored, err := s.cache.Memory.Get(s.t.Context(), record)
		if err != nil {
			s.t.Fatal(err)
		}
		data := make(map[string]int)
		if stored.Exists() {
			if err := json.Unmarshal([]byte(stored.Data), &data); err != nil {
				s.t.Fatal(err)
			}
		}
		for path, acknowledged := range s.writes[record] {
			if _, is := data[path]; acknowledged && !is {
				s.wrong("%s of %s was acknowledged and is not stored", path, record)
			}
		}
		if len(data) > int(stored.Version) && stored.Exists() {
			s.wrong("%s has %d writes and version %d", record, len(data), stored.Version)
		}
		for _, p := range s.players {
			switch held, follows := p.copies[record]; {
			case !follows:
			case held == nil:
				s.wrong("%s of node %s has not read %s", p.name, p.node.config.Name, record)
			case held.version != stored.Version || !maps.Equal(held.data, data):
				s.wrong("%s of node %s has version %d of %s, stored is version %d", p.name, p.node.config.Name, held.version, record, stored.Version)
			}
		}
	}
}

// checkPresence: those are present who are logged in, for all nodes and all clients.
func (s *simulation) checkPresence() {
	here := make(map[string]bool)
	for _, p := range s.players {
		here[p.user] = true
	}
	want := slices.Sorted(maps.Keys(here))
	for _, i := range s.alive() {
		n := s.nodes[i-1]
		if names := slices.Sorted(slices.Values(n.config.Interest.Names(interest.Users))); !slices.Equal(names, want) {
			s.wrong("%s takes %v for present; they are %v", n.config.Name, names, want)
		}
	}
	for _, p := range s.players {
		for user, told := range p.present {
			if told != here[user] {
				s.wrong("%s was told that the presence of %s is %v", p.name, user, told)
			}
		}
		for user, told := range p.online {
			if told != here[user] {
				s.wrong("%s, who watches, was told that the presence of %s is %v", p.name, user, told)
			}
		}
	}
}

// checkEvents: an event that is emitted anywhere is heard once by all others who
// subscribe.
func (s *simulation) checkEvents() {
	for _, p := range slices.Clone(s.players) {
		for _, name := range simulatedEvents {
			s.emit(p, name)
			data := fmt.Sprintf(`"e%d"`, s.serial)
			s.pass(50*time.Millisecond, 5*time.Millisecond)
			for _, o := range s.players {
				if times := o.heard[data]; (times == 1) != (o.events[name] && o != p) {
					s.wrong("%s heard %s of %s %d times; subscribed: %v", o.name, data, name, times, o.events[name])
				}
			}
		}
	}
}

// checkCalls: every call had one answer, and one that is made now is answered by a
// provider that there is, or NO_RPC_PROVIDER.
func (s *simulation) checkCalls() {
	for _, p := range s.players {
		for id, c := range p.calls {
			if len(c.answers) != 1 {
				s.wrong("call %s of %s was answered %d times", id, p.name, len(c.answers))
			}
		}
		clear(p.calls)
	}
	willing := make(map[string]bool)
	for _, p := range s.players {
		for name := range p.provides {
			willing[name] = willing[name] || !p.rejects
		}
		for _, name := range simulatedCalls {
			s.call(p, name)
		}
	}
	s.pass(30*time.Second, 20*time.Millisecond)
	for _, p := range s.players {
		for id, c := range p.calls {
			want := message.RPCNoRPCProvider
			if willing[c.name] {
				want = message.RPCResponse
			}
			if len(c.answers) != 1 || c.answers[0] != want {
				s.wrong("call %s of %s, to %s, has the answers %v; a provider is willing: %v", id, p.name, c.name, c.answers, willing[c.name])
			}
		}
		clear(p.calls)
	}
}
