package affinity

import (
	"testing"
	"time"
)

// TestCaptures goes through real traffic: for each exchange, what the rules say
// of the request, of whom the key is, and whether the session ends.
func TestCaptures(t *testing.T) {
	const none = ""
	f := func(name, rule, kind string, phase Phase, transport Transport, id string, ends bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			x := capture(t, name)
			m, ok := Builtin().Match(x)
			if !ok {
				if rule != none {
					t.Fatalf("no rule matches, want %s", rule)
				}
				return
			}
			if rule == none {
				t.Fatalf("rule %s matches, want none", m.Rule.Name)
			}
			m = x.mustMatch(t)
			if m.Rule.Name != rule || m.step.name != kind || m.Phase != phase || m.Transport != transport {
				t.Errorf("got rule %s, %q, %v over %v; want rule %s, %q, %v over %v",
					m.Rule.Name, m.step.name, m.Phase, m.Transport, rule, kind, phase, transport)
			}
			if phase != Handshake && phase != Hashed {
				if m.HasKey != (id != none) {
					t.Errorf("HasKey = %v", m.HasKey)
				}
				if want := MakeKey(m.Rule.namespace, []byte(id)); m.HasKey && m.Key != want {
					t.Errorf("the key is not that of %q", id)
				}
			}
			if got := m.Ambiguous; got {
				t.Error("ambiguous")
			}
			over := m.EndsByRequest(x.body)
			if x.resp != nil {
				over = over || m.EndsByResponse(x.resp.status, x.respBody)
			}
			if over != ends {
				t.Errorf("the session ends: %v, want %v", over, ends)
			}
		})
	}
	const eio = "engine.io"
	f("socketio4/handshake", eio, "handshake", Handshake, Polling, none, false)
	f("socketio4/handshake-jsonp", eio, "handshake", Handshake, Polling, none, false)
	f("socketio4/handshake-eio3", eio, "handshake", Handshake, Polling, none, false)
	f("socketio4/send", eio, "send", Session, Polling, "1XRhW05DYyfN8neuAAAA", false)
	f("socketio4/send-binary", eio, "send", Session, Polling, "1XRhW05DYyfN8neuAAAA", false)
	f("socketio4/send-close", eio, "send", Session, Polling, "1XRhW05DYyfN8neuAAAA", true)
	f("socketio4/send-unknown", eio, "send", Session, Polling, "nLbpYP5VV8MqSMczAAAC", true)
	f("socketio4/poll-noop", eio, "poll", Session, Polling, "1XRhW05DYyfN8neuAAAA", false)
	f("socketio4/poll-close", eio, "poll", Session, Polling, "nLbpYP5VV8MqSMczAAAC", true)
	f("socketio4/poll-unknown", eio, "poll", Session, Polling, "nope", true)
	f("socketio4/preflight", eio, "preflight", Session, Polling, "nope", false)
	f("socketio4/upgrade", eio, "websocket of a session", Session, WebSocket, "JjBP2zNhihAAUukUAAAB", false)
	f("socketio4/websocket", eio, "websocket alone", Stateless, WebSocket, none, false)

	f("socketio2/handshake", eio, "handshake", Handshake, Polling, none, false)
	f("socketio2/send", eio, "send, protocol 3", Session, Polling, "LxZ_Hfv7UUbRB8m9AAAA", false)
	f("socketio2/send-binary", eio, "send, protocol 3", Session, Polling, "LxZ_Hfv7UUbRB8m9AAAA", false)
	f("socketio2/send-close", eio, "send, protocol 3", Session, Polling, "LxZ_Hfv7UUbRB8m9AAAA", true)
	f("socketio2/upgrade", eio, "websocket of a session", Session, WebSocket, "VqiJVReSJgZKNCKxAAAB", false)
	f("socketio2/poll-unknown", eio, "poll, protocol 3", Session, Polling, "nope", true)

	f("engineio1/handshake", eio, "handshake", Handshake, Polling, none, false)
	f("engineio1/handshake-binary", eio, "handshake", Handshake, Polling, none, false)
	f("engineio1/send", eio, "send, protocol 3", Session, Polling, "Ix0wtAs_ILbbBK1kAAAA", false)
	f("engineio1/send-close", eio, "send, protocol 3", Session, Polling, "Ix0wtAs_ILbbBK1kAAAA", true)
	f("engineio1/send-close-jsonp", eio, "send, protocol 3", Session, Polling, "eW1-MZDdQUURsjxgAAAE", true)
	f("engineio1/send-binary", eio, "send, protocol 3", Session, Polling, "lbvZV1yGEt3IRP-uAAAB", false)
	f("engineio1/send-close-binary", eio, "send, protocol 3", Session, Polling, "lbvZV1yGEt3IRP-uAAAB", true)
	f("engineio1/poll-binary", eio, "poll, protocol 3", Session, Polling, "lbvZV1yGEt3IRP-uAAAB", false)
	f("engineio1/poll-close", eio, "poll, protocol 3", Session, Polling, "i6Aq5O-wzuR7uuE6AAAC", true)
	f("engineio1/poll-close-binary", eio, "poll, protocol 3", Session, Polling, "wJSKm9fIZORUvhl0AAAC", true)
	f("engineio1/poll-unknown", eio, "poll, protocol 3", Session, Polling, "nope", true)
	f("engineio1/preflight-unknown", eio, "preflight", Session, Polling, "nope", false)

	f("socketio09/handshake", "socket.io-0.9", "handshake", Handshake, OtherTransport, none, false)
	f("socketio09/handshake-jsonp", "socket.io-0.9", "handshake", Handshake, OtherTransport, none, false)
	f("socketio09/poll", "socket.io-0.9", "poll", Session, Polling, "ujoFbmjF4sE0R7MITJTg", false)
	f("socketio09/send", "socket.io-0.9", "send", Session, Polling, "ujoFbmjF4sE0R7MITJTg", false)
	f("socketio09/poll-unknown", "socket.io-0.9", "poll", Session, Polling, "nope", false)
	f("socketio09/disconnect", "socket.io-0.9", "disconnect", Session, OtherTransport, "ujoFbmjF4sE0R7MITJTg", true)

	f("signalr/negotiate", "signalr", "negotiate", Handshake, OtherTransport, none, false)
	f("signalr/poll", "signalr", "poll", Session, Polling, "tok+/1hQJ9PzZ2mUe0wLrVx==", false)
	f("signalr/send", "signalr", "send", Session, Polling, "tok+/1hQJ9PzZ2mUe0wLrVx==", false)
	f("signalr/close", "signalr", "close", Session, Polling, "tok+/1hQJ9PzZ2mUe0wLrVx==", true)
	f("signalr/events", "signalr", "events", Session, EventSource, "tok+/2hQJ9PzZ2mUe0wLrVx==", false)
	f("signalr/websocket", "signalr", "websocket", Session, WebSocket, "tok+/3hQJ9PzZ2mUe0wLrVx==", false)

	f("sockjs/info", none, none, 0, 0, none, false)
	f("sockjs/preflight", none, none, 0, 0, none, false)
	f("sockjs/xhr", "sockjs", "xhr", Claim, Polling, "gwx3opaq", false)
	f("sockjs/xhr_send", "sockjs", "send", Session, Polling, "gwx3opaq", false)
	f("sockjs/xhr_send-unknown", "sockjs", "send", Session, Polling, "nope", false)
	f("sockjs/xhr-close", "sockjs", "xhr", Claim, Polling, "gwx3opaq", true)
	f("sockjs/xhr-second", "sockjs", "xhr", Claim, Polling, "dddd", false)
	f("sockjs/xhr_streaming-close", "sockjs", "xhr_streaming", Claim, Streaming, "fhecdlfx", true)
	f("sockjs/eventsource-close", "sockjs", "eventsource", Claim, EventSource, "3511tajl", true)
	f("sockjs/htmlfile-close", "sockjs", "htmlfile", Claim, Streaming, "bbbb", true)
	f("sockjs/jsonp", "sockjs", "jsonp", Claim, Polling, "aaaa", false)
	f("sockjs/jsonp-close", "sockjs", "jsonp", Claim, Polling, "aaaa", true)
	f("sockjs/jsonp_send", "sockjs", "send", Session, Polling, "aaaa", false)
	f("sockjs/websocket", "sockjs", "websocket", Stateless, WebSocket, none, false)

	f("faye/handshake", "bayeux", "messages", Handshake, Polling, none, false)
	f("faye/handshake-object", "bayeux", "messages", Handshake, Polling, none, false)
	f("faye/handshake-jsonp", "bayeux", "messages in the query", Handshake, Polling, none, false)
	f("faye/connect-subscribe", "bayeux", "messages", Session, Polling, "po7txjay0c0dsgz4b0gsudrke5wnqt7", false)
	f("faye/connect-publish", "bayeux", "messages", Session, Polling, "po7txjay0c0dsgz4b0gsudrke5wnqt7", false)
	f("faye/disconnect", "bayeux", "messages", Session, Polling, "po7txjay0c0dsgz4b0gsudrke5wnqt7", true)
	f("faye/publish-unknown", "bayeux", "messages", Session, Polling, "nope", false)
	f("faye/publish-unknown-jsonp", "bayeux", "messages in the query", Session, Polling, "nope", true)
	f("faye/publish-form", "bayeux", "messages", Session, Polling, "rkmqs9wio13erqea00c2kikktwv20zi", false)
	f("faye/connect-unknown", "bayeux", "messages", Session, Polling, "nope", true)
	f("faye/events", "bayeux", "events", Session, EventSource, "rkmqs9wio13erqea00c2kikktwv20zi", false)
	f("faye/websocket", "bayeux", "websocket", Hashed, WebSocket, none, false)
	f("faye/preflight", none, none, 0, 0, none, false)

	f("browserchannel/test", none, none, 0, 0, none, false)
	f("browserchannel/handshake", "browserchannel", "handshake", Handshake, Streaming, none, false)
	f("browserchannel/poll", "browserchannel", "poll", Session, Streaming, "blqyl9lq", false)
	f("browserchannel/send", "browserchannel", "send", Session, Streaming, "blqyl9lq", false)
	f("browserchannel/terminate", "browserchannel", "terminate", Session, Streaming, "blqyl9lq", true)
	f("primus/handshake-browserchannel", "browserchannel", "handshake", Handshake, Streaming, none, false)

	f("graphqlsse/reserve", "graphql-sse", "reserve", Handshake, OtherTransport, none, false)
	f("graphqlsse/events", "graphql-sse", "events", Session, EventSource, "ef440f02-be67-4dae-b1af-c8fce4e5fc1a", false)
	f("graphqlsse/operation", "graphql-sse", "operation", Session, EventSource, "ef440f02-be67-4dae-b1af-c8fce4e5fc1a", false)

	f("mcp/initialize", "mcp", "initialize", Handshake, EventSource, none, false)
	f("mcp/initialized", "mcp", "message", Session, EventSource, "12c56842-5abd-4ff2-9d8e-c0732a204b8c", false)
	f("mcp/events", "mcp", "events", Session, EventSource, "12c56842-5abd-4ff2-9d8e-c0732a204b8c", false)
	f("mcp/call", "mcp", "message", Session, EventSource, "12c56842-5abd-4ff2-9d8e-c0732a204b8c", false)
	f("mcp/close", "mcp", "close", Session, OtherTransport, "12c56842-5abd-4ff2-9d8e-c0732a204b8c", true)
	f("mcp/unknown", "mcp", "message", Session, EventSource, "nope", true)

	f("primus/handshake-engine.io", eio, "handshake", Handshake, Polling, none, false)
	f("primus/upgrade-engine.io", eio, "websocket of a session", Session, WebSocket, "1nGiy8yI7eF03QiOAAAA", false)
	f("primus/websocket-sockjs", "sockjs", "websocket", Stateless, WebSocket, none, false)
	f("primus/websocket-faye", none, none, 0, 0, none, false)
	f("primus/websocket-plain", none, none, 0, 0, none, false)
}

// TestLearnCaptures learns from real answers to handshakes, whole and cut at
// every byte.
func TestLearnCaptures(t *testing.T) {
	f := func(name, id string, ttl time.Duration) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			x := capture(t, name)
			m := x.mustMatch(t)
			if m.Identity != m.step.learn.readsBody() || !m.Learns {
				t.Errorf("Identity is %v, Learns %v", m.Identity, m.Learns)
			}
			got, status := m.Learn(x.resp, x.respBody, true)
			want := Learned{MakeKey(m.Rule.namespace, []byte(id)), ttl}
			if status != Done || got != want {
				t.Fatalf("Learn = %v, %v; want %v, learned (%s)", got, status, want, id)
			}
			sameInPieces(t, &m, x.resp, x.respBody)
		})
	}
	f("socketio4/handshake", "1XRhW05DYyfN8neuAAAA", 60*time.Second)
	f("socketio4/handshake-jsonp", "7MpwGfjZLBzmnMQ5AAAE", 60*time.Second)
	f("socketio4/handshake-eio3", "BK_XFnkD3cJdDMTeAAAG", 60*time.Second)
	f("socketio4/handshake-eio3-jsonp", "D-OxgeO4YFfyHGZ2AAAF", 60*time.Second)
	f("socketio2/handshake", "LxZ_Hfv7UUbRB8m9AAAA", 60*time.Second)
	f("engineio1/handshake", "Ix0wtAs_ILbbBK1kAAAA", 100*time.Second)
	f("engineio1/handshake-binary", "lbvZV1yGEt3IRP-uAAAB", 100*time.Second)
	f("engineio1/handshake-jsonp", "nXiJ1W8iXCBfzqQBAAAA", 100*time.Second)
	f("deepstream1/handshake", "DXAh9hEqO1jY5t8JAAAA", 100*time.Second)
	f("deepstream1/handshake-binary", "aeTJOnEYPUAIXrZ5AAAB", 100*time.Second)
	f("primus/handshake-engine.io", "1nGiy8yI7eF03QiOAAAA", 60*time.Second)
	f("socketio09/handshake", "ujoFbmjF4sE0R7MITJTg", 135*time.Second)
	f("socketio09/handshake-jsonp", "0RPb9vr1kIcOsrfGTJTh", 135*time.Second)
	f("signalr/negotiate", "tok+/1hQJ9PzZ2mUe0wLrVx==", 135*time.Second)
	f("faye/handshake", "po7txjay0c0dsgz4b0gsudrke5wnqt7", 20*time.Second)
	f("faye/handshake-object", "4s14a507qmiagzcoqfx3b3xxutkbz8r", 20*time.Second)
	f("faye/handshake-jsonp", "jkuvvtzzpg6pcikoinib8s4zc18wa4f", 20*time.Second)
	f("browserchannel/handshake", "blqyl9lq", 75*time.Second)
	f("primus/handshake-browserchannel", "93hr14s1", 75*time.Second)
	f("graphqlsse/reserve", "ef440f02-be67-4dae-b1af-c8fce4e5fc1a", 615*time.Second)
	f("mcp/initialize", "12c56842-5abd-4ff2-9d8e-c0732a204b8c", 24*time.Hour+15*time.Second)
}

// sameInPieces fails unless learning from any beginning of the body says
// NeedMore or what the whole says.
func sameInPieces(t testing.TB, m *Match, resp Response, body []byte) {
	t.Helper()
	want, wantStatus := m.Learn(resp, body, true)
	for i := range len(body) + 1 {
		if i > 600 && len(body)-i > 40 && i%61 != 0 {
			continue
		}
		got, status := m.Learn(resp, body[:i], false)
		if status == NeedMore {
			continue
		}
		if got != want || status != wantStatus {
			t.Fatalf("after %d of %d bytes: %v, %v; the whole says %v, %v\n%q",
				i, len(body), got, status, want, wantStatus, body)
		}
	}
}
