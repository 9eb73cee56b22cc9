package server

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/dsproxy/dsproxy/server/bus"
	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/store"
	"github.com/dsproxy/dsproxy/server/wire"
)

// TestDialogues plays the conversations in testdata/dialogues against a node
// without sockets and with a clock of its own. A step is
//
//	say
//	a> R|CR|rec
//	----
//	a> R|CR|rec
//	a< R|A|S|rec
//
// where bars are the unit separator of the text protocols and each message has a
// line; protobuf messages are written as TOPIC ACTION key=value..., data last.
// "connect NAME PROTOCOL [USER] [@NODE]" connects to a node and logs in, "kill
// @NODE" ends a node with its clients, "wait DURATION" lets time pass. Run with
// -rewrite to write down what the node says now.
func TestDialogues(t *testing.T) {
	datadriven.Walk(t, "testdata/dialogues", func(t *testing.T, path string) {
		synctest.Test(t, func(t *testing.T) {
			d := newDialogue(t, nil)
			defer d.stop()
			datadriven.RunTest(t, path, d.step)
		})
	})
}

// dialogue is one or more nodes of a cluster and the clients that talk to them.
type dialogue struct {
	t       *testing.T
	change  func(c *Config)
	network *bus.Network
	wants   *interest.Memory
	cache   store.Cache
	nodes   []*Server
	running sync.WaitGroup
	stops   []func()
	clients []*client
}

func newDialogue(t *testing.T, change func(c *Config)) *dialogue {
	d := &dialogue{t: t, change: change, network: bus.NewNetwork(), wants: interest.NewMemory(), cache: store.NewMemory(0)}
	d.addNode()
	return d
}

func (d *dialogue) addNode() {
	node, stop := d.startNode(fmt.Sprintf("node-%d", len(d.nodes)+1))
	d.nodes = append(d.nodes, node)
	d.stops = append(d.stops, stop)
}

func (d *dialogue) startNode(name string) (node *Server, stop func()) {
	c := Defaults()
	c.Name = name
	c.Log = slog.New(slog.DiscardHandler)
	c.Listen.Shuffle = false
	c.Cache = d.cache
	wants := d.wants.Node(c.Name)
	c.Bus, c.Interest = d.network.Join(c.Name), wants
	if d.change != nil {
		d.change(&c)
	}
	node, err := New(c)
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.running.Go(func() { _ = node.flusher.Run(ctx) })
	d.running.Go(func() { _ = node.sessions.Run(ctx) })
	d.running.Go(func() { _ = node.store.Run(ctx) })
	d.running.Go(func() { _ = c.Bus.Run(ctx, node.peers) })
	return node, func() {
		for _, f := range node.closers {
			f()
		}
		node.stop()
		wants.Leave()
		cancel()
	}
}

func (d *dialogue) stop() {
	for _, c := range d.clients {
		c.session.End()
	}
	for _, stop := range d.stops {
		stop()
	}
	d.running.Wait()
}

// client is one end of a connection that has no network.
type client struct {
	name    string
	node    *Server
	codec   wire.Codec
	session *session.Session
	yields  atomic.Int64 // of the goroutine that reads for it

	mu     sync.Mutex
	bytes  []byte // guarded by mu: what the node sent
	closed string // guarded by mu: how the node hung up
}

func (c *client) TryWrite(b *session.Batch) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range b.Parts() {
		c.bytes = append(c.bytes, p...)
	}
	b.Advance(b.Size())
	return true, nil
}

func (c *client) Yield()                      { c.yields.Add(1) }
func (c *client) Finish(*session.Batch) error { return nil }
func (c *client) RemoteAddr() string          { return "192.0.2.1" }

func (c *client) Close(code int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed == "" {
		c.closed = fmt.Sprintf("closed %d %s", code, reason)
	}
}

func (d *dialogue) client(name string) *client {
	i := slices.IndexFunc(d.clients, func(c *client) bool { return c.name == name })
	if i < 0 {
		d.t.Fatalf("no client %s", name)
	}
	return d.clients[i]
}

func (d *dialogue) step(t *testing.T, td *datadriven.TestData) string {
	var out strings.Builder
	switch td.Cmd {
	case "connect":
		name, user, node := td.CmdArgs[0].Key, "", 1
		for _, a := range td.CmdArgs[2:] {
			if n, ok := strings.CutPrefix(a.Key, "@"); ok {
				node = int(n[0] - '0')
			} else {
				user = a.Key
			}
		}
		for len(d.nodes) < node {
			d.addNode()
		}
		d.connect(d.nodes[node-1], name, td.CmdArgs[1].Key)
		if user != "" {
			d.login(name, user)
			return ""
		}
		d.hear(&out)
	case "say":
		for line := range strings.Lines(td.Input) {
			line = strings.TrimSuffix(line, "\n")
			who, what, ok := strings.Cut(line, "> ")
			if !ok {
				t.Fatalf("%s: %q is no line of a client", td.Pos, line)
			}
			fmt.Fprintln(&out, line)
			d.send(d.client(who), what)
			d.hear(&out)
		}
	case "leave":
		for _, a := range td.CmdArgs {
			c := d.client(a.Key)
			c.session.End()
			d.clients = slices.DeleteFunc(d.clients, func(o *client) bool { return o == c })
		}
		d.hear(&out)
	case "kill":
		d.kill(int(td.CmdArgs[0].Key[1] - '0'))
		d.hear(&out)
	case "wait":
		pause, err := time.ParseDuration(td.CmdArgs[0].Key)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(pause)
		d.hear(&out)
	default:
		t.Fatalf("%s: unknown step %s", td.Pos, td.Cmd)
	}
	return out.String()
}

// kill ends a node; the others hear of it.
func (d *dialogue) kill(node int) {
	s := d.nodes[node-1]
	d.clients = slices.DeleteFunc(d.clients, func(c *client) bool { return c.node == s })
	d.stops[node-1]()
	d.stops[node-1] = func() {}
}

func (d *dialogue) connect(node *Server, name, protocol string) {
	c := &client{name: name, node: node}
	for id := range wire.Codecs {
		if wire.For(id).Traits().Name == protocol {
			c.codec = wire.For(id)
		}
	}
	if c.codec == nil {
		d.t.Fatalf("no protocol %s", protocol)
	}
	limits := DefaultLimits()
	s, err := node.sessions.New(c, c.codec.Traits().ID, &limits, &session.Handshake{})
	if err != nil {
		d.t.Fatal(err)
	}
	c.session = s
	d.clients = append(d.clients, c)
	s.Start()
}

func (d *dialogue) login(name, user string) {
	c := d.client(name)
	if c.codec.Traits().Joins {
		d.send(c, "C|CHR|ws://host")
		d.send(c, `A|REQ|{"username":"`+user+`"}`)
	} else {
		d.send(c, "CONNECTION CHALLENGE")
		d.send(c, `AUTH REQUEST data={"username":"`+user+`"}`)
	}
	var unheard strings.Builder
	d.hear(&unheard)
}

func (d *dialogue) send(c *client, line string) {
	var frame []byte
	switch {
	case strings.HasPrefix(line, "bytes "):
		frame = []byte(unbar(line[len("bytes "):]))
	case c.codec.Traits().Joins:
		frame = []byte(unbar(line) + "\x1e")
	default:
		m := parseMessage(d.t, line)
		frame = c.codec.Append(nil, &m)
	}
	if err := c.session.Receive(frame); err != nil {
		c.Close(session.CloseProtocol, err.Error())
	}
}

func unbar(s string) string { return strings.ReplaceAll(s, "|", "\x1f") }

// hear writes down what the clients got since the last time.
func (d *dialogue) hear(out *strings.Builder) {
	synctest.Wait()
	for _, c := range d.clients {
		c.mu.Lock()
		for _, line := range c.lines() {
			fmt.Fprintf(out, "%s< %s\n", c.name, line)
		}
		c.bytes = nil
		if c.closed != "" {
			fmt.Fprintf(out, "%s %s\n", c.name, c.closed)
			c.closed = ""
		}
		c.mu.Unlock()
	}
}

func (c *client) lines() []string {
	if len(c.bytes) == 0 {
		return nil
	}
	if c.codec.Traits().Joins {
		text := strings.ReplaceAll(strings.TrimSuffix(string(c.bytes), "\x1e"), "\x1f", "|")
		return strings.Split(text, "\x1e")
	}
	p := &printer{}
	for rest := c.bytes; len(rest) > 0; {
		var frame []byte
		frame, rest = cutFrame(rest)
		if err := c.codec.Decode(frame, p); err != nil {
			p.lines = append(p.lines, "unreadable: "+err.Error())
		}
	}
	return p.lines
}

// cutFrame cuts off the payload of the first WebSocket frame.
func cutFrame(b []byte) (frame, rest []byte) {
	n, header := int(b[1]), 2
	switch n {
	case 126:
		n, header = int(binary.BigEndian.Uint16(b[2:])), 4
	case 127:
		n, header = int(binary.BigEndian.Uint64(b[2:])), 10
	}
	return b[header : header+n], b[header+n:]
}

// printer writes messages in the notation of the dialogues.
type printer struct{ lines []string }

func (p *printer) Malformed(m *message.Message) error {
	p.lines = append(p.lines, "malformed")
	return nil
}

func (p *printer) Message(m *message.Message) error {
	b := []string{m.Topic.String(), message.ActionName(m.Topic, m.Action)}
	add := func(key, value string) {
		if value != "" {
			b = append(b, key+"="+value)
		}
	}
	add("name", m.Name)
	add("names", strings.Join(m.Names, ","))
	add("subscription", m.Subscription)
	add("corr", m.CorrelationID)
	add("path", m.Path)
	if m.HasVersion {
		add("version", strconv.FormatInt(m.Version, 10))
	}
	for _, v := range m.Versions {
		add("version:"+v.Name, strconv.FormatInt(v.Version, 10))
	}
	if m.OriginalAction != 0 {
		add("original", message.ActionName(m.Topic, m.OriginalAction))
	}
	if m.IsAck {
		b = append(b, "ack")
	}
	if m.IsError {
		b = append(b, "error")
	}
	if m.HasWriteAck {
		add("writeAck", strconv.FormatBool(m.IsWriteAck))
	}
	add("requestor", m.RequestorName)
	add("requestorData", m.RequestorData)
	add("url", m.URL)
	add("data", m.Data)
	p.lines = append(p.lines, strings.Join(b, " "))
	return nil
}

func parseMessage(t *testing.T, line string) (m message.Message) {
	head, data, _ := strings.Cut(line, " data=")
	m.Data = data
	words := strings.Fields(head)
	for topic := message.Topic(1); topic < 12; topic++ {
		if topic.String() == words[0] {
			m.Topic = topic
		}
	}
	for a := range message.Action(255) {
		if message.ActionName(m.Topic, a) == words[1] {
			m.Action = a
		}
	}
	if m.Topic == 0 || m.Action == 0 {
		t.Fatalf("no such message: %s", line)
	}
	for _, w := range words[2:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "name":
			m.Name = value
		case "names":
			m.Names = strings.Split(value, ",")
		case "subscription":
			m.Subscription = value
		case "corr":
			m.CorrelationID = value
		case "path":
			m.Path = value
		case "version":
			v, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			m.Version, m.HasVersion = v, true
		case "writeAck":
			m.IsWriteAck, m.HasWriteAck = value == "true", true
		case "sdk":
			m.SDKType, m.SDKVersion = "javascript", value
		default:
			t.Fatalf("unknown field %s in %s", key, line)
		}
	}
	return m
}
