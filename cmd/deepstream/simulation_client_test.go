package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/wire"
)

// player is a client of a simulated fleet: a WebSocket, and what it wants whatever
// becomes of its node. One that loses its connection comes back to a node that a
// proxy would take, and asks for all of it again. Those that write records do not
// follow any, for clients hear nothing of their own writes.
type player struct {
	s          *simulation
	name, user string
	writes     bool
	stays      bool      // it does not come back
	ready      bool      // it is connected and has asked for what it wants
	next       time.Time // when it comes back, or says that it is there

	events, provides, follows map[string]bool

	// Of the connection: another node may tell once more what was on its way.
	heard   map[string]int      // how often each event was
	copies  map[string]*version // of records; nil while it is not read
	present map[string]bool     // users, as it was told
	calls   map[string]*called
	users   []string // the last answer to a question; nil if there is none yet
	read    map[string]version

	session *conversation
}

type version struct {
	number int64
	data   string
}

// called is a call and its answers.
type called struct {
	name    string
	answers []message.Action
}

// conversation is a connection of a player.
type conversation struct {
	node string
	ws   *websocket.Conn

	mu    sync.Mutex
	inbox []message.Message // guarded by mu
	ended bool              // guarded by mu
}

var codec = wire.For(wire.Protobuf)

// Message implements wire.Sink.
func (c *conversation) Message(m *message.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inbox = append(c.inbox, *m)
	return nil
}

// Malformed implements wire.Sink.
func (c *conversation) Malformed(m *message.Message) error {
	return fmt.Errorf("the node sends what cannot be read: %+v", m)
}

func (s *simulation) newPlayer(user string) *player {
	s.serial++
	return &player{
		s: s, name: fmt.Sprint("c-", s.serial), user: user, writes: s.serial%2 == 0, next: time.Now(),
		events: make(map[string]bool), provides: make(map[string]bool), follows: make(map[string]bool),
		heard: make(map[string]int), calls: make(map[string]*called), copies: make(map[string]*version), present: make(map[string]bool),
		read: make(map[string]version),
	}
}

// connect logs in at an address.
func (p *player) connect(addr string) error {
	const limit = time.Second
	d := websocket.Dialer{
		HandshakeTimeout: limit,
		NetDialContext:   func(ctx context.Context, _, addr string) (net.Conn, error) { return p.s.wires.call(ctx, addr) },
	}
	ws, _, err := d.Dial("ws://"+addr+"/deepstream", nil)
	if err != nil {
		return err
	}
	c := &conversation{node: p.s.nameAt(addr), ws: ws}
	p.session = c
	p.s.running.Go(func() {
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.ended = true
			_ = ws.Close()
		}()
		for {
			_, frame, err := ws.ReadMessage()
			if err != nil {
				return
			}
			if err := codec.Decode(frame, c); err != nil {
				p.s.wrong("%s: %v", p.name, err)
			}
		}
	})
	p.say(&message.Message{Topic: message.Connection, Action: message.ConnectionChallenge, URL: "ws://" + addr})
	p.say(&message.Message{Topic: message.Auth, Action: message.AuthRequest, Data: `{"username":` + strconv.Quote(p.user) + `}`})
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for _, m := range p.take() {
			if m.Topic == message.Auth && m.Action == message.AuthSuccessful {
				p.s.note("%s is at %s as %s", p.name, c.node, p.user)
				p.begin()
				return nil
			}
		}
	}
	p.drop()
	return fmt.Errorf("%s gives no login", addr)
}

// begin asks for all that is wanted, anew.
func (p *player) begin() {
	p.ready = true
	clear(p.heard)
	clear(p.present)
	clear(p.calls)
	p.say(&message.Message{Topic: message.Presence, Action: message.PresenceSubscribeAll, CorrelationID: p.s.id("f")})
	for _, name := range slices.Sorted(maps.Keys(p.events)) {
		p.tell(message.Event, message.EventSubscribe, name)
	}
	for _, name := range slices.Sorted(maps.Keys(p.provides)) {
		p.tell(message.RPC, message.RPCProvide, name)
	}
	for _, name := range slices.Sorted(maps.Keys(p.follows)) {
		p.copies[name] = nil
		p.tell(message.Record, message.RecordSubscribeCreateAndRead, name)
	}
}

func (p *player) drop() {
	if p.session != nil {
		_ = p.session.ws.Close()
	}
	p.session, p.ready = nil, false
	p.next = time.Now().Add(time.Duration(50+p.s.random.IntN(500)) * time.Millisecond)
}

// comeBack has a player without a connection look for a node, as a proxy would; one
// that has a connection tells the node every now and then that it is there.
func (p *player) comeBack() {
	if time.Now().Before(p.next) || p.stays && p.session == nil {
		return
	}
	if p.session != nil {
		p.next = time.Now().Add(20 * time.Second)
		p.say(&message.Message{Topic: message.Connection, Action: message.ConnectionPing})
		return
	}
	var fit []string
	for _, b := range pick(p.s.random, p.s.proxies).backends() {
		if b.Doubt == "" && !b.Draining {
			fit = append(fit, b.Addr)
		}
	}
	if len(fit) == 0 {
		p.drop()
		return
	}
	if err := p.connect(pick(p.s.random, fit)); err != nil {
		p.s.note("%s: %v", p.name, err)
		p.drop()
	}
}

func (p *player) take() []message.Message {
	c := p.session
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.inbox
	c.inbox = nil
	return all
}

func (p *player) say(m *message.Message) {
	if p.session == nil {
		return
	}
	_ = p.session.ws.SetWriteDeadline(time.Now().Add(time.Second))
	if err := p.session.ws.WriteMessage(websocket.BinaryMessage, codec.Append(nil, m)); err != nil {
		p.drop()
	}
}

func (p *player) tell(t message.Topic, a message.Action, name string) {
	if p.ready {
		p.s.note("%s> %s %s %s", p.name, t, message.ActionName(t, a), name)
	}
	p.say(&message.Message{Topic: t, Action: a, Names: []string{name}, CorrelationID: p.s.id("n")})
}

var (
	simulatedRecords = []string{"rec/0", "rec/1"}
	simulatedEvents  = []string{"ev/0", "ev/1"}
	simulatedCalls   = []string{"add", "sub"}
)

// act has a player do something.
func (p *player) act() {
	toggle := func(has map[string]bool, name string, t message.Topic, on, off message.Action) {
		if has[name] {
			delete(has, name)
			p.tell(t, off, name)
		} else {
			has[name] = true
			p.tell(t, on, name)
		}
	}
	switch n := p.s.random.IntN(100); {
	case n < 30 && p.writes:
		p.write(pick(p.s.random, simulatedRecords))
	case n < 20:
		name := pick(p.s.random, simulatedRecords)
		delete(p.copies, name)
		toggle(p.follows, name, message.Record, message.RecordSubscribeCreateAndRead, message.RecordUnsubscribe)
		if p.follows[name] {
			p.copies[name] = nil
		}
	case n < 45:
		toggle(p.events, pick(p.s.random, simulatedEvents), message.Event, message.EventSubscribe, message.EventUnsubscribe)
	case n < 75:
		p.emit(pick(p.s.random, simulatedEvents))
	case n < 85:
		toggle(p.provides, pick(p.s.random, simulatedCalls), message.RPC, message.RPCProvide, message.RPCUnprovide)
	default:
		p.call(pick(p.s.random, simulatedCalls))
	}
}

func (p *player) emit(name string) string {
	data := strconv.Quote(p.s.id("e"))
	p.s.note("%s> emits %s %s", p.name, name, data)
	p.say(&message.Message{Topic: message.Event, Action: message.EventEmit, Name: name, Data: data})
	return data
}

func (p *player) write(name string) {
	id := p.s.id("w")
	p.s.note("%s> writes %s %s", p.name, name, id)
	p.say(&message.Message{Topic: message.Record, Action: message.RecordCreateAndUpdate, Name: name, Data: `{"w":"` + id + `"}`,
		Version: -1, HasVersion: true, CorrelationID: id, IsWriteAck: true, HasWriteAck: true})
}

func (p *player) call(name string) *called {
	id := p.s.id("c")
	c := &called{name: name}
	p.calls[id] = c
	p.s.note("%s> calls %s %s", p.name, name, id)
	p.say(&message.Message{Topic: message.RPC, Action: message.RPCRequest, Name: name, CorrelationID: id, Data: `""`})
	return c
}

// askUsers asks who else is present.
func (p *player) askUsers() {
	p.users = nil
	p.say(&message.Message{Topic: message.Presence, Action: message.PresenceQueryAll, CorrelationID: p.s.id("q")})
}

// hear looks at what came.
func (p *player) hear() {
	c := p.session
	if c == nil {
		return
	}
	for _, m := range p.take() {
		p.s.note("%s< %s %s %s%s %s %d %s", p.name, m.Topic, message.ActionName(m.Topic, m.Action), m.Name, m.Names, m.CorrelationID, m.Version, m.Data)
		switch m.Topic {
		case message.Event:
			if m.Action != message.EventEmit {
				continue
			}
			if p.heard[m.Data]++; p.heard[m.Data] > 1 {
				p.s.wrong("%s heard the event %s of %s %d times", p.name, m.Data, m.Name, p.heard[m.Data])
			}
		case message.Record:
			p.hearRecord(&m)
		case message.RPC:
			p.hearCall(&m)
		case message.Presence:
			p.hearPresence(&m)
		}
	}
	c.mu.Lock()
	ended := c.ended
	c.mu.Unlock()
	if ended && p.session == c {
		p.s.note("%s has lost %s", p.name, c.node)
		p.drop()
	}
}

func (p *player) hearPresence(m *message.Message) {
	switch m.Action {
	case message.PresenceQueryAllResponse:
		p.users = append([]string{}, m.Names...)
	case message.PresenceJoinAll, message.PresenceLeaveAll:
		joined := m.Action == message.PresenceJoinAll
		if was, told := p.present[m.Name]; told && was == joined {
			p.s.wrong("%s was told twice in a row that the presence of %s is %v", p.name, m.Name, joined)
		}
		p.present[m.Name] = joined
	}
}

// hearRecord: all who hear of a version of a record have the same of it, and the
// version that a client has only grows.
func (p *player) hearRecord(m *message.Message) {
	switch m.Action {
	case message.RecordWriteAcknowledgement:
		if !m.IsError {
			p.s.acknowledged[m.Name]++
		}
		return
	case message.RecordReadResponse, message.RecordUpdate:
	default:
		return
	}
	v := version{m.Version, m.Data}
	of := p.s.versions[m.Name]
	if of == nil {
		of = make(map[int64]string)
		p.s.versions[m.Name] = of
	}
	if first, ok := of[v.number]; ok && first != v.data {
		p.s.wrong("%s hears that version %d of %s is %s; it was %s", p.name, v.number, m.Name, v.data, first)
	}
	of[v.number] = v.data
	if m.Action == message.RecordReadResponse {
		p.read[m.Name] = v
	}
	held, follows := p.copies[m.Name]
	if !follows {
		return
	}
	if held == nil && m.Action == message.RecordReadResponse || held != nil && v.number > held.number {
		p.copies[m.Name] = &v
	}
}

func (p *player) hearCall(m *message.Message) {
	switch m.Action {
	case message.RPCRequest:
		for _, a := range []message.Action{message.RPCAccept, message.RPCResponse} {
			p.say(&message.Message{Topic: message.RPC, Action: a, Name: m.Name, CorrelationID: m.CorrelationID, Data: strconv.Quote(p.name)})
		}
	case message.RPCResponse, message.RPCNoRPCProvider, message.RPCAcceptTimeout, message.RPCResponseTimeout:
		c := p.calls[m.CorrelationID]
		if c == nil {
			p.s.wrong("%s has an answer to a call that it did not make: %s", p.name, m.CorrelationID)
			return
		}
		if c.answers = append(c.answers, m.Action); len(c.answers) > 1 {
			p.s.wrong("call %s has %d answers", m.CorrelationID, len(c.answers))
		}
	}
}

// same compares a record with what is stored.
func same(v version, number int64, data string) bool {
	var a, b any
	return v.number == number && json.Unmarshal([]byte(v.data), &a) == nil && json.Unmarshal([]byte(data), &b) == nil &&
		fmt.Sprint(a) == fmt.Sprint(b)
}

// at is the name of the node where a player is.
func (p *player) at() string {
	if p.session == nil {
		return "nowhere"
	}
	return p.session.node
}
