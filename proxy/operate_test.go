package proxy

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

func trust(networks ...string) func(*Config) {
	return func(c *Config) {
		for _, s := range networks {
			n, err := ParseNetwork(s)
			if err != nil {
				panic(err)
			}
			c.Trust = append(c.Trust, n)
		}
	}
}

func TestProxyProtocol(t *testing.T) {
	addr, heads := seen(t)
	p := start(t, func(c *Config) { trust("127.0.0.1")(c); c.Listen[0].ProxyProtocol = true }, addr)
	for _, version := range []byte{1, 2} {
		h := proxyproto.HeaderProxyFromAddrs(version, &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 5}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 80})
		raw, err := h.Format()
		if err != nil {
			t.Fatal(err)
		}
		contains(t, p.say(t, string(raw)+"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "200 OK")
		contains(t, <-heads, "X-Forwarded-For: 203.0.113.7\r\n")
	}
	// Without a header nothing is served.
	c, r := dial(t, p.Addr())
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if b, _ := io.ReadAll(r); len(b) > 0 {
		t.Errorf("answered %q", b)
	}
	// Nor to a stranger.
	stranger := start(t, func(c *Config) { trust("192.0.2.1")(c); c.Listen[0].ProxyProtocol = true }, addr)
	c, r = dial(t, stranger.Addr())
	io.WriteString(c, "PROXY TCP4 203.0.113.7 10.0.0.1 5 80\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if b, _ := io.ReadAll(r); len(b) > 0 {
		t.Errorf("a stranger was answered %q", b)
	}
}

func TestRedirectHTTPS(t *testing.T) {
	p := start(t, func(c *Config) { c.Listen[0].RedirectHTTPS = true }, rawBackend(t, answering("")))
	contains(t, p.say(t, "GET /a?b=c HTTP/1.1\r\nHost: shop.example:8080\r\n\r\n"), "HTTP/1.1 308 Permanent Redirect\r\n", "Location: https://shop.example/a?b=c\r\n")
}

func (p *running) admin(t testing.TB, method, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+p.AdminAddr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func TestAdmin(t *testing.T) {
	a, b := sessions(t, "a"), sessions(t, "b")
	p := start(t, nil, a, b)
	_, open, _ := get(t, p.url(polling))
	sid := sidOf(t, open)

	f := func(method, path string, status int, parts ...string) string {
		t.Helper()
		got, body := p.admin(t, method, path)
		if got != status {
			t.Errorf("%s %s: %d %s", method, path, got, body)
		}
		contains(t, body, parts...)
		lacks(t, body, sid) // session ids are shown hashed
		return body
	}
	f("GET", "/healthz", 200, "ok")
	f("GET", "/readyz", 200, `"ready": true`)
	f("GET", "/metrics", 200, `dsproxy_sessions_total{result="learned",rule="engine.io"} 1`, "dsproxy_build_info", `dsproxy_backend_state{backend="`+a+`",state="up"} 1`, "dsproxy_pins 1")
	f("GET", "/sessions?limit=0", 400, "limit")
	var shown struct{ Sessions []sessionView }
	if err := json.Unmarshal([]byte(f("GET", "/sessions", 200)), &shown); err != nil || len(shown.Sessions) != 1 {
		t.Fatalf("sessions: %v %v", shown, err)
	}
	f("GET", "/explain?key="+shown.Sessions[0].Session, 200, `"choice": "pin"`, shown.Sessions[0].Backend)
	f("GET", "/explain?key=short", 400, "32 hexadecimal")
	f("GET", "/explain?url="+url.QueryEscape(polling+"&sid="+sid), 200, `"rule": "engine.io"`, `"choice": "pin"`, "query sid")
	f("GET", "/explain?url="+url.QueryEscape("/x"), 200, `"choice": "new"`)
	f("GET", "/explain?url=x", 400, "url")
	f("POST", "/backends/nobody/drain", 404, "unknown")
	f("GET", "/nothing", 404)

	// A drained backend keeps its sessions and gets no new ones.
	f("POST", "/backends/"+url.PathEscape(shown.Sessions[0].Backend)+"/drain", 200, "draining")
	for range 20 {
		if _, open, _ := get(t, p.url(polling)); sidOf(t, open)[:1] == sid[:1] {
			t.Fatal("a draining backend got a new session")
		}
	}
	if status, body, _ := get(t, p.url(polling+"&sid="+sid)); status != 200 || body != "4"+sid[:1] {
		t.Errorf("a session of a draining backend: %d %s", status, body)
	}
	f("POST", "/backends/"+url.PathEscape(shown.Sessions[0].Backend)+"/undrain", 200)
	eventually(t, "new sessions again", func() bool {
		_, open, _ := get(t, p.url(polling))
		return sidOf(t, open)[:1] == sid[:1]
	})
}

// A stop fails readiness first, ends idle connections, lets requests finish
// and closes tunnels at the end of the time-out.
func TestDrain(t *testing.T) {
	held, waiting := make(chan struct{}), make(chan struct{}, 1)
	release := sync.OnceFunc(func() { close(held) })
	// What is to happen in the delay, and in the first half of the time-out, has the time to.
	p := start(t, func(c *Config) { c.Drain = Drain{Delay: 2 * time.Second, Timeout: 6 * time.Second} },
		rawBackend(t, func(c net.Conn, r *bufio.Reader) {
			for {
				h := readHead(r)
				switch {
				case h == "":
					return
				case strings.Contains(h, "Upgrade: websocket"):
					io.WriteString(c, switching)
					echo(c, r)
					return
				case strings.Contains(h, "/slow"):
					waiting <- struct{}{}
					<-held
				}
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		}))
	t.Cleanup(release) // or a test that has failed would not end
	tunnelConn, tunnelReader := dial(t, p.Addr())
	io.WriteString(tunnelConn, wsRequest)
	contains(t, readHead(tunnelReader), "101")
	idle, idleReader := dial(t, p.Addr())
	io.WriteString(idle, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	contains(t, readHead(idleReader), "200 OK")
	io.CopyN(io.Discard, idleReader, 2)
	slow, slowReader := dial(t, p.Addr())
	io.WriteString(slow, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	<-waiting

	stopped := make(chan error, 1)
	go func() { stopped <- p.stop() }()
	eventually(t, "readiness fails", func() bool { return !p.Readiness().Ready })
	if status, body := p.admin(t, "GET", "/readyz"); status != 503 || !strings.Contains(body, "shutting down") {
		t.Errorf("readyz: %d %s", status, body)
	}
	contains(t, p.say(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "200 OK") // still accepted in the delay
	if _, err := idleReader.ReadByte(); err != io.EOF {
		t.Errorf("the idle connection: %v", err)
	}
	io.WriteString(tunnelConn, "still here")
	b := make([]byte, 10)
	if _, err := io.ReadFull(tunnelReader, b); err != nil || string(b) != "still here" {
		t.Errorf("the tunnel: %q %v", b, err)
	}
	release()
	contains(t, readHead(slowReader), "200 OK", "Connection: close\r\n")
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := tunnelReader.ReadByte(); err == nil {
		t.Error("the tunnel outlived the drain")
	}
}

// A reload takes backends and limits over and closes nothing.
func TestReload(t *testing.T) {
	mk := func(name string) string {
		return rawBackend(t, func(c net.Conn, r *bufio.Reader) {
			for {
				h := readHead(r)
				switch {
				case h == "":
					return
				case strings.Contains(h, "Upgrade: websocket"):
					io.WriteString(c, switching)
					echo(c, r)
					return
				}
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%s", name)
			}
		})
	}
	a, b := mk("a"), mk("b")
	p := start(t, nil, a)
	c, r := dial(t, p.Addr())
	io.WriteString(c, wsRequest)
	contains(t, readHead(r), "101")
	keep, keepReader := dial(t, p.Addr())
	ask := func() string {
		io.WriteString(keep, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		readHead(keepReader)
		name, _ := keepReader.ReadByte()
		return string(name)
	}
	if got := ask(); got != "a" {
		t.Fatalf("answered by %q", got)
	}
	cfg := p.state.Load().cfg
	cfg.Backends = []string{b}
	if err := p.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new backend answers on the old connection", func() bool { return ask() == "b" })
	io.WriteString(c, "alive")
	got := make([]byte, 5)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "alive" {
		t.Errorf("the tunnel to the old backend: %q %v", got, err)
	}
	bad := cfg
	bad.Limits.HeadBytes = 0
	if err := p.Reload(bad); err == nil || !strings.Contains(err.Error(), "limits.head_bytes") {
		t.Errorf("a bad configuration: %v", err)
	}
	if got := ask(); got != "b" {
		t.Errorf("after a refused reload answered by %q", got)
	}
	fixed := cfg
	fixed.Admin, fixed.Timeouts.Idle, fixed.Log.Format = "127.0.0.1:1", time.Minute, "json"
	if err := p.Reload(fixed); err != nil {
		t.Error(err)
	}
	contains(t, p.log.String(), `"changed settings need a restart" settings="[admin timeouts.idle for HTTP/2 log.format]"`)
}

func TestAccessLog(t *testing.T) {
	p := start(t, func(c *Config) { c.Log.Access = true; c.Log.Level = "info" }, sessions(t, "a"))
	_, open, _ := get(t, p.url(polling))
	sid := sidOf(t, open)
	get(t, p.url(polling+"&sid="+sid))
	if resp, err := client(t).Post(p.url("/echo/000/"+sid+"/xhr"), "", nil); err == nil {
		resp.Body.Close()
	}
	eventually(t, "three lines", func() bool { return strings.Count(p.log.String(), "msg=request") == 3 })
	contains(t, p.log.String(), "rule=engine.io", "choice=new", "choice=pin", "status=200", "session=", "transport=polling", "path=/echo/...")
	lacks(t, p.log.String(), sid)
}
