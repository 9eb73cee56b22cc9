package affinity

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func answer(status int, header ...string) *testResponse {
	r := &testResponse{status, http.Header{}}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.header.Set(name, value)
	}
	return r
}

func mustMatch(t testing.TB, r *testRequest) *Match {
	t.Helper()
	m, ok := Builtin().Match(r)
	if !ok {
		t.Fatalf("%s %s?%s: no rule matches", r.method, r.path, r.query)
	}
	return &m
}

func TestLearn(t *testing.T) {
	eio := mustMatch(t, request("GET /?EIO=4&transport=polling"))
	signalr := mustMatch(t, request("POST /hub/negotiate"))
	classic := mustMatch(t, request("GET /signalr/negotiate?clientProtocol=2.1"))
	phoenix := mustMatch(t, request("GET /socket/longpoll?vsn=2.0.0"))
	repoll := mustMatch(t, request("GET /socket/longpoll?vsn=2.0.0&token=t"))
	sio09 := mustMatch(t, request("GET /socket.io/1/?t=1"))
	channel := mustMatch(t, request("POST /channel/bind?VER=8&RID=1"))
	graphql := mustMatch(t, request("PUT /graphql/stream"))
	mcp := mustMatch(t, request("POST /mcp", "Accept: text/event-stream", "Content-Type: application/json"))
	bayeux := mustMatch(t, request("POST /faye"))
	bayeux.KeyFromBody([]byte(`[{"channel":"/meta/handshake"}]`), true)

	ok := answer(200, "Content-Type: text/plain")
	f := func(m *Match, resp *testResponse, body, id string, ttl time.Duration) {
		t.Helper()
		got, status := m.Learn(resp, []byte(body), true)
		if want := (Learned{MakeKey(m.Rule.namespace, []byte(id)), ttl}); status != Done || got != want {
			t.Errorf("%s %.80q: %v, %v; want %v, learned", m.Rule.Name, body, got, status, want)
		}
		sameInPieces(t, m, resp, []byte(body))
	}
	g := func(m *Match, resp *testResponse, body string, want LearnStatus) {
		t.Helper()
		got, status := m.Learn(resp, []byte(body), true)
		if status != want || got != (Learned{}) {
			t.Errorf("%s %.80q: %v, %v; want %v", m.Rule.Name, body, got, status, want)
		}
		sameInPieces(t, m, resp, []byte(body))
	}

	// The life is that of the handshake, within bounds, and the margin.
	f(eio, ok, `0{"sid":"a","pingInterval":1000,"pingTimeout":500}`, "a", 5*time.Second+15*time.Second)
	f(eio, ok, `0{"sid":"a","pingInterval":99999999,"pingTimeout":500}`, "a", time.Hour+15*time.Second)
	f(eio, ok, `0{"sid":"a","pingInterval":25000.5,"pingTimeout":"20000"}`, "a", 60*time.Second+500*time.Microsecond)
	f(eio, ok, `0{"sid":"a","pingInterval":-1,"pingTimeout":null}`, "a", 100*time.Second)
	f(eio, ok, `0{"sid":"a","pingInterval":1e400,"pingTimeout":{}}`, "a", 100*time.Second)
	f(eio, ok, `0{"sid":"a"}`, "a", 100*time.Second)
	// In any order, with escapes, the last of equal names, among other packets.
	f(eio, ok, `0{"upgrades":[{"sid":"no"}],"pingTimeout":20000,"pingInterval":25000,"sid":"a"}`, "a", 60*time.Second)
	f(eio, ok, `0{"sid":"no","sid":"\u0061\/\\\"ü\ud83d\ude00"}`, "a/\\\"ü\U0001f600", 100*time.Second)
	f(eio, ok, "0{\"sid\":\"a\"}\x1e40", "a", 100*time.Second)
	f(eio, ok, `13:0{"sid":"a"} 2:40`, "a", 100*time.Second)
	f(eio, ok, ` /**/ ___eio[12]("0{\"sid\":\"a\"}");`, "a", 100*time.Second)
	f(eio, ok, "\x00\x01\x02\xff0{\"sid\":\"a\"}\x00\x02\xff40", "a", 100*time.Second)

	f(signalr, ok, `{"connectionId":"i"}`, "i", 135*time.Second)
	f(signalr, ok, `{"connectionId":"i","connectionToken":"t"}`, "t", 135*time.Second)
	f(signalr, ok, `{"connectionToken":"a b"}`, "a+b", 135*time.Second)
	f(classic, ok, `{"Url":"/signalr","ConnectionToken":"t+/=","DisconnectTimeout":30.0,"ConnectionTimeout":110.0}`, "t+/=", 155*time.Second)
	f(classic, ok, `jQuery1_2({"ConnectionToken":"t"});`, "t", 165*time.Second)
	f(phoenix, ok, `{"messages":[],"status":410,"token":"t"}`, "t", 45*time.Second)
	f(repoll, ok, `{"messages":[],"status":410,"token":"u"}`, "u", 45*time.Second)
	f(sio09, ok, "abc:15:25:websocket,xhr-polling", "abc", 55*time.Second)
	f(sio09, ok, "abc:::websocket", "abc", 135*time.Second)
	f(sio09, ok, `io.j[0]("abc:15:25:websocket");`, "abc", 55*time.Second)
	f(channel, ok, "99\n[ [0, [\"c\",\"a\\u0062\"", "ab", 75*time.Second)
	g(channel, ok, "12\n[[0,[\"noop\"]]]", Unreadable)
	g(channel, ok, "12\n[[0,[\"c\",7", Unreadable)
	g(channel, ok, "12\n[[0,[\"c\",\"", Unreadable)
	g(channel, ok, "[[0,[\"c\",\"a\"]]]", Unreadable)
	f(graphql, answer(201, "Content-Type: Text/Plain; charset=utf-8"), " tok\r\n", "tok", 615*time.Second)
	f(mcp, answer(200, "Mcp-Session-Id:  s "), "", "s", 24*time.Hour+15*time.Second)
	f(bayeux, ok, `[{"channel":"/other","clientId":"no"},{"channel":"/meta/handshake","successful":true,"clientId":"a","advice":{"timeout":30000,"interval":10000}}]`, "a", 85*time.Second)
	f(bayeux, ok, `{"successful":true,"clientId":"a","channel":"\/meta\/handshake"}`, "a", 135*time.Second)

	// No session.
	g(eio, answer(400), `0{"sid":"a"}`, NoSession)
	g(eio, answer(502), ``, NoSession)
	g(eio, ok, `0{}`, NoID)
	g(eio, ok, `0{"sid":""}`, NoID)
	g(eio, ok, `0{"sid":null}`, NoID)
	g(eio, ok, `0{"sid":{"sid":"a"}}`, NoID)
	g(eio, ok, `6`, Unreadable)
	g(eio, ok, ``, Unreadable)
	g(eio, ok, `<html>`, Unreadable)
	g(eio, ok, `0{"sid":"a`, Unreadable)
	f(eio, ok, `0{"sid":"a"`, "a", 100*time.Second) // cut off, but the session is there
	g(eio, ok, `0["sid","a"]`, Unreadable)
	g(eio, ok, `0{"sid" "a"}`, NoID)
	g(eio, ok, `0{"sid":"\ud8"}`, NoID)
	g(eio, ok, `___eio[0]({"type":"Buffer","data":[0,9]});`, Unreadable)
	g(eio, ok, `___eio[0]("0{\"sid\":\"\u00`, Unreadable)
	g(signalr, ok, `{"url":"https://other.example","accessToken":"x"}`, NoID)
	g(signalr, ok, `{"error":"no"}`, NoID)
	g(phoenix, ok, `{"status":403}`, NoID)
	g(phoenix, ok, `{"messages":[`+strings.Repeat(`"0123456789",`, 1000), TooLong)
	// A session that goes on is nothing to be counted as not learned.
	g(repoll, ok, `{"messages":[],"status":200,"token":"t"}`, NoSession)
	g(repoll, ok, `{"messages":[`+strings.Repeat(`"0123456789",`, 1000), NoSession)
	g(repoll, answer(200, "Content-Encoding: gzip"), `x`, NoSession)
	g(sio09, ok, "welcome", Unreadable)
	g(graphql, answer(201, "Content-Type: text/plain"), "  ", NoID)
	g(graphql, answer(200, "Content-Type: text/plain"), "tok", NoSession)
	g(graphql, answer(201, "Content-Type: application/json"), "tok", NoSession)
	g(mcp, ok, "", NoID)
	g(bayeux, ok, `[{"channel":"/meta/handshake","successful":false,"clientId":"a"}]`, NoID)
	g(bayeux, ok, `[{"channel":"/meta/connect","successful":true,"clientId":"a"}]`, NoID)
	g(bayeux, ok, `[]`, NoID)
	g(bayeux, ok, `[17]`, Unreadable)

	// Compressed, too long.
	g(eio, answer(200, "Content-Encoding: gzip"), `0{"sid":"a"}`, Encoded)
	f(eio, answer(200, "Content-Encoding: identity"), `0{"sid":"a"}`, "a", 100*time.Second)
	g(eio, ok, `0{"sid":"`+strings.Repeat("x", MaxID+1)+`"}`, TooLong)
	g(eio, ok, `0{"sid":"`+strings.Repeat(`\u0078`, MaxID+1)+`"}`, TooLong)
	g(eio, ok, `0{"x":"`+strings.Repeat("x", LearnLimit)+`","sid":"a"}`, TooLong)
	g(mcp, answer(200, "Mcp-Session-Id: "+strings.Repeat("x", MaxID+1)), "", TooLong)
	f(eio, ok, `0{"sid":"`+strings.Repeat(`\u0078`, MaxID)+`"}`, strings.Repeat("x", MaxID), 100*time.Second)
	f(eio, ok, `0{"sid":"a","x":"`+strings.Repeat("x", LearnLimit)+`"}`, "a", 100*time.Second)

	// Not a handshake.
	g(mustMatch(t, request("GET /?EIO=4&transport=polling&sid=a")), ok, `0{"sid":"a"}`, NotLearning)
}

func TestLearnAllocatesNothing(t *testing.T) {
	x := capture(t, "engineio1/handshake-binary")
	m := x.mustMatch(t)
	body := x.respBody
	resp := &fixedResponse{}
	if n := testing.AllocsPerRun(100, func() {
		if _, status := m.Learn(resp, body, false); status != Done {
			t.Fatal(status)
		}
	}); n != 0 {
		t.Errorf("Learn allocates %v times", n)
	}
}

// fixedResponse is a 200 with no headers.
type fixedResponse struct{}

func (*fixedResponse) Status() int                  { return 200 }
func (*fixedResponse) Header(string) ([]byte, bool) { return nil, false }
