//go:build e2e

package e2e

import (
	"testing"
	"time"
)

const (
	many = 30 // sessions of an ordinary scenario
	few  = 6  // sessions of a scenario that moves megabytes

	// soundLimit bounds a session that is to succeed, on a busy machine;
	// brokenLimit one that is to fail, since some clients try for ever.
	soundLimit  = 60 * time.Second
	brokenLimit = 6 * time.Second
	// broken is the number of sessions that are run to see some fail.
	broken = 8
)

// scenario is one way in which clients of a protocol talk.
type scenario struct {
	name     string // for the client
	sessions int
	// loose says that a session is one connection, or that its requests may go
	// to any backend: it needs no affinity and is not seen to fail without.
	loose bool
	// together says that sessions of one client address share a backend.
	together bool
	// transport is what all sessions must have ended on; empty: any.
	transport string
}

// protocol is a server, a client, and the scenarios they know.
type protocol struct {
	name      string
	server    string // of node/servers, with its arguments
	client    string // of node/clients
	scenarios []scenario
	env       []string // of the client
}

var protocols = []protocol{
	{name: "socket.io 4", server: "socketio4", client: "socketio", scenarios: []scenario{
		{name: "v4-default", sessions: many, transport: "websocket"},
		{name: "v4-default-big", sessions: few, transport: "websocket"},
		{name: "v4-polling", sessions: many, transport: "polling"},
		{name: "v4-polling-big", sessions: few, transport: "polling"},
		{name: "v4-websocket", sessions: many, transport: "websocket", loose: true},
		{name: "v4-websocket-big", sessions: few, transport: "websocket", loose: true},
	}},
	{name: "socket.io 2", server: "socketio2", client: "socketio", scenarios: []scenario{
		{name: "v2-default", sessions: many, transport: "websocket"},
		{name: "v2-default-big", sessions: few, transport: "websocket"},
		{name: "v2-polling", sessions: many, transport: "polling"},
		{name: "v2-polling-big", sessions: few, transport: "polling"},
		{name: "v2-websocket", sessions: many, transport: "websocket", loose: true},
		{name: "v2-websocket-big", sessions: few, transport: "websocket", loose: true},
	}},
	{name: "engine.io 3 JSONP", server: "engineio 3", client: "jsonp", scenarios: []scenario{
		{name: "eio3", sessions: many, transport: "JSONPPolling"},
		{name: "eio3-big", sessions: few, transport: "JSONPPolling"},
	}},
	{name: "engine.io 4 JSONP", server: "engineio 4", client: "jsonp", scenarios: []scenario{
		{name: "eio4", sessions: many, transport: "JSONPPolling"},
		{name: "eio4-big", sessions: few, transport: "JSONPPolling"},
	}},
	{name: "SockJS", server: "sockjs", client: "sockjs", scenarios: []scenario{
		{name: "default", sessions: many, transport: "websocket", loose: true},
		{name: "websocket", sessions: many, transport: "websocket", loose: true},
		{name: "xhr-streaming", sessions: many, transport: "xhr-streaming"},
		{name: "xhr-streaming-big", sessions: few, transport: "xhr-streaming"},
		{name: "xhr-polling", sessions: many, transport: "xhr-polling"},
		{name: "xhr-polling-big", sessions: few, transport: "xhr-polling"},
		{name: "eventsource", sessions: many, transport: "eventsource"},
		{name: "eventsource-big", sessions: few, transport: "eventsource"},
	}},
	{name: "SignalR", server: "signalr", client: "signalr", scenarios: []scenario{
		{name: "default", sessions: many, transport: "WebSocketTransport"},
		{name: "websockets", sessions: many, transport: "WebSocketTransport"},
		{name: "websockets-big", sessions: few, transport: "WebSocketTransport"},
		{name: "websockets-direct", sessions: many, transport: "WebSocketTransport", loose: true},
		{name: "sse", sessions: many, transport: "ServerSentEventsTransport"},
		{name: "sse-big", sessions: few, transport: "ServerSentEventsTransport"},
		{name: "longpolling", sessions: many, transport: "LongPollingTransport"},
		{name: "longpolling-big", sessions: few, transport: "LongPollingTransport"},
	}},
	{name: "Faye", server: "faye", client: "faye", scenarios: []scenario{
		{name: "long-polling", sessions: many, transport: "long-polling", together: true},
		{name: "long-polling-big", sessions: few, transport: "long-polling", together: true},
		{name: "default", sessions: many, together: true},
	}},
	{name: "MCP", server: "mcp", client: "mcp", scenarios: []scenario{
		{name: "default", sessions: many},
		{name: "big", sessions: few},
	}},
	{name: "deepstream 1.1.1", server: "deepstream1", client: "deepstream1", scenarios: []scenario{
		{name: "default", sessions: many, transport: "websocket"},
		{name: "default-big", sessions: few, transport: "websocket"},
		{name: "polling", sessions: many, transport: "polling"},
		{name: "websocket", sessions: many, transport: "websocket", loose: true},
	}},
	{name: "Phoenix", server: "phoenix", client: "phoenix", scenarios: []scenario{
		{name: "longpoll", sessions: many},
		{name: "longpoll-big", sessions: few},
	}},
	{name: "graphql-sse", server: "graphqlsse", client: "graphqlsse", scenarios: []scenario{
		{name: "single", sessions: many},
		{name: "single-big", sessions: few},
		{name: "distinct", sessions: many, loose: true},
	}},
	{name: "Primus on engine.io", server: "primus engine.io", client: "primus", scenarios: []scenario{
		{name: "engine.io", sessions: many},
	}},
	{name: "Primus on SockJS", server: "primus sockjs", client: "primus", scenarios: []scenario{
		{name: "sockjs", sessions: many, loose: true},
	}},
}

func TestProtocols(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			testProtocol(t, p)
		})
	}
}

func testProtocol(t *testing.T, p protocol) {
	without, with := urls(t, startBackends(t, p.server, 3))
	for _, s := range p.scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			testScenario(t, p, s, without, with)
		})
	}
}

// urls gives a way to the backends that keeps no session together and one that
// keeps each together.
func urls(t *testing.T, backends []*backend) (without, with string) {
	if *withoutProxy {
		var addrs []string
		for _, b := range backends {
			addrs = append(addrs, b.addr)
		}
		return startSplitter(t, addrs...).URL, "http://" + backends[0].addr
	}
	redis := startRedis(t)
	return startEdge(t, backends, redis, false).URL, startEdge(t, backends, redis, true).URL
}

func testScenario(t *testing.T, p protocol, s scenario, without, with string) {
	if !s.loose {
		r := runClient(t, p.client, without, broken, s.name, brokenLimit, p.env...)
		t.Logf("without affinity: %d of %d sessions failed", r.Failed, r.Sessions)
		if r.Failed == 0 {
			t.Errorf("no session has failed without affinity: this scenario shows nothing")
		}
	}
	if s.loose && *withoutProxy {
		with = without
	}
	r := runClient(t, p.client, with, s.sessions, s.name, soundLimit, p.env...)
	t.Logf("with affinity: %v", r)
	if r.Failed != 0 {
		t.Errorf("with affinity, %v", r)
	}
	if s.transport != "" && r.Transports[s.transport] != r.Sessions-r.Failed {
		t.Errorf("transports are %v, want %s alone", r.Transports, s.transport)
	}
	if s.sessions == many && !s.together && !*withoutProxy && len(r.Backends) < 2 && r.Backends[""] == 0 {
		t.Errorf("the sessions were not shared out: %v", r.Backends)
	}
}
