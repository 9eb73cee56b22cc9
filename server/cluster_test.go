package server

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/dsproxy/dsproxy/server/bus"
	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/store"
	"github.com/dsproxy/dsproxy/server/wire"
)

// startCluster runs nodes that share a Redis, as cache and as bus.
func startCluster(t *testing.T, nodes int, address string) []*Server {
	t.Helper()
	var list []*Server
	for i := range nodes {
		list = append(list, startMember(t, t.Name(), fmt.Sprintf("node-%d", i+1), address))
	}
	for _, s := range list {
		eventually(t, "all nodes know each other", func() error {
			if known := s.config.Interest.Nodes(); len(known) != nodes {
				return fmt.Errorf("%s knows %v", s.config.Name, known)
			}
			return nil
		})
	}
	return list
}

// startMember runs a node of a cluster.
func startMember(t *testing.T, cluster, name, address string) *Server {
	t.Helper()
	options := func() *redis.Options { return &redis.Options{Addr: address, ContextTimeoutEnabled: true} }
	client := redis.NewClient(options())
	t.Cleanup(func() { _ = client.Close() })
	return startNode(t, func(c *Config) {
		c.Name, c.AdminAddr = name, "127.0.0.1:0"
		c.Cache = store.NewRedis(redis.NewClient(options()), store.RedisConfig{})
		c.Bus = bus.NewRedis(client, bus.RedisConfig{Cluster: cluster, Node: name, Log: slog.New(slog.DiscardHandler)})
	})
}

func eventually(t *testing.T, what string, condition func() error) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(30 * time.Second); ; <-again.C {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s: %v", what, err)
		}
	}
}

// observer is a client that keeps a copy of every record it is told of.
type observer struct {
	*peer

	mu      sync.Mutex
	records map[string]*replica // guarded by mu
	events  map[string]int      // guarded by mu: how often each was heard
	err     error               // guarded by mu: of a copy that cannot be kept
}

func observe(t *testing.T, s *Server, user string) *observer {
	t.Helper()
	o := &observer{peer: dial(t, s, user), records: make(map[string]*replica), events: make(map[string]int)}
	var reading sync.WaitGroup
	reading.Go(o.listen)
	t.Cleanup(func() { // before the connection is closed, goroutines end last
		_ = o.ws.Close()
		reading.Wait()
	})
	return o
}

func (o *observer) listen() {
	for {
		_, frame, err := o.ws.ReadMessage()
		if err != nil {
			return // the test is over
		}
		var l lastMessage
		if err := wire.For(wire.Protobuf).Decode(frame, &l); err != nil {
			o.fail(err)
			return
		}
		o.hear(&l.m)
	}
}

func (o *observer) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
}

func (o *observer) hear(m *message.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var err error
	switch {
	case m.Topic == message.Event && m.Action == message.EventEmit:
		o.events[m.Name+m.Data]++
	case m.Topic == message.Record && m.Action == message.RecordReadResponse:
		r := &replica{version: -1}
		whole := *m
		whole.Action = message.RecordUpdate
		err = r.apply(&whole)
		o.records[m.Name] = r
	case m.Topic == message.Record && (m.Action == message.RecordUpdate || m.Action == message.RecordPatch):
		// Who has just read a record may be told once more what others hear now.
		switch r := o.records[m.Name]; {
		case r == nil || m.Version < r.version:
		case m.Version > r.version:
			err = r.apply(m)
		case m.Action == message.RecordUpdate: // another one in place of a write that was lost
			r.version--
			err = r.apply(m)
		}
	}
	if err != nil && o.err == nil {
		o.err = err
	}
}

func (o *observer) subscribe(record string) {
	o.send(&message.Message{Topic: message.Record, Action: message.RecordSubscribeCreateAndRead, Names: []string{record}, CorrelationID: record})
}

// has tells whether the copy of a record is the one that is stored.
func (o *observer) has(record string, version int64, data map[string]int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.records[record]
	switch {
	case o.err != nil:
		return o.err
	case r == nil:
		return fmt.Errorf("%s was not read", record)
	case r.version != version || !maps.Equal(r.data, data):
		return fmt.Errorf("a copy is %d %v, stored is %d %v", r.version, r.data, version, data)
	}
	return nil
}

// TestClusterConverges has clients of three nodes write a record at the same time as
// others subscribe to it. Every write is answered once, none that was acknowledged is
// lost, and everybody ends with what is stored.
func TestClusterConverges(t *testing.T) {
	nodes := startCluster(t, 3, startRedis(t))
	var writers []*peer
	var observers []*observer
	for i, s := range nodes {
		writers = append(writers, dial(t, s, "writer"))
		observers = append(observers, observe(t, s, fmt.Sprintf("early%d", i)), observe(t, s, fmt.Sprintf("late%d", i)))
	}
	records := 0
	rapid.Check(t, func(rt *rapid.T) {
		records++
		record := fmt.Sprintf("rec/%d", records)
		var plan [][]int64
		for range writers {
			plan = append(plan, rapid.SliceOfN(rapid.Int64Range(-1, 6), 0, 8).Draw(rt, "versions"))
		}
		for _, o := range observers {
			if rapid.Bool().Draw(rt, "early") {
				o.subscribe(record)
			}
		}
		var g errgroup.Group
		g.Go(func() error { return writeAtOnce(writers, plan, record) })
		for _, o := range observers {
			g.Go(func() error { // twice is refused, and does no harm
				return o.write(&message.Message{Topic: message.Record, Action: message.RecordSubscribeCreateAndRead,
					Names: []string{record}, CorrelationID: record})
			})
		}
		if err := g.Wait(); err != nil {
			rt.Fatal(err)
		}
		stored, err := nodes[0].store.Get(t.Context(), record)
		if err != nil {
			rt.Fatal(err)
		}
		data := replica{version: -1}
		if err := data.apply(&message.Message{Action: message.RecordUpdate, Version: stored.Version, Data: stored.Data}); err != nil {
			rt.Fatal(err)
		}
		for i, o := range observers {
			eventually(t, fmt.Sprintf("observer %d has what is stored", i), func() error {
				return o.has(record, stored.Version, data.data)
			})
		}
	})
}

// TestClusterEvents: what is emitted on any node is heard once on each, and only on
// those that want it.
func TestClusterEvents(t *testing.T) {
	nodes := startCluster(t, 3, startRedis(t))
	var observers []*observer
	for i, s := range nodes {
		o := observe(t, s, fmt.Sprintf("al%d", i))
		o.send(&message.Message{Topic: message.Event, Action: message.EventSubscribe, Names: []string{"all", fmt.Sprint(i)}, CorrelationID: "1"})
		observers = append(observers, o)
	}
	emitter := dial(t, nodes[0], "emitter")
	eventually(t, "the emitter's node knows what all want", func() error {
		for i := range nodes {
			if !nodes[0].config.Interest.Has(0, fmt.Sprint(i)) {
				return fmt.Errorf("not of node %d", i)
			}
		}
		return nil
	})
	const times = 200
	for n := range times {
		for _, name := range []string{"all", "0", "1", "2", "nobody"} {
			emitter.send(&message.Message{Topic: message.Event, Action: message.EventEmit, Name: name, Data: fmt.Sprint(n)})
		}
	}
	for i, o := range observers {
		eventually(t, fmt.Sprintf("observer %d has heard all", i), func() error {
			o.mu.Lock()
			defer o.mu.Unlock()
			if len(o.events) != 2*times {
				return fmt.Errorf("it heard %d of %d", len(o.events), 2*times)
			}
			return nil
		})
		o.mu.Lock()
		for name, n := range o.events {
			if n != 1 {
				t.Errorf("observer %d heard %s %d times", i, name, n)
			}
		}
		o.mu.Unlock()
	}
	got := scrape(t, nodes[0])
	for name, want := range map[string]string{
		"deepstream_bus_connected": "1", "deepstream_bus_peers": "2", "deepstream_bus_gaps_total": "0",
		"deepstream_interest_nodes": "3", `deepstream_interest_names{kind="events"}`: "4",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %s", name, got[name], want)
		}
	}
	if sent := nodes[0].bus.Stats().MessagesSent; sent < 4*times || sent > 4*times+100 {
		t.Errorf("%d messages were sent for %d events that other nodes want", sent, 4*times)
	}
}

// TestClusterDouble: a second node with the name of one is heard in its place, and the
// first again when the second has stopped.
func TestClusterDouble(t *testing.T) {
	address := startRedis(t)
	nodes := startCluster(t, 2, address)
	o := observe(t, nodes[1], "al")
	o.send(&message.Message{Topic: message.Event, Action: message.EventSubscribe, Names: []string{"ev"}, CorrelationID: "1"})
	wanted := func(want bool) {
		t.Helper()
		eventually(t, fmt.Sprint("the event is wanted on another node: ", want), func() error {
			if got := nodes[0].config.Interest.Has(interest.Events, "ev"); got != want {
				return fmt.Errorf("it is %v", got)
			}
			return nil
		})
	}
	wanted(true)
	cluster := t.Name()
	t.Run("two of one name", func(t *testing.T) {
		startMember(t, cluster, "node-2", address)
		wanted(false)
	})
	wanted(true)
	dial(t, nodes[0], "emitter").send(&message.Message{Topic: message.Event, Action: message.EventEmit, Name: "ev", Data: "1"})
	eventually(t, "the first is heard again", func() error {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.events["ev1"] != 1 {
			return fmt.Errorf("it heard %v", o.events)
		}
		return nil
	})
}

// TestClusterWithoutRedis: while Redis hangs clients stay and events go on within a
// node; a write is answered with an error. Afterwards everybody is told what they
// missed.
func TestClusterWithoutRedis(t *testing.T) {
	address, server := startRedisProcess(t)
	nodes := startCluster(t, 2, address)
	a, b := observe(t, nodes[0], "al"), observe(t, nodes[1], "bo")
	for _, o := range []*observer{a, b} {
		o.subscribe("rec")
		o.send(&message.Message{Topic: message.Event, Action: message.EventSubscribe, Names: []string{"ev"}, CorrelationID: "1"})
	}
	writer := dial(t, nodes[0], "writer")
	patch := func(n int) message.Action {
		t.Helper()
		id := fmt.Sprint("write", n, "_", rand.Int())
		writer.send(&message.Message{Topic: message.Record, Action: message.RecordCreateAndPatch, Name: "rec", Path: fmt.Sprintf("p%d", n),
			Data: fmt.Sprint(n), Version: -1, HasVersion: true, CorrelationID: id, IsWriteAck: true, HasWriteAck: true})
		for {
			if m := writer.receive(); m.CorrelationID == id {
				return m.Action
			}
		}
	}
	if got := patch(1); got != message.RecordWriteAcknowledgement {
		t.Fatalf("a write is answered with %s", message.ActionName(message.Record, got))
	}
	for _, o := range []*observer{a, b} {
		eventually(t, "all have the record", func() error { return o.has("rec", 1, map[string]int{"p1": 1}) })
	}
	stop(t, server)
	eventually(t, "the nodes notice", func() error {
		for _, s := range nodes {
			if !s.busAway() {
				return fmt.Errorf("%s has not", s.config.Name)
			}
		}
		return nil
	})
	if got := patch(2); got == message.RecordWriteAcknowledgement {
		t.Error("a write was acknowledged while Redis hangs")
	}
	writer.send(&message.Message{Topic: message.Event, Action: message.EventEmit, Name: "ev", Data: `"alone"`})
	eventually(t, "an event is heard on its node", func() error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.events[`ev"alone"`] != 1 {
			return fmt.Errorf("heard %v", a.events)
		}
		return nil
	})
	resume(t, server)
	eventually(t, "the nodes hear each other again", func() error {
		for _, s := range nodes {
			if s.busAway() || len(s.config.Interest.Nodes()) != 2 {
				return fmt.Errorf("%s does not", s.config.Name)
			}
		}
		return nil
	})
	eventually(t, "a write is acknowledged again", func() error {
		if got := patch(3); got != message.RecordWriteAcknowledgement {
			return fmt.Errorf("it is answered with %s", message.ActionName(message.Record, got))
		}
		return nil
	})
	stored, err := nodes[0].store.Get(context.Background(), "rec")
	if err != nil {
		t.Fatal(err)
	}
	data := replica{version: -1}
	if err := data.apply(&message.Message{Action: message.RecordUpdate, Version: stored.Version, Data: stored.Data}); err != nil {
		t.Fatal(err)
	}
	for _, o := range []*observer{a, b} {
		eventually(t, "all have what is stored", func() error { return o.has("rec", stored.Version, data.data) })
	}
	if err := b.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second)); err != nil {
		t.Errorf("a client has lost its connection: %v", err)
	}
}
