package server

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
)

// player is a client of a simulated fleet, and what it knows. One that writes records
// does not follow any: clients hear nothing of their own writes.
type player struct {
	*trader
	user     string
	copies   map[string]*replica  // nil while it is not read
	failed   map[string]bool      // records whose reading failed
	pending  map[string][2]string // writes without an answer yet: record and path
	events   map[string]bool
	heard    map[string]int // how often each event was
	provides map[string]bool
	rejects  bool
	accepts  bool // before it rejects
	calls    map[string]*simulatedCall
	follows  bool
	present  map[string]bool // as it was told since it follows
	watches  map[string]bool // users
	online   map[string]bool // as it was told since it watches
}

// simulatedCall is a call of a client and what came of it.
type simulatedCall struct {
	name     string
	accepted int
	answers  []message.Action
}

var (
	simulatedUsers   = []string{"al", "bo", "cy", "di"}
	simulatedRecords = []string{"rec/0", "rec/1", "rec/2"}
	simulatedEvents  = []string{"ev/0", "ev/1"}
	simulatedCalls   = []string{"add", "sub"}
)

func (s *simulation) next(prefix string) string {
	s.serial++
	return fmt.Sprint(prefix, s.serial)
}

func (s *simulation) arrive() { s.arriveAt(s.nodes[pick(s.random, s.alive())-1]) }

func (s *simulation) arriveAt(node *Server) {
	name, user := s.next("p"), pick(s.random, simulatedUsers)
	s.note("%s comes to %s as %s", name, node.config.Name, user)
	s.connect(node, name, "protobuf")
	s.login(name, user)
	p := &player{trader: s.newTrader(name), user: user, copies: make(map[string]*replica), failed: make(map[string]bool),
		pending: make(map[string][2]string), events: make(map[string]bool), heard: make(map[string]int),
		provides: make(map[string]bool), rejects: s.random.IntN(3) == 0, accepts: s.random.IntN(2) == 0,
		calls: make(map[string]*simulatedCall), present: make(map[string]bool), watches: make(map[string]bool), online: make(map[string]bool)}
	s.players = append(s.players, p)
}

func (s *simulation) leave(p *player) {
	s.note("%s goes", p.name)
	p.session.End()
	s.clients = slices.DeleteFunc(s.clients, func(c *client) bool { return c == p.client })
	s.traders = slices.DeleteFunc(s.traders, func(w *trader) bool { return w == p.trader })
	s.players = slices.DeleteFunc(s.players, func(o *player) bool { return o == p })
}

// writer tells the players that write from those that follow.
func (p *player) writer() bool { return p.name[len(p.name)-1]%2 == 1 }

func (s *simulation) tell(p *player, m *message.Message) {
	s.note("%s> %s %s %s%s %s %s", p.name, m.Topic, message.ActionName(m.Topic, m.Action), m.Name, m.Names, m.CorrelationID, m.Data)
	if err := p.session.Receive(p.codec.Append(nil, m)); err != nil {
		s.t.Fatal(err)
	}
}

// do has a client do something.
func (s *simulation) do(p *player) {
	switch n := s.random.IntN(100); {
	case n < 25:
		if p.writer() {
			s.write(p, pick(s.random, simulatedRecords))
		} else {
			s.readFailed(p)
			s.followOrNot(p, pick(s.random, simulatedRecords))
		}
	case n < 35:
		s.toggle(p, message.Event, message.EventSubscribe, message.EventUnsubscribe, p.events, pick(s.random, simulatedEvents))
	case n < 50:
		s.emit(p, pick(s.random, simulatedEvents))
	case n < 58:
		s.provideOrNot(p, pick(s.random, simulatedCalls))
	case n < 72:
		s.call(p, pick(s.random, simulatedCalls))
	case n < 75:
		s.follow(p)
	case n < 77:
		s.watch(p, pick(s.random, simulatedUsers))
	case n < 84:
		name, _ := s.thing(p.trader)
		s.want(p.trader, name)
	case n < 93:
		_, pattern := s.thing(p.trader)
		s.offer(p.trader, pattern)
	default:
		s.leave(p)
	}
}

// toggle has a client turn a subscription on or off.
func (s *simulation) toggle(p *player, topic message.Topic, on, off message.Action, has map[string]bool, name string) {
	action, id := on, s.next("n")
	if has[name] {
		action, id = off, ending+name
		delete(has, name)
	} else {
		has[name] = true
	}
	s.tell(p, &message.Message{Topic: topic, Action: action, Names: []string{name}, CorrelationID: id})
}

func (s *simulation) provideOrNot(p *player, name string) {
	s.toggle(p, message.RPC, message.RPCProvide, message.RPCUnprovide, p.provides, name)
}

func (s *simulation) watch(p *player, user string) {
	s.toggle(p, message.Presence, message.PresenceSubscribe, message.PresenceUnsubscribe, p.watches, user)
}

// write writes a path that nobody else writes, with any version or the next one.
func (s *simulation) write(p *player, record string) {
	path, id := s.next("x"), s.next("w")
	version := int64(anyVersion)
	if r, err := s.cache.Memory.Get(s.t.Context(), record); err == nil && s.random.IntN(2) == 0 && r.Exists() {
		version = r.Version + 1
	}
	if s.writes[record] == nil {
		s.writes[record] = make(map[string]bool)
	}
	s.writes[record][path] = false
	p.pending[id] = [2]string{record, path}
	s.tell(p, &message.Message{Topic: message.Record, Action: message.RecordCreateAndPatch, Name: record, Path: path, Data: "1",
		Version: version, HasVersion: true, CorrelationID: id, IsWriteAck: true, HasWriteAck: true})
}

// anyVersion is the version of a write that does not care.
const anyVersion = -1

func (s *simulation) followOrNot(p *player, record string) {
	if _, ok := p.copies[record]; ok {
		delete(p.copies, record)
		delete(p.failed, record)
		s.tell(p, &message.Message{Topic: message.Record, Action: message.RecordUnsubscribe, Names: []string{record}, CorrelationID: ending + record})
		return
	}
	s.read(p, record)
}

func (s *simulation) read(p *player, record string) {
	p.copies[record] = nil
	delete(p.failed, record)
	s.tell(p, &message.Message{Topic: message.Record, Action: message.RecordSubscribeCreateAndRead, Names: []string{record}, CorrelationID: s.next("s")})
}

// readFailed has a client try again what failed, as clients do.
func (s *simulation) readFailed(p *player) {
	for _, record := range slices.Sorted(maps.Keys(p.failed)) {
		s.read(p, record)
	}
}

func (s *simulation) emit(p *player, name string) {
	s.tell(p, &message.Message{Topic: message.Event, Action: message.EventEmit, Name: name, Data: strconv.Quote(s.next("e"))})
}

func (s *simulation) call(p *player, name string) {
	id := s.next("c")
	p.calls[id] = &simulatedCall{name: name}
	s.tell(p, &message.Message{Topic: message.RPC, Action: message.RPCRequest, Name: name, CorrelationID: id, Data: strconv.Quote(id)})
}

func (s *simulation) follow(p *player) {
	action := message.PresenceSubscribeAll
	if p.follows {
		action = message.PresenceUnsubscribeAll
	}
	p.follows = !p.follows
	s.tell(p, &message.Message{Topic: message.Presence, Action: action, CorrelationID: s.next("f")})
}

func (s *simulation) hearAll() {
	for heard := true; heard; {
		heard = false
		for _, p := range s.players {
			p.mu.Lock()
			closed := p.closed
			p.mu.Unlock()
			if closed != "" {
				s.wrong("%s was closed: %s", p.name, closed)
			}
			for _, m := range p.take() {
				heard = true
				s.hear(p, &m)
			}
		}
	}
}

func (s *simulation) wrong(format string, args ...any) {
	s.t.Helper()
	s.note("WRONG: "+format, args...)
	s.t.Errorf(format, args...)
}

func (s *simulation) hear(p *player, m *message.Message) {
	s.note("%s< %s %s %s%s %s %s %d %s", p.name, m.Topic, message.ActionName(m.Topic, m.Action), m.Name, m.Subscription, m.CorrelationID, m.Path, m.Version, m.Data)
	switch m.Topic {
	case message.Record:
		s.hearOne(p.trader, m)
		s.hearRecord(p, m)
	case message.Event:
		if m.Action != message.EventEmit {
			return
		}
		if p.heard[m.Data]++; p.heard[m.Data] > 1 {
			s.wrong("%s heard the event %s %d times", p.name, m.Data, p.heard[m.Data])
		}
	case message.RPC:
		s.hearCall(p, m)
	case message.Presence:
		s.hearPresence(p, m)
	}
}

func (s *simulation) hearPresence(p *player, m *message.Message) {
	told := p.present
	switch m.Action {
	case message.PresenceUnsubscribeAll:
		clear(p.present)
		return
	case message.PresenceUnsubscribe:
		delete(p.online, strings.TrimPrefix(m.CorrelationID, ending))
		return
	case message.PresenceJoinAll, message.PresenceLeaveAll:
	case message.PresenceJoin, message.PresenceLeave:
		told = p.online
	default:
		return
	}
	joined := m.Action == message.PresenceJoinAll || m.Action == message.PresenceJoin
	if was, again := told[m.Name]; again && was == joined {
		s.wrong("%s was told twice in a row that the presence of %s is %v", p.name, m.Name, joined)
	}
	told[m.Name] = joined
}

func (s *simulation) hearRecord(p *player, m *message.Message) {
	if w, ok := p.pending[m.CorrelationID]; ok && m.Action != message.RecordUpdate {
		delete(p.pending, m.CorrelationID)
		if m.Action == message.RecordWriteAcknowledgement && !s.unsure[m.CorrelationID] {
			s.writes[w[0]][w[1]] = true
		}
		return
	}
	held, follows := p.copies[m.Name]
	switch {
	case m.IsWriteAck:
		s.wrong("%s has a second answer to write %s: %s", p.name, m.CorrelationID, message.ActionName(m.Topic, m.Action))
	case !follows:
	case m.OriginalAction == message.RecordSubscribeCreateAndRead && m.IsError:
		p.failed[m.Name] = true
	case m.Action == message.RecordReadResponse:
		c := &replica{version: m.Version, data: make(map[string]int)}
		if err := json.Unmarshal([]byte(m.Data), &c.data); err != nil {
			s.wrong("%s: %v", p.name, err)
		}
		p.copies[m.Name] = c
		delete(p.failed, m.Name)
	case held == nil:
	case s.forgets && m.Action == message.RecordUpdate:
		held.version = m.Version - 1
		if err := held.apply(m); err != nil {
			s.wrong("%s: %v", p.name, err)
		}
	case s.forgets && m.Action == message.RecordPatch && m.Version != held.version+1:
		s.tell(p, &message.Message{Topic: message.Record, Action: message.RecordRead, Name: m.Name}) // as clients do
	case m.Action == message.RecordUpdate && m.Version == held.version:
		// Who has read a record is told the same again with those who have not.
		again := &replica{version: -1}
		if err := again.apply(m); err != nil || !maps.Equal(again.data, held.data) {
			s.wrong("%s has version %d of %s with other data, %v", p.name, m.Version, m.Name, err)
		}
	case m.Action == message.RecordPatch && m.Version <= held.version:
		// So it is with a write that was on its way when the record was read. A
		// client that hears of one which it has reads the record again.
		if _, has := held.data[m.Path]; !has {
			s.wrong("%s has version %d of %s without write %s of version %d", p.name, held.version, m.Name, m.Path, m.Version)
		}
	case m.Action == message.RecordUpdate || m.Action == message.RecordPatch:
		if err := held.apply(m); err != nil {
			s.wrong("%s: %v", p.name, err)
		}
	}
}

func (s *simulation) hearCall(p *player, m *message.Message) {
	c := p.calls[m.CorrelationID]
	switch m.Action {
	case message.RPCRequest:
		s.provide(p, m)
	case message.RPCAccept:
		if c == nil {
			s.wrong("%s hears of a call that it did not make: %s", p.name, m.CorrelationID)
		} else if c.accepted++; c.accepted > 1 {
			s.wrong("call %s was accepted %d times", m.CorrelationID, c.accepted)
		}
	case message.RPCResponse, message.RPCNoRPCProvider, message.RPCAcceptTimeout, message.RPCResponseTimeout:
		if c == nil {
			s.wrong("%s has an answer to a call that it did not make: %s", p.name, m.CorrelationID)
			return
		}
		if c.answers = append(c.answers, m.Action); len(c.answers) > 1 {
			s.wrong("call %s has %d answers", m.CorrelationID, len(c.answers))
		}
		if m.Action == message.RPCResponse {
			var answer [2]string
			if err := json.Unmarshal([]byte(m.Data), &answer); err != nil || answer[0] != m.CorrelationID || s.asked[answer[0]][answer[1]] == 0 {
				s.wrong("call %s is answered with %s", m.CorrelationID, m.Data)
			}
		}
	}
}

// provide has a client answer a call that it was asked, or not, after a while.
func (s *simulation) provide(p *player, m *message.Message) {
	id, name, as := "", m.Name, m.CorrelationID
	if err := json.Unmarshal([]byte(m.Data), &id); err != nil {
		s.wrong("%s is asked with %s", p.name, m.Data)
		return
	}
	if s.asked[id] == nil {
		s.asked[id] = make(map[string]int)
	}
	if s.asked[id][p.name]++; s.asked[id][p.name] > 1 {
		s.wrong("%s is asked %d times for call %s", p.name, s.asked[id][p.name], id)
	}
	answer := func(a message.Action, data string) {
		if slices.Contains(s.players, p) {
			s.tell(p, &message.Message{Topic: message.RPC, Action: a, Name: name, CorrelationID: as, Data: data})
		}
	}
	if p.rejects && !p.accepts {
		s.later(900*time.Millisecond, func() { answer(message.RPCReject, "") })
		return
	}
	s.later(300*time.Millisecond, func() {
		answer(message.RPCAccept, "")
		s.later(2*time.Second, func() {
			if p.rejects {
				answer(message.RPCReject, "")
			} else {
				answer(message.RPCResponse, fmt.Sprintf("[%q,%q]", id, p.name))
			}
		})
	})
}
