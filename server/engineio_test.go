package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// eio is a client of engine.io that has nothing but HTTP.
type eio struct {
	t    *testing.T
	base string
	http *http.Client
	sid  string
}

func newEIO(t *testing.T, s *Server) *eio {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &eio{t: t, base: "http://" + s.Addr().String() + "/deepstream/?EIO=3", http: &http.Client{Transport: transport}}
}

// do makes a request and returns its status, headers and body.
func (e *eio) do(method, query, contentType, body string) (int, http.Header, string) {
	e.t.Helper()
	req, err := http.NewRequest(method, e.base+query, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Origin", "http://page.example")
	resp, err := e.http.Do(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

var sidPattern = regexp.MustCompile(`sid\\?":\\?"([^"\\]{20})`)

// open makes a socket; query says how, as in "&b64=1".
func (e *eio) open(query string) (http.Header, string) {
	e.t.Helper()
	code, header, body := e.do("GET", "&transport=polling"+query, "", "")
	m := sidPattern.FindStringSubmatch(body)
	if code != 200 || m == nil {
		e.t.Fatalf("handshake: %d %s", code, body)
	}
	e.sid = m[1]
	e.t.Cleanup(func() { // so that the node need not wait for a last poll
		goodbye := "1:1"
		if strings.Contains(e.base, "EIO=4") {
			goodbye = "1"
		}
		e.do("POST", "&transport=polling&sid="+e.sid, "text/plain", goodbye)
	})
	return header, body
}

func bars(s string) string {
	return strings.NewReplacer("\x1f", "|", "\x1e", "+").Replace(s)
}

func TestEngineIOText(t *testing.T) {
	e := newEIO(t, startNode(t, nil))
	header, body := e.open("&b64=1")
	want := `97:0{"sid":"` + e.sid + `","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":60000}`
	if body != want {
		t.Errorf("handshake %s, want %s", body, want)
	}
	for key, value := range map[string]string{
		"Content-Type": "text/plain; charset=UTF-8", "Set-Cookie": "io=" + e.sid,
		"Access-Control-Allow-Origin": "http://page.example", "Access-Control-Allow-Credentials": "true",
	} {
		if got := header.Get(key); got != value {
			t.Errorf("%s is %q, want %q", key, got, value)
		}
	}
	q := "&transport=polling&sid=" + e.sid // b64 need not be said again
	f := func(method, send, hear string) {
		t.Helper()
		send = strings.NewReplacer("|", "\x1f", "+", "\x1e").Replace(send)
		code, got := 200, ""
		for len(got) < len(hear) && code == 200 { // packets may come by one poll, or by more
			var body string
			code, _, body = e.do(method, q, "text/plain;charset=UTF-8", send)
			got += bars(body)
		}
		if code != 200 || got != hear {
			t.Errorf("%s %s: %d %s, want %s", method, bars(send), code, got, hear)
		}
	}
	f("GET", "", "6:4C|CH+")
	f("POST", "23:4C|CHR|127.0.0.1:21010+", "ok")
	f("GET", "", "5:4C|A+")
	f("POST", `25:4A|REQ|{"username":"al"}+1:2`, "ok")
	f("GET", "", "1:35:4A|A+")
	// Text travels as UTF-8 in UTF-8, its length counts the inner bytes.
	f("POST", "8:4E|S|Ã©+", "ok")
	f("GET", "", "10:4E|A|S|Ã©+")
	f("POST", "1:1", "ok")
	if code, _, body := e.do("GET", q, "", ""); code != 400 || !strings.Contains(body, `{"code":1,"message":"Session ID unknown"}`) {
		t.Errorf("after the client closed: %d %s", code, body)
	}
}

func TestEngineIOBinary(t *testing.T) {
	e := newEIO(t, startNode(t, nil))
	header, body := e.open("")
	if !strings.HasPrefix(body, "\x00\x09\x07\xff0{\"sid\":") || header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("handshake %q, %s", body, header.Get("Content-Type"))
	}
	q := "&transport=polling&sid=" + e.sid
	f := func(method, send, hear string) {
		t.Helper()
		if code, _, body := e.do(method, q, "application/octet-stream", send); code != 200 || body != hear {
			t.Errorf("%s %q: %d %q, want %q", method, send, code, body, hear)
		}
	}
	f("GET", "", "\x00\x06\xff4C\x1fCH\x1e")
	f("POST", "\x00\x02\x02\xff4C\x1fCHR\x1fws://host:6020\x1e", "ok")
	f("GET", "", "\x00\x05\xff4C\x1fA\x1e")
	f("POST", "\x00\x01\xff2", "ok")
	f("GET", "", "\x00\x01\xff3")
}

func TestEngineIOJSONP(t *testing.T) {
	e := newEIO(t, startNode(t, nil))
	header, body := e.open("&j=0")
	if !strings.HasPrefix(body, `___eio[0]("97:0{\"sid\":\"`) || !strings.HasSuffix(body, `");`) || header.Get("Content-Type") != "text/javascript; charset=UTF-8" {
		t.Errorf("handshake %s, %s", body, header.Get("Content-Type"))
	}
	q := "&transport=polling&j=1&sid=" + e.sid
	if _, _, body := e.do("GET", q, "", ""); body != `___eio[1]("6:4C\u001fCH\u001e");` {
		t.Errorf("poll %s", body)
	}
	if code, _, body := e.do("POST", q, "application/x-www-form-urlencoded", "d=9%3A4C%1FCHR%1Fx%1E"); code != 200 || body != "ok" {
		t.Errorf("post %d %s", code, body)
	}
	if _, _, body := e.do("GET", q, "", ""); body != `___eio[1]("5:4C\u001fA\u001e");` {
		t.Errorf("poll %s", body)
	}
}

func TestEngineIOErrors(t *testing.T) {
	e := newEIO(t, startNode(t, nil))
	f := func(method, query string, status int, answer string) {
		t.Helper()
		code, header, body := e.do(method, query, "", "")
		if code != status || body != answer {
			t.Errorf("%s %s: %d %q, want %d %q", method, query, code, body, status, answer)
		}
		if header.Get("Access-Control-Allow-Origin") == "" {
			t.Errorf("%s %s: a page cannot read the answer", method, query)
		}
	}
	f("GET", "&transport=x", 400, `{"code":0,"message":"Transport unknown"}`)
	f("GET", "", 400, `{"code":0,"message":"Transport unknown"}`)
	f("GET", "&transport=polling&sid=nobody", 400, `{"code":1,"message":"Session ID unknown"}`)
	f("POST", "&transport=polling", 400, `{"code":2,"message":"Bad handshake method"}`)
	f("OPTIONS", "&transport=polling", 400, `{"code":2,"message":"Bad handshake method"}`)
	f("POST", "&transport=websocket", 400, `{"code":2,"message":"Bad handshake method"}`)
	f("GET", "&transport=websocket", 400, `{"code":3,"message":"Bad request"}`)
	f("GET", "&transport=websocket&sid=nobody", 400, `{"code":1,"message":"Session ID unknown"}`)
	e.open("")
	f("GET", "&transport=websocket&sid="+e.sid, 400, `{"code":3,"message":"Bad request"}`)
	f("OPTIONS", "&transport=polling&sid="+e.sid, 200, "")
	f("PUT", "&transport=polling&sid="+e.sid, 400, `{"code":3,"message":"Bad request"}`)
	_, _, err := websocket.DefaultDialer.Dial(strings.Replace(e.base, "http", "ws", 1)+"&transport=websocket&sid=nobody", nil)
	if err == nil || strings.Contains(err.Error(), "bad handshake") {
		t.Errorf("an upgrade with an unknown sid was answered: %v", err)
	}
}

// TestEngineIODoubledPoll: two polls at a time end the socket.
func TestEngineIODoubledPoll(t *testing.T) {
	e := newEIO(t, startNode(t, nil))
	e.open("")
	q := "&transport=polling&sid=" + e.sid
	e.do("GET", q, "", "") // C|CH
	first := make(chan string)
	go func() {
		_, _, body := e.do("GET", q, "", "")
		first <- body
	}()
	var codes []int
	for {
		// Whichever comes second gets the error.
		code, _, body := e.do("GET", q+"&second", "", "")
		codes = append(codes, code)
		if code == 500 || strings.Contains(body, "Session ID unknown") || body == "\x00\x01\xff1" {
			break
		}
	}
	<-first
	if code, _, body := e.do("GET", q, "", ""); code != 400 || !strings.Contains(body, "Session ID unknown") {
		t.Errorf("after two polls at a time (%v): %d %s", codes, code, body)
	}
}

// TestEngineIOUpgrade follows the order that clients keep: probe, polls released,
// upgrade; nothing is lost on the way.
func TestEngineIOUpgrade(t *testing.T) {
	s := startNode(t, nil)
	e := newEIO(t, s)
	e.open("&b64=1")
	q := "&transport=polling&b64=1&sid=" + e.sid
	e.do("GET", q, "", "") // C|CH
	wsURL := strings.Replace(e.base, "http", "ws", 1) + "&transport=websocket&sid=" + e.sid
	ws, resp, err := websocket.DefaultDialer.Dial(wsURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if resp.Header.Get("Set-Cookie") != "" {
		t.Error("the 101 has a cookie")
	}
	poll := make(chan string)
	go func() {
		_, _, body := e.do("GET", q, "", "")
		poll <- body
	}()
	say := func(text string) {
		t.Helper()
		if err := ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(want string) {
		t.Helper()
		_ = ws.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, b, err := ws.ReadMessage()
		if err != nil || bars(string(b)) != want {
			t.Fatalf("heard %s, %v, want %s", bars(string(b)), err, want)
		}
	}
	say("2probe")
	hear("3probe")
	if body := <-poll; body != "1:6" {
		t.Errorf("the waiting poll got %s", body)
	}
	// The client's message goes by POST while nobody polls: its answer waits and
	// goes ahead on the WebSocket.
	if code, _, body := e.do("POST", q, "text/plain;charset=UTF-8", "9:4C\x1fCHR\x1fx\x1e"); code != 200 || body != "ok" {
		t.Fatalf("post: %d %s", code, body)
	}
	say("5")
	hear("4C|A+")
	say("2")
	hear("3")
	say("4A\x1fREQ\x1f{\"username\":\"al\"}\x1e")
	hear("4A|A+")
	if code, _, body := e.do("GET", q, "", ""); code != 400 || !strings.Contains(body, `"code":3`) {
		t.Errorf("polling after the upgrade: %d %s", code, body)
	}
	second, _, err := websocket.DefaultDialer.Dial(wsURL, nil)
	if err != nil {
		t.Fatalf("a second upgrade is accepted and closed: %v", err)
	}
	if _, _, err := second.ReadMessage(); err == nil {
		t.Error("a second upgrade talks")
	}
	_ = second.Close()
	say("4E\x1fS\x1fx\x1e")
	hear("4E|A|S|x+")
}

func TestEngineIOWebSocketOnly(t *testing.T) {
	s := startNode(t, nil)
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+s.Addr().String()+"/deepstream/?EIO=3&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	for _, want := range []string{`^0\{"sid":"[^"]{20}","upgrades":\[\],"pingInterval":25000,"pingTimeout":60000\}$`, `^4C\|CH\+$`} {
		_, b, err := ws.ReadMessage()
		if err != nil || !regexp.MustCompile(want).MatchString(bars(string(b))) {
			t.Fatalf("heard %s, %v, want %s", b, err, want)
		}
	}
}

// TestEngineIOVersion4 has the same conversation in the framing of version 4.
func TestEngineIOVersion4(t *testing.T) {
	e := newEIO(t, startNode(t, nil))
	e.base = strings.Replace(e.base, "EIO=3", "EIO=4", 1)
	_, body := e.open("")
	if !strings.HasPrefix(body, `0{"sid":`) {
		t.Errorf("handshake %s", body)
	}
	q := "&transport=polling&sid=" + e.sid
	if _, _, body := e.do("GET", q, "", ""); bars(body) != "4C|CH" {
		t.Errorf("poll %s", bars(body))
	}
	e.do("POST", q, "text/plain;charset=UTF-8", "4C\x1fCHR\x1fx\x1eA\x1fREQ\x1f{}\x1e")
	if _, _, body := e.do("GET", q, "", ""); bars(body) != "4C|A+4A|A" {
		t.Errorf("poll %s", bars(body))
	}
}

// TestEngineIOTooLarge: the body of a POST is bounded.
func TestEngineIOTooLarge(t *testing.T) {
	s := startNode(t, func(c *Config) { c.EngineIO.MaxMessageSize = 100 })
	e := newEIO(t, s)
	e.open("&b64=1")
	q := "&transport=polling&b64=1&sid=" + e.sid
	big := strings.Repeat("x", 200)
	if code, _, _ := e.do("POST", q, "text/plain", fmt.Sprintf("%d:4%s", len(big)+1, big)); code != 413 {
		t.Errorf("answered %d", code)
	}
	if got := hits(s); got["message_size"] != 1 {
		t.Errorf("hits %v, want one of message_size", got)
	}
}

// TestSlowPoller: what waits for a poll is bounded.
func TestSlowPoller(t *testing.T) {
	s := startNode(t, func(c *Config) { c.EngineIO.Limits.OutboxBytes = 10_000 })
	e := newEIO(t, s)
	e.open("&b64=1")
	q := "&transport=polling&b64=1&sid=" + e.sid
	login := []byte("9:4C\x1fCHR\x1fx\x1e11:4A\x1fREQ\x1f{}\x1e" + "7:4E\x1fS\x1fx\x1e")
	login = bytes.Replace(login, []byte("11:"), []byte("10:"), 1)
	if code, _, body := e.do("POST", q, "text/plain", string(login)); code != 200 {
		t.Fatalf("login: %d %s", code, body)
	}
	waitFor(t, "the login", func() bool { return s.sessions.LoggedIn() == 1 })
	pub := dial(t, s, "pub")
	event := strings.Repeat("x", 1000)
	for range 30 {
		pub.ws.WriteMessage(websocket.BinaryMessage, eventFrame("x", `"`+event+`"`))
	}
	waitFor(t, "too much to wait for a client that does not poll", func() bool { return s.sessions.Stats().Slow.Load() > 0 })
	waitFor(t, "its end", func() bool {
		code, _, body := e.do("GET", q, "", "")
		return code == 400 && strings.Contains(body, "Session ID unknown")
	})
	if n := s.sessions.Stats().Slow.Load(); n != 1 {
		t.Errorf("%d slow clients were counted", n)
	}
}
