package server

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/dsproxy/dsproxy/server/auth"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/store"
)

// scrape returns the metrics of a node, by name with labels.
func scrape(t *testing.T, s *Server) map[string]string {
	t.Helper()
	resp, err := http.Get("http://" + s.AdminAddr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			m[name] = value
		}
	}
	return m
}

// TestMetrics has clients do a little of everything and looks what was counted.
func TestMetrics(t *testing.T) {
	s := startNode(t, func(c *Config) {
		c.AdminAddr = "127.0.0.1:0"
		b, err := store.OpenBolt(t.TempDir() + "/records.db")
		if err != nil {
			t.Fatal(err)
		}
		c.Storage = b
		c.Binary.Limits.MaxAuthAttempts = 2
	})
	a, b := dial(t, s, "al"), dial(t, s, "bo")
	names := func(names ...string) []string { return names }
	a.send(&message.Message{Topic: message.Event, Action: message.EventSubscribe, Names: names("x", "y"), CorrelationID: "1"})
	a.expect(message.Event, message.EventSubscribe)
	b.send(&message.Message{Topic: message.Event, Action: message.EventSubscribe, Names: names("x"), CorrelationID: "1"})
	b.expect(message.Event, message.EventSubscribe)
	for range 3 {
		b.send(&message.Message{Topic: message.Event, Action: message.EventEmit, Name: "x", Data: "1"})
		a.expect(message.Event, message.EventEmit)
	}
	a.send(&message.Message{Topic: message.Event, Action: message.EventListen, Name: "li.*", CorrelationID: "2"})
	a.expect(message.Event, message.EventListen)
	a.send(&message.Message{Topic: message.RPC, Action: message.RPCProvide, Names: names("p"), CorrelationID: "3"})
	a.expect(message.RPC, message.RPCProvide)
	b.send(&message.Message{Topic: message.RPC, Action: message.RPCRequest, Name: "p", CorrelationID: "c"})
	a.expect(message.RPC, message.RPCRequest)
	a.send(&message.Message{Topic: message.RPC, Action: message.RPCResponse, Name: "p", CorrelationID: "c"})
	b.expect(message.RPC, message.RPCResponse)
	b.send(&message.Message{Topic: message.RPC, Action: message.RPCRequest, Name: "none", CorrelationID: "d"})
	b.expect(message.RPC, message.RPCNoRPCProvider)
	b.send(&message.Message{Topic: message.Record, Action: message.RecordCreateAndUpdate, Name: "r", Version: -1, HasVersion: true,
		Data: "{}", CorrelationID: "w", IsWriteAck: true, HasWriteAck: true})
	b.expect(message.Record, message.RecordWriteAcknowledgement)
	b.send(&message.Message{Topic: message.Event, Action: 99, Name: "x"})
	b.expect(message.Parser, message.ParserUnknownAction)

	// One that nobody lets in, and one in another protocol.
	locked, _, err := websocket.DefaultDialer.Dial("ws://"+s.Addr().String()+"/deepstream-json", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer locked.Close()
	waitFor(t, "the session of a connection that was just made", func() bool { return s.sessions.Len() == 3 })

	got := scrape(t, s)
	for name, want := range map[string]string{
		`deepstream_clients`:                          "2",
		`deepstream_connections{protocol="protobuf"}`: "2",
		`deepstream_connections{protocol="json"}`:     "1",
		`deepstream_connections{protocol="text-v1"}`:  "0",
		`deepstream_connections{protocol="text-v3"}`:  "0",
		`deepstream_logins_total`:                     "2",
		`deepstream_users`:                            "2",
		`deepstream_outbox_bytes`:                     "0",
		`deepstream_event_names`:                      "2",
		`deepstream_event_subscriptions`:              "3",
		`deepstream_event_listeners`:                  "1",
		`deepstream_event_provided`:                   "0",
		`deepstream_record_subscriptions`:             "0",
		`deepstream_rpc_providers`:                    "1",
		`deepstream_rpc_calls`:                        "0",

		`deepstream_messages_total{action="emit",direction="in",topic="event"}`:            "3",
		`deepstream_messages_total{action="emit",direction="out",topic="event"}`:           "3",
		`deepstream_messages_total{action="unknown",direction="in",topic="event"}`:         "1",
		`deepstream_messages_total{action="request",direction="in",topic="rpc"}`:           "2",
		`deepstream_messages_total{action="auth_successful",direction="out",topic="auth"}`: "2",
		`deepstream_rpc_outcomes_total{outcome="response"}`:                                "1",
		`deepstream_rpc_outcomes_total{outcome="no_rpc_provider"}`:                         "1",
		`deepstream_rpc_outcomes_total{outcome="response_timeout"}`:                        "0",
		`deepstream_store_seconds_count{op="apply",tier="storage"}`:                        "1",
		`deepstream_store_seconds_count{op="get",tier="storage"}`:                          "1",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %s", name, got[name], want)
		}
	}
	info := regexp.MustCompile(`^deepstream_build_info\{goversion="go.*",version=".+"\}$`)
	found := false
	for name := range got {
		found = found || info.MatchString(name)
	}
	if !found {
		t.Error("no build info")
	}
}

// TestMetricsOfLimits: what clients are closed or slowed down for is counted.
func TestMetricsOfLimits(t *testing.T) {
	s := startNode(t, func(c *Config) {
		c.AdminAddr = "127.0.0.1:0"
		c.Auth = auth.Chain{} // nobody
		c.Binary.Limits.MaxAuthAttempts = 2
		c.Text.Limits.UnauthenticatedTimeout = time.Millisecond
		c.JSON.Limits.MessagesPerSecond = 1
		c.MaxConnections = 1
	})
	connect := func(path string) *websocket.Conn {
		t.Helper()
		ws, _, err := websocket.DefaultDialer.Dial("ws://"+s.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ws.Close() })
		return ws
	}
	p := &peer{t, connect("/deepstream")}
	p.send(&message.Message{Topic: message.Connection, Action: message.ConnectionChallenge})
	p.expect(message.Connection, message.ConnectionAccept)
	for range 2 {
		p.send(&message.Message{Topic: message.Auth, Action: message.AuthRequest, Data: `{}`})
		p.expect(message.Auth, message.AuthUnsuccessful)
	}
	p.expect(message.Auth, message.AuthTooManyAuthAttempts)
	_ = p.ws.Close()
	waitFor(t, "the end of a locked client", func() bool { return s.sessions.Len() == 0 })
	late := connect("/deepstream-v3")
	for range 2 { // the challenge, then the error
		if _, _, err := late.ReadMessage(); err != nil {
			t.Fatal(err)
		}
	}
	_ = late.Close()
	waitFor(t, "the end of a late client", func() bool { return s.sessions.Len() == 0 })
	fast := connect("/deepstream-json")
	for _, m := range []string{`{"topic":2,"action":2}`, `{"topic":2,"action":2}`, `{"topic":2,"action":5}`} {
		if err := fast.WriteMessage(websocket.TextMessage, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := fast.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := websocket.DefaultDialer.Dial("ws://"+s.Addr().String()+"/deepstream", nil); err == nil {
		t.Fatal("a full node took a client")
	}
	got := scrape(t, s)
	for name, want := range map[string]string{
		`deepstream_logins_refused_total`:                    "2",
		`deepstream_locked_clients_total`:                    "1",
		`deepstream_overdue_clients_total`:                   "1",
		`deepstream_limit_hits_total{limit="connections"}`:   "1",
		`deepstream_limit_hits_total{limit="message_size"}`:  "0",
		`deepstream_limit_hits_total{limit="subscriptions"}`: "0",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %s", name, got[name], want)
		}
	}
	if got["deepstream_throttled_messages_total"] == "0" {
		t.Error("no message was slowed down")
	}
}
