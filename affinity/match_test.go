package affinity

import (
	"strings"
	"testing"
	"time"
)

// TestMatchKeys holds where the key of a request is, and how it is spelled.
func TestMatchKeys(t *testing.T) {
	f := func(r *testRequest, rule, id string) {
		t.Helper()
		m, ok := Builtin().Match(r)
		switch {
		case !ok:
			t.Errorf("%s %s?%s: no rule matches", r.method, r.path, r.query)
		case m.Rule.Name != rule || m.Ambiguous:
			t.Errorf("%s %s?%s: rule %s, ambiguous %v; want %s", r.method, r.path, r.query, m.Rule.Name, m.Ambiguous, rule)
		case !m.HasKey || m.Key != MakeKey(m.Rule.namespace, []byte(id)):
			t.Errorf("%s %s?%s: the key is not that of %q", r.method, r.path, r.query, id)
		}
	}
	// Anywhere in the query, at any path, in any order.
	f(request("GET /?EIO=4&transport=polling&sid=abc"), "engine.io", "abc")
	f(request("GET /deepstream?sid=abc&transport=polling&EIO=3"), "engine.io", "abc")
	f(request("OPTIONS /a/b/c/?EIO=3&sid=abc&transport=polling"), "engine.io", "abc")
	f(request("GET /x/?a=1&b=2&c=3&d=4&e=5&f=6&g=7&h=8&i=9&j=10&k=11&l=12&EIO=4&transport=polling&sid=abc"), "engine.io", "abc")
	f(request("GET /x/?EIO=4&transport=polling&t=1&id=1&token=1&connectionToken=1&clientProtocol=1&vsn=1&message=1&disconnect=1&c=1&callback=1&jsonp=1&sid=abc"), "engine.io", "abc")
	f(request("GET /x/?%45IO=4&tr%61nsport=%70olling&%73id=abc"), "engine.io", "abc")

	// One id, however it is spelled.
	const token = "tok+/hQJ9PzZ2mUe0wLrVx=="
	for _, spelling := range []string{
		"tok+/hQJ9PzZ2mUe0wLrVx==",
		"tok%2B%2FhQJ9PzZ2mUe0wLrVx%3D%3D",
		"tok%2b%2fhQJ9PzZ2mUe0wLrVx%3d=",
		"tok%20/hQJ9PzZ2mUe0wLrVx==", // a bare plus that someone decoded on the way
		"%74ok+/hQJ9PzZ2mUe0wLrVx==",
	} {
		f(request("GET /hub?id="+spelling, "Upgrade: websocket"), "signalr", token)
		f(request("POST /signalr/send?clientProtocol=2.1&connectionToken="+spelling), "signalr-classic", token)
	}
	f(request("POST /echo/000/a%2Bb/xhr"), "sockjs", "a+b")
	f(request("POST /echo/000/a+b/xhr"), "sockjs", "a+b")
	f(request("GET /?EIO=4&transport=polling&sid=50%"), "engine.io", "50%") // a broken escape stays
	f(request("GET /?EIO=4&transport=polling&sid=%zz%4"), "engine.io", "%zz%4")
	f(request("GET /?EIO=4&transport=polling&sid=a%00b"), "engine.io", "a\x00b")

	// The longest id there is.
	long := strings.Repeat("x", MaxID)
	f(request("GET /?EIO=4&transport=polling&sid="+long), "engine.io", long)
	f(request("GET /?EIO=4&transport=polling&sid="+strings.Repeat("%78", MaxID)), "engine.io", long)

	// Header before query, for Phoenix and GraphQL.
	f(request("GET /socket/longpoll?vsn=2.0.0&token=q", "x-phoenix-longpoll-token: h"), "phoenix", "h")
	f(request("POST /socket/longpoll?vsn=2.0.0&token=q"), "phoenix", "q")
	f(request("DELETE /graphql/stream?operationId=1&token=q"), "graphql-sse", "q")
	f(request("POST /any", "X-GRAPHQL-EVENT-STREAM-TOKEN: h"), "graphql-sse", "h")
	f(request("GET /graphql?token=q", "Accept: text/event-stream"), "graphql-sse", "q")
	f(request("POST /mcp", "mcp-session-id:  s ", "mcp-protocol-version: 2025-11-25"), "mcp", "s")

	// A value twice is one value.
	f(request("GET /?EIO=4&transport=polling&sid=a&sid=a&EIO=4"), "engine.io", "a")
}

// TestMatchKinds holds which kind of request each is, where real traffic is not
// in testdata.
func TestMatchKinds(t *testing.T) {
	f := func(r *testRequest, rule, kind string, phase Phase, transport Transport) {
		t.Helper()
		m, ok := Builtin().Match(r)
		if !ok {
			t.Errorf("%s %s?%s: no rule matches", r.method, r.path, r.query)
			return
		}
		if m.Rule.Name != rule || m.step.name != kind || m.Phase != phase || m.Transport != transport {
			t.Errorf("%s %s?%s: rule %s, %q, %v over %v; want rule %s, %q, %v over %v", r.method, r.path, r.query,
				m.Rule.Name, m.step.name, m.Phase, m.Transport, rule, kind, phase, transport)
		}
		if up, _ := r.Header("Upgrade"); m.Upgrade != (string(up) == "websocket") {
			t.Errorf("%s %s?%s: Upgrade is %v", r.method, r.path, r.query, m.Upgrade)
		}
	}
	const upgrade = "Upgrade: websocket"
	const agent = "X-SignalR-User-Agent: Microsoft SignalR/8.0"
	f(request("POST /hub/negotiate"), "signalr", "negotiate", Handshake, OtherTransport)
	f(request("POST /socket/longpoll?vsn=2.0.0&token=t", "Upgrade: h2c"), "phoenix", "send", Session, Polling)
	f(request("GET /?EIO=4&transport=polling&sid=a", "Upgrade: h2c"), "engine.io", "poll", Session, Polling)
	f(request("POST /hub/negotiate?negotiateVersion=1"), "signalr", "negotiate", Handshake, OtherTransport)
	f(request("GET /hub?id=0123456789abcdefghij_-&_=1", agent), "signalr", "poll", Session, Polling)
	f(request("GET /hub?id=0123456789abcdefghij_-", "User-Agent: Microsoft SignalR/6.0 (6.0.1; Linux)"), "signalr", "poll", Session, Polling)
	f(request("POST /hub/refresh?id=0123456789abcdefghij_-", agent), "signalr", "send", Session, Polling)
	f(request("DELETE /hub?id=0123456789abcdefghij_-", agent), "signalr", "close", Session, Polling)

	const classic = "?clientProtocol=2.1&connectionData=%5B%5D&connectionToken=AQAB%2B&transport="
	f(request("GET /signalr/negotiate?clientProtocol=2.1&connectionData=%5B%5D&_=1"), "signalr-classic", "negotiate", Handshake, OtherTransport)
	f(request("POST /signalr/negotiate?clientProtocol=2.1"), "signalr-classic", "negotiate", Handshake, OtherTransport)
	f(request("GET /signalr/connect"+classic+"webSockets", upgrade), "signalr-classic", "websocket", Session, WebSocket)
	f(request("GET /signalr/connect"+classic+"serverSentEvents"), "signalr-classic", "events", Session, EventSource)
	f(request("GET /signalr/reconnect"+classic+"foreverFrame&frameId=1"), "signalr-classic", "forever frame", Session, Streaming)
	f(request("GET /signalr/connect"+classic+"longPolling"), "signalr-classic", "poll", Session, Polling)
	f(request("POST /signalr/poll"+classic+"longPolling"), "signalr-classic", "poll", Session, Polling)
	f(request("GET /signalr/start"+classic+"longPolling"), "signalr-classic", "send", Session, Polling)
	f(request("POST /signalr/abort"+classic+"longPolling"), "signalr-classic", "abort", Session, OtherTransport)

	f(request("GET /socket/longpoll?vsn=2.0.0"), "phoenix", "handshake", Handshake, Polling)
	f(request("GET /socket/longpoll?vsn=2.0.0&token="), "phoenix", "handshake", Handshake, Polling)
	f(request("GET /socket/longpoll?vsn=2.0.0&token=t"), "phoenix", "poll", Session, Polling)
	f(request("POST /socket/longpoll?token=t&vsn=2.0.0"), "phoenix", "send", Session, Polling)

	f(request("POST /sockjs/012/abc/xhr/"), "sockjs", "xhr", Claim, Polling)
	f(request("POST /012/abc/xhr_streaming"), "sockjs", "xhr_streaming", Claim, Streaming)
	f(request("GET /a/b/012/abc/htmlfile?c=x"), "sockjs", "htmlfile", Claim, Streaming)
	f(request("GET /sockjs/012/abc/websocket", upgrade), "sockjs", "websocket", Stateless, WebSocket)

	f(request("POST /cometd/handshake"), "bayeux", "messages", Session, Polling)
	f(request("POST /chat/bayeux/"), "bayeux", "messages", Session, Polling)
	f(request("GET /cometd", upgrade), "bayeux", "websocket", Hashed, WebSocket)

	f(request("POST /socket.io/1/"), "socket.io-0.9", "handshake", Handshake, OtherTransport)
	f(request("GET /socket.io/1/websocket/abc", upgrade), "socket.io-0.9", "websocket", Session, WebSocket)
	f(request("GET /socket.io/1/htmlfile/abc"), "socket.io-0.9", "htmlfile", Session, Streaming)

	const json, both = "Content-Type: application/json", "Accept: application/json, text/event-stream"
	f(request("POST /mcp", json, both), "mcp", "initialize", Handshake, EventSource)
	f(request("POST /mcp", json, both, "Mcp-Session-Id: s"), "mcp", "message", Session, EventSource)
	f(request("POST /mcp", json, both, "Mcp-Session-Id: s", "MCP-Protocol-Version: 2026-07-28"), "mcp", "without sessions", Stateless, OtherTransport)
	f(request("POST /mcp", json, both, "MCP-Protocol-Version: 2027-01-01"), "mcp", "without sessions", Stateless, OtherTransport)
	f(request("POST /mcp", json, both, "MCP-Protocol-Version: 2025-06-18"), "mcp", "initialize", Handshake, EventSource)
}

// TestNoMatch holds that requests of other applications are let be.
func TestNoMatch(t *testing.T) {
	f := func(r *testRequest) {
		t.Helper()
		if m, ok := Builtin().Match(r); ok {
			t.Errorf("%s %s?%s: rule %s, %q matches", r.method, r.path, r.query, m.Rule.Name, m.step.name)
		}
	}
	f(request("GET /"))
	f(request("GET "))
	f(request("GET /?"))
	f(request("GET /?sid=abc"))
	f(request("GET /?EIO=4&transport=webtransport&sid=abc"))
	f(request("POST /?EIO=4&transport=polling")) // a handshake is a GET
	f(request("GET /items?id=507f1f77bcf86cd799439011"))
	f(request("GET /items?id=42", "X-Requested-With: XMLHttpRequest"))
	f(request("GET /items?id=a%20long%20title%20of%20a%20thing!", "X-Requested-With: XMLHttpRequest"))
	f(request("GET /events?token=eyJhbGciOiJIUzI1NiJ9", "Accept: text/event-stream"))
	f(request("POST /reset?token=abc"))
	f(request("GET /a/12/b/xhr"))
	f(request("POST /a/1234/b/xhr"))
	f(request("POST /a/123//xhr"))
	f(request("GET /chat", "Upgrade: websocket"))
	f(request("GET /longpoll"))
	f(request("PUT /files/a.txt", "Content-Length: 10"))
	f(request("PUT /files/a.txt", "Transfer-Encoding: chunked"))
	f(request("GET /fayence/x"))
	f(request("GET /faye/client.js"))
	f(request("POST /api", "Content-Type: application/json", "Accept: */*"))

	// Longer than any session id.
	long := strings.Repeat("x", MaxID+1)
	f(request("GET /?EIO=4&transport=polling&sid=" + long))
	f(request("GET /?EIO=4&transport=polling&sid=" + strings.Repeat("%78", MaxID+1)))
	f(request("POST /a/123/" + long + "/xhr"))
}

// TestAmbiguous holds that a request naming two sessions is bound to neither:
// some backends take the first, some the last, some both at once.
func TestAmbiguous(t *testing.T) {
	f := func(r *testRequest) {
		t.Helper()
		m, ok := Builtin().Match(r)
		if !ok || !m.Ambiguous || m.Phase != Stateless || m.HasKey || m.Learns || m.Identity ||
			m.NeedBody+m.WatchRequest+m.WatchResponse != 0 {
			t.Errorf("%s?%s: %+v, %v; want it ambiguous and stateless", r.path, r.query, m, ok)
		}
		if m.EndsByRequest([]byte("1")) || m.EndsByResponse(404, []byte("1")) {
			t.Errorf("%s?%s: ends a session", r.path, r.query)
		}
	}
	f(request("GET /?EIO=4&transport=polling&sid=a&sid=b"))
	f(request("GET /?sid=a&EIO=4&transport=polling&sid=b"))
	f(request("POST /?EIO=4&transport=polling&sid=a&sid="))
	f(request("GET /?EIO=4&transport=polling&sid=&sid=a"))
	f(request("GET /?EIO=4&transport=polling&sid&sid=a"))
	f(request("GET /?EIO=4&transport=polling&sid=a&%73id=b"))
	f(request("GET /?EIO=3&EIO=4&transport=polling"))
	f(request("DELETE /?id=0123456789abcdefghij_-&id=0123456789abcdefghij_a", "X-Requested-With: XMLHttpRequest"))
	f(request("GET /faye?message=%5B%5D&message=%7B%7D"))
}

// TestSteered holds that a session whose WebSocket does not name it is steered,
// both that and its handshake, by what they have in common.
func TestSteered(t *testing.T) {
	agent := "User-Agent: one"
	hash := func(r *testRequest, body string) Key {
		t.Helper()
		m, ok := Builtin().Match(r)
		if !ok || m.NeedBody > 0 && !m.KeyFromBody([]byte(body), true) || !m.HasKey {
			t.Fatalf("%s %s: %+v", r.method, r.path, m)
		}
		if m.Phase != Handshake && m.Phase != Hashed {
			t.Fatalf("%s %s: phase %v", r.method, r.path, m.Phase)
		}
		return m.Key
	}
	socket := hash(request("GET /faye", agent, "Upgrade: websocket"), "")
	if got := hash(request("POST /faye", agent), `[{"channel":"/meta/handshake"}]`); got != socket {
		t.Error("the handshake is steered elsewhere")
	}
	if got := hash(request("GET /faye?message="+`[{"channel":"/meta/handshake"}]`, agent), ""); got != socket {
		t.Error("the JSONP handshake is steered elsewhere")
	}
	if got := hash(request("GET /faye", "User-Agent: two", "Upgrade: websocket"), ""); got == socket {
		t.Error("all clients of one address are steered to one backend")
	}
}

func TestKeyFromBody(t *testing.T) {
	m, _ := Builtin().Match(request("POST /faye"))
	f := func(body, id string, phase Phase) {
		t.Helper()
		whole := m
		if !whole.KeyFromBody([]byte(body), true) {
			t.Fatalf("%s: wants more than there is", body)
		}
		if whole.Phase != phase || whole.Learns != (phase == Handshake) || whole.Identity != (phase == Handshake) || whole.NeedBody != 0 {
			t.Errorf("%s: %+v, want phase %v", body, whole, phase)
		}
		if phase == Session && (!whole.HasKey || whole.Key != MakeKey("bayeux", []byte(id))) {
			t.Errorf("%s: the key is not that of %q", body, id)
		}
		for i := range len(body) + 1 {
			piece := m
			if piece.KeyFromBody([]byte(body[:i]), false) && piece != whole {
				t.Errorf("%s: after %d bytes %+v, at last %+v", body, i, piece, whole)
			}
		}
	}
	f(`[{"channel":"/meta/connect","clientId":"abc"}]`, "abc", Session)
	f(` [ { "clientId" : "a\u0062c" , "channel" : "/x" } ] `, "abc", Session)
	f(`{"channel":"/x","data":{"clientId":"no"},"clientId":"abc"}`, "abc", Session)
	f(`[{"channel":"/x","data":["clientId","no"]},{"channel":"/y","clientId":"abc"}]`, "abc", Session)
	f(`[{"channel":"/x","clientId":"abc"},{"channel":"/y","clientId":"def"}]`, "abc", Session) // the first counts
	f("message=%5B%7B%22clientId%22%3A%22a%2Bc%22%7D%5D", "a+c", Session)
	f(`[{"channel":"\/meta\/handshake","version":"1.0"}]`, "", Handshake)
	f(`{"channel":"/meta/handshake"}`, "", Handshake)
	f(`[]`, "", Stateless)
	f(``, "", Stateless)
	f(`[{"channel":"/x"}]`, "", Stateless)
	f(`[{"channel":"/x","clientId":17}]`, "", Stateless)
	f(`[{"channel":"/x","clientId":""}]`, "", Stateless)
	f(`{"query":"{a}"}`, "", Stateless)
	f(`not json`, "", Stateless)
	f(`[{"channel":"/x"}{"clientId":"abc"}]`, "", Stateless)
	f(`[{"clientId":"`+strings.Repeat("x", MaxID+1)+`"}]`, "", Stateless)
	f(`message`, "", Stateless)

	// A body that comes in pieces of one byte is looked at a few times only.
	looks, piece := 0, m
	slow := []byte(`[{"channel":"/x","data":"` + strings.Repeat("x", 8000) + `","clientId":"abc"}]`)
	for i := range slow {
		before := piece.looked
		if piece.KeyFromBody(slow[:i+1], false) {
			t.Fatalf("done after %d bytes", i+1)
		}
		if piece.looked != before {
			looks++
		}
	}
	if !piece.KeyFromBody(slow, true) || !piece.HasKey || looks > 60 {
		t.Errorf("key found: %v, after %d looks", piece.HasKey, looks)
	}

	// A long message hides the client id behind its data, but not for ever.
	data := strings.Repeat("x", MaxNeedBody/2)
	f(`[{"channel":"/x","data":"`+data[:2000]+`","clientId":"abc"}]`, "abc", Session)
	long := m
	if !long.KeyFromBody([]byte(`[{"channel":"/x","data":"`+data+`","clientId":"abc"}]`), false) || !long.HasKey {
		t.Error("the key of a long message is not found")
	}
	long = m
	if !long.KeyFromBody([]byte(`[{"channel":"/x","data":"`+data+data+`","clientId":"abc"}]`), false) || long.Phase != Hashed || long.Key != m.steer {
		t.Errorf("a message longer than MaxNeedBody does not follow its handshake: %+v", long)
	}
}

func TestEndings(t *testing.T) {
	m := func(r *testRequest) *Match {
		m, ok := Builtin().Match(r)
		if !ok {
			t.Helper()
			t.Fatalf("%s: no match", r.path)
		}
		return &m
	}
	request3 := m(request("POST /?EIO=3&transport=polling&sid=a"))
	request4 := m(request("POST /?EIO=4&transport=polling&sid=a"))
	f := func(m *Match, body string, want bool) {
		t.Helper()
		if got := m.EndsByRequest([]byte(body)); got != want {
			t.Errorf("%s: request %q ends: %v", m.step.name, body, got)
		}
	}
	f(request3, "1:1", true)
	f(request3, "2:40", false)
	f(request3, "7:4héllo!1:1", true)     // lengths are UTF-16 units
	f(request3, "3:4\U0001f6001:1", true) // two for this one
	f(request3, "3:4\U0001f6005:41:1x", false)
	f(request3, "6:41:1:11", false) // "1:1" within a message
	f(request3, "1:11", true)
	f(request3, "6:b4AQID1:1", true)
	f(request3, "\x00\x02\xff4x\x00\x01\xff1", true)
	f(request3, "\x01\x02\xff1x\x00\x02\xff41", false) // bytes, not text
	f(request3, "\x00\x01\x00\xff4123456789\x00\x01\xff1", true)
	f(request3, "\x00\x02\xff4", false)
	f(request3, "d=1%3A1", true)
	f(request3, "d=2%3A41", false)
	f(request3, "", false)
	f(request3, "1:", false)
	f(request3, ":1", false)
	f(request3, "0:1", false)
	f(request3, "99999999999:1", false)
	f(request4, "1", true)
	f(request4, "41", false)
	f(request4, "40\x1e1", true)
	f(request4, "42[\"x\"]\x1e41\x1eb1234", false)
	f(request4, "4:1:1", false) // would be a close in protocol 3
	f(request4, "d=40%1e1", true)

	g := func(m *Match, status int, body string, want bool) {
		t.Helper()
		if got := m.EndsByResponse(status, []byte(body)); got != want {
			t.Errorf("%s: response %d %q ends: %v", m.step.name, status, body, got)
		}
	}
	poll3 := m(request("GET /?EIO=3&transport=polling&sid=a"))
	poll4 := m(request("GET /?EIO=4&transport=polling&sid=a&j=0"))
	g(poll3, 200, "1:61:1", true)
	g(poll3, 200, `___eio[0]("1:1");`, true)
	g(poll3, 200, `___eio[0]("2:41");`, false)
	g(poll3, 400, `{"code":1,"message":"Session ID unknown"}`, true)
	g(poll3, 400, `{"code":3,"message":"Bad request"}`, false)
	g(poll4, 200, "6\x1e1", true)
	g(poll4, 200, `___eio[0]("6\u001e1");`, true)
	g(poll4, 502, "", false)

	hub := request("GET /hub?id=0123456789abcdefghij_-", "X-Requested-With: XMLHttpRequest")
	g(m(hub), 204, "", true)
	g(m(hub), 404, "No Connection with that ID", true)
	g(m(hub), 200, "", false)
	f(m(request("DELETE /hub?id=0123456789abcdefghij_-", "X-Requested-With: XMLHttpRequest")), "", true)
	g(m(request("GET /hub?id=0123456789abcdefghij_-", "Upgrade: websocket")), 101, "", false) // it may reconnect

	xhr := m(request("POST /e/000/s/xhr"))
	g(xhr, 200, "c[1000,\"Normal closure\"]\n", true)
	g(xhr, 200, "c[2010,\"Another connection still open\"]\n", false)
	g(xhr, 200, "a[\"c[3000\"]\n", false)
	g(xhr, 200, "o\n", false)
	g(xhr, 200, "c[", false) // cut off: cannot tell
}

func TestTTL(t *testing.T) {
	f := func(r *testRequest, want time.Duration) {
		t.Helper()
		m, _ := Builtin().Match(r)
		if got := m.TTL(); got != want {
			t.Errorf("%s %s?%s: %v, want %v", r.method, r.path, r.query, got, want)
		}
	}
	f(request("GET /?EIO=4&transport=polling&sid=a"), 100*time.Second)
	f(request("POST /e/000/s/xhr"), 90*time.Second)
	f(request("POST /mcp", "Mcp-Session-Id: s"), 24*time.Hour+15*time.Second)
}

func TestClaims(t *testing.T) {
	claim, _ := Builtin().Match(request("POST /e/000/s/xhr"))
	session, _ := Builtin().Match(request("POST /e/000/s/xhr_send"))
	for status, want := range map[int]bool{101: true, 200: true, 204: true, 100: false, 302: false, 404: false, 500: false} {
		if claim.Claims(status) != want {
			t.Errorf("a claim is granted by %d: %v", status, !want)
		}
		if session.Claims(status) {
			t.Errorf("a session is claimed by %d", status)
		}
	}
}
