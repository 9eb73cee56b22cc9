package server

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/dsproxy/dsproxy/server/hub"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
)

// hits returns how often each limit of a node was run into.
func hits(s *Server) map[string]uint64 {
	m := make(map[string]uint64)
	s.sessions.Hits(func(limit string, n uint64) {
		if n > 0 {
			m[limit] = n
		}
	})
	return m
}

// TestLimitsOfClient: what one client can make the node hold is bounded, and
// counted when it tries.
func TestLimitsOfClient(t *testing.T) {
	f := func(limit string, fill func(d *dialogue), last, answer string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			d := newDialogue(t, nil)
			defer d.stop()
			for _, name := range []string{"a", "b"} {
				d.connect(d.nodes[0], name, "protobuf")
				d.login(name, name)
			}
			fill(d)
			var unheard strings.Builder
			d.hear(&unheard)
			if got := hits(d.nodes[0]); len(got) > 0 {
				t.Errorf("%s: hit too early: %v", limit, got)
			}
			if got := talk(t, d, "a> "+last); got != answer {
				t.Errorf("%s: heard %s, want %s", limit, got, answer)
			}
			if got := hits(d.nodes[0]); got[limit] != 1 || len(got) != 1 {
				t.Errorf("hits %v, want one of %s", got, limit)
			}
			// The other client is as well as before.
			if got := talk(t, d, "b> EVENT SUBSCRIBE names=x corr=1"); got != "b< EVENT SUBSCRIBE corr=1 ack" {
				t.Errorf("%s: the other client heard %s", limit, got)
			}
		})
	}
	each := func(n int, format string) func(d *dialogue) {
		return func(d *dialogue) {
			d.send(d.client("b"), "RPC PROVIDE names=p corr=1")
			for i := range n {
				d.send(d.client("a"), fmt.Sprintf(format, i))
			}
		}
	}
	f("listen_patterns", each(1000, "EVENT LISTEN name=p%d"), "EVENT LISTEN name=more",
		"a< EVENT INVALID_LISTEN_REGEX name=more original=LISTEN error")
	f("rpc_calls", each(10_000, "RPC REQUEST name=p corr=%d"), "RPC REQUEST name=p corr=more",
		"a< RPC NO_RPC_PROVIDER name=p corr=more")
	f("rpc_calls", func(d *dialogue) {
		name := strings.Repeat("p", 8<<20-1)
		d.give("b", &message.Message{Topic: message.RPC, Action: message.RPCProvide, Names: []string{name}})
		for i := range 8 {
			d.give("a", &message.Message{Topic: message.RPC, Action: message.RPCRequest, Name: name, CorrelationID: fmt.Sprint(i)})
		}
	}, "RPC REQUEST name=p corr=more", "a< RPC NO_RPC_PROVIDER name=p corr=more")
	f("subscriptions", func(d *dialogue) {
		m := message.Message{Topic: message.Event, Action: message.EventSubscribe, CorrelationID: "1"}
		for i := range hub.MaxNames {
			m.Names = append(m.Names, fmt.Sprint(i))
		}
		d.give("a", &m)
	}, "EVENT SUBSCRIBE names=more corr=2", fmt.Sprintf("a closed %d too many subscriptions", session.ClosePolicy))
}

// give has a client send a message that is too large for a line.
func (d *dialogue) give(name string, m *message.Message) {
	c := d.client(name)
	if err := c.session.Receive(c.codec.Append(nil, m)); err != nil {
		d.t.Error(err)
	}
	var unheard strings.Builder
	d.hear(&unheard)
}

// TestCallsAreCountedOff: the bound is on what is under way, not on all calls ever.
func TestCallsAreCountedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialogue(t, nil)
		defer d.stop()
		for _, name := range []string{"a", "b"} {
			d.connect(d.nodes[0], name, "protobuf")
			d.login(name, name)
		}
		name := strings.Repeat("p", 8<<20)
		d.give("b", &message.Message{Topic: message.RPC, Action: message.RPCProvide, Names: []string{name}})
		for range 12 {
			d.give("a", &message.Message{Topic: message.RPC, Action: message.RPCRequest, Name: name, CorrelationID: "1"})
			d.give("b", &message.Message{Topic: message.RPC, Action: message.RPCResponse, Name: name, CorrelationID: "1", Data: "1"})
		}
		st := d.nodes[0].sessions.Stats()
		if n := st.Out.Count(message.RPC, message.RPCResponse); n != 12 || len(hits(d.nodes[0])) > 0 {
			t.Errorf("%d calls were answered, hits %v", n, hits(d.nodes[0]))
		}
	})
}

// TestMaxConnections: a node that is full says so before it upgrades, in every
// protocol, and has room again when a client leaves.
func TestMaxConnections(t *testing.T) {
	s := startNode(t, func(c *Config) { c.MaxConnections = 2 })
	base := "ws://" + s.Addr().String()
	first, second := dial(t, s, "al"), dial(t, s, "bo")
	refused := func(path string) {
		t.Helper()
		ws, resp, err := websocket.DefaultDialer.Dial(base+path, nil)
		if err == nil {
			_ = ws.Close()
			t.Errorf("%s: let in", path)
		} else if resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %v", path, err)
		}
	}
	refused("/deepstream")
	refused("/deepstream-v3")
	refused("/deepstream-json")
	refused("/deepstream/?EIO=3&transport=websocket")
	e := newEIO(t, s)
	if code, _, body := e.do("GET", "&transport=polling", "", ""); code != http.StatusServiceUnavailable {
		t.Errorf("handshake: %d %s", code, body)
	}
	if got := hits(s); got["connections"] != 5 {
		t.Errorf("hits %v, want 5 of connections", got)
	}
	_ = second.ws.Close()
	waitFor(t, "the end of a client that left", func() bool { return s.sessions.Len() == 1 })
	dial(t, s, "cy")
	first.send(&message.Message{Topic: message.Connection, Action: message.ConnectionPing})
	first.expect(message.Connection, message.ConnectionPong)
}

// TestMaxSockets: sockets of engine.io have a bound of their own.
func TestMaxSockets(t *testing.T) {
	s := startNode(t, func(c *Config) { c.EngineIO.MaxSockets = 1 })
	e := newEIO(t, s)
	e.open("&b64=1")
	other := newEIO(t, s)
	if code, _, _ := other.do("GET", "&transport=polling&b64=1", "", ""); code != http.StatusServiceUnavailable {
		t.Errorf("a second socket: %d", code)
	}
	if got := hits(s); got["engineio_sockets"] != 1 {
		t.Errorf("hits %v, want one of engineio_sockets", got)
	}
	dial(t, s, "al") // another protocol has room
	e.do("POST", "&transport=polling&b64=1&sid="+e.sid, "text/plain", "1:1")
	other.open("&b64=1")
}

// TestMaxMessageSize: a frame or a body that is too large ends its connection alone.
func TestMaxMessageSize(t *testing.T) {
	s := startNode(t, func(c *Config) {
		for _, size := range []*int64{&c.Binary.MaxMessageSize, &c.Text.MaxMessageSize, &c.JSON.MaxMessageSize, &c.EngineIO.MaxMessageSize} {
			*size = 1000
		}
	})
	healthy := dial(t, s, "al")
	for _, path := range []string{"/deepstream", "/deepstream-v3", "/deepstream-json", "/deepstream/?EIO=3&transport=websocket"} {
		ws, _, err := websocket.DefaultDialer.Dial("ws://"+s.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		if err := ws.WriteMessage(websocket.TextMessage, make([]byte, 1001)); err != nil {
			t.Fatal(err)
		}
		for err == nil { // what the server says first is heard
			_, _, err = ws.ReadMessage()
		}
		if !websocket.IsCloseError(err, websocket.CloseMessageTooBig) {
			t.Errorf("%s: ended with %v", path, err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); hits(s)["message_size"] != 4; {
		if time.Now().After(deadline) {
			t.Fatalf("hits %v, want 4 of message_size", hits(s))
		}
		runtime.Gosched()
	}
	healthy.send(&message.Message{Topic: message.Connection, Action: message.ConnectionPing})
	healthy.expect(message.Connection, message.ConnectionPong)
}
