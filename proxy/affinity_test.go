package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// sessions is a backend in the manner of engine.io: it makes sessions and
// refuses those of others. Ids begin with its name.
func sessions(t testing.TB, name string) string { return httpBackend(t, engine(name)) }

func engine(name string) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		sid := r.URL.Query().Get("sid")
		switch {
		case r.URL.Query().Get("EIO") == "":
			fmt.Fprint(w, name)
		case sid == "":
			fmt.Fprintf(w, `0{"sid":"%s-%d","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}`, name, n.Add(1))
		case !strings.HasPrefix(sid, name+"-"):
			w.WriteHeader(400)
			fmt.Fprint(w, `{"code":1,"message":"Session ID unknown"}`)
		case r.Method == http.MethodPost:
			io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, "ok")
		default:
			fmt.Fprint(w, "4"+name)
		}
	}
}

// sidOf reads the id out of a handshake.
func sidOf(t testing.TB, body string) string {
	t.Helper()
	_, rest, ok := strings.Cut(body, `"sid":"`)
	sid, _, ok2 := strings.Cut(rest, `"`)
	if !ok || !ok2 {
		t.Fatalf("no sid in %q", body)
	}
	return sid
}

func (p *running) url(path string) string { return "http://" + p.Addr() + path }

const polling = "/engine.io/?EIO=4&transport=polling"

func TestSessionsStay(t *testing.T) {
	p := start(t, nil, sessions(t, "a"), sessions(t, "b"), sessions(t, "c"))
	on := map[string]int{}
	for range 30 {
		_, open, _ := get(t, p.url(polling))
		sid := sidOf(t, open)
		on[sid[:1]]++
		for range 4 {
			if status, body, _ := get(t, p.url(polling+"&sid="+sid)); status != 200 || body != "4"+sid[:1] {
				t.Fatalf("session %s was answered %d %s", sid, status, body)
			}
		}
	}
	if len(on) != 3 {
		t.Errorf("30 sessions went to %v, want all three backends", on)
	}
	if got := p.metric(t, "dsproxy_sessions_total", "result=learned"); got != 30 {
		t.Errorf("learned %v sessions, want 30", got)
	}
}

// With affinity off the same sessions break: the test above can fail.
func TestSessionsBreakWithoutAffinity(t *testing.T) {
	p := start(t, func(c *Config) { c.Affinity.Enabled = false }, sessions(t, "a"), sessions(t, "b"), sessions(t, "c"))
	for range 200 {
		_, open, _ := get(t, p.url(polling))
		if status, _, _ := get(t, p.url(polling+"&sid="+sidOf(t, open))); status == 400 {
			return
		}
	}
	t.Error("no session broke")
}

func TestSessionEnds(t *testing.T) {
	p := start(t, nil, sessions(t, "a"), sessions(t, "b"))
	_, open, _ := get(t, p.url(polling))
	sid := sidOf(t, open)
	resp, err := client(t).Post(p.url(polling+"&sid="+sid), "text/plain", strings.NewReader("1"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	eventually(t, "the pin is gone", func() bool { return p.pins.Stats().Entries == 0 })
	if p.metric(t, "dsproxy_sessions_total", "result=ended") != 1 {
		t.Error("the end was not counted")
	}
}

// Ids that no backend has vouched for are answered, and leave nothing behind.
func TestForgedIdsGrowNothing(t *testing.T) {
	p := start(t, nil, sessions(t, "a"), sessions(t, "b"))
	for i := range 200 {
		if status, _, _ := get(t, p.url(fmt.Sprintf("%s&sid=forged%d", polling, i))); status != 400 {
			t.Fatalf("status %d, want the backend's own 400", status)
		}
	}
	if n := p.pins.Stats().Entries; n != 0 {
		t.Errorf("%d pins", n)
	}
}

// The pin of a session whose backend is gone is removed, and a healthy backend
// refuses the session in its own words, at once.
func TestBackendOfSessionDies(t *testing.T) {
	alive := sessions(t, "b")
	dying, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `0{"sid":"dying-1","pingInterval":25000,"pingTimeout":20000}`)
	})}
	done := make(chan struct{})
	go func() { srv.Serve(dying); close(done) }()
	p := start(t, func(c *Config) { c.Health.Interval = time.Hour }, dying.Addr().String(), alive)
	sid := ""
	for sid != "dying-1" {
		_, open, _ := get(t, p.url(polling))
		sid = sidOf(t, open)
	}
	srv.Close()
	<-done
	status, body, _ := get(t, p.url(polling+"&sid="+sid))
	if status != 400 || !strings.Contains(body, "Session ID unknown") {
		t.Errorf("answered %d %s", status, body)
	}
	if p.metric(t, "dsproxy_sessions_total", "result=lost") != 1 {
		t.Error("the lost session was not counted")
	}
	// New sessions go to the one that lives, although no check has run.
	for range 10 {
		if status, open, _ := get(t, p.url(polling)); status != 200 || !strings.HasPrefix(sidOf(t, open), "b-") {
			t.Fatalf("new session: %d %s", status, open)
		}
	}
}

// A SockJS client whose backend is gone must not be given a ghost session by another one.
func TestLostAnswerOfTheProxy(t *testing.T) {
	const open = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no\n"
	a, b := rawBackend(t, answering(open)), rawBackend(t, answering(open))
	p := start(t, nil, a)
	xhr := func() string {
		resp, err := client(t).Post(p.url("/echo/000/sess1/xhr"), "text/plain", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	if got := xhr(); got != "o\n" || p.pins.Stats().Entries != 1 {
		t.Fatalf("opened with %q and %d pins", got, p.pins.Stats().Entries)
	}
	cfg := p.state.Load().cfg
	cfg.Backends = []string{b}
	if err := p.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the old backend is gone", func() bool { _, ok := p.pool.Set().Get(a); return !ok })
	if got := xhr(); !strings.HasPrefix(got, "c[") {
		t.Errorf("the lost session was answered %q, want a close frame", got)
	}
	if got := xhr(); got != "o\n" {
		t.Errorf("the pin was not removed: %q", got)
	}
}

func TestCookie(t *testing.T) {
	a, b := sessions(t, "a"), sessions(t, "b")
	p := start(t, func(c *Config) { c.Affinity.Cookie.Name = "dsp" }, a, b)
	_, first, h := get(t, p.url("/page"))
	set := h.Get("Set-Cookie")
	contains(t, set, "dsp=", "HttpOnly", "SameSite=Lax")
	lacks(t, set, "127.0.0.1", "Secure")
	value, _, _ := strings.Cut(set, ";")
	for range 20 {
		req, _ := http.NewRequest("GET", p.url("/page"), nil)
		req.Header.Set("Cookie", "x=y; "+value)
		resp, err := client(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != first || resp.Header.Get("Set-Cookie") != "" {
			t.Fatalf("answered by %s with Set-Cookie %q, want %s and none", body, resp.Header.Get("Set-Cookie"), first)
		}
	}
}
