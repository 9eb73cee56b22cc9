package proxy

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

const wsRequest = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

// echo returns what it gets, until the other side ends.
func echo(c net.Conn, r *bufio.Reader) {
	io.Copy(c, r)
	c.(*net.TCPConn).CloseWrite()
}

func TestUpgrade(t *testing.T) {
	// f: a backend, what the client sends at once, and all that it must get back.
	f := func(name string, backend backendFunc, sends, want string) {
		t.Run(name, func(t *testing.T) {
			p := start(t, nil, rawBackend(t, backend))
			c, r := dial(t, p.Addr())
			io.WriteString(c, sends)
			c.CloseWrite()
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(b); !strings.HasPrefix(got, "HTTP/1.1 101 ") || !strings.HasSuffix(got, "\r\n\r\n"+want) {
				t.Errorf("got\n%q\nwant a 101 and %q", got, want)
			}
			eventually(t, "the tunnel is closed", func() bool { return p.relay.Open() == 0 && p.conns.open.Load() == 0 })
		})
	}
	f("greeting in the 101's segment, and bytes sent with the upgrade",
		func(c net.Conn, r *bufio.Reader) {
			h := readHead(r)
			if h == "" {
				return // a health check
			}
			contains(t, h, "Connection: Upgrade\r\n", "Upgrade: websocket\r\n", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
			io.WriteString(c, switching+"greeting ")
			echo(c, r)
		}, wsRequest+"early bytes", "greeting early bytes")
	f("101 byte by byte",
		func(c net.Conn, r *bufio.Reader) {
			readHead(r)
			for i := range len(switching) {
				io.WriteString(c, switching[i:i+1])
			}
			echo(c, r)
		}, wsRequest+"x", "x")
	f("103 before the 101",
		func(c net.Conn, r *bufio.Reader) {
			readHead(r)
			io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n"+switching)
			echo(c, r)
		}, wsRequest+"y", "y")
	f("another protocol",
		func(c net.Conn, r *bufio.Reader) {
			if h := readHead(r); h != "" {
				contains(t, h, "Upgrade: custom/2\r\n")
			}
			io.WriteString(c, "HTTP/1.1 101 Go\r\nUpgrade: custom/2\r\nConnection: upgrade\r\n\r\n")
			echo(c, r)
		}, "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: custom/2\r\n\r\nz", "z")
}

func TestUpgradeRefused(t *testing.T) {
	f := func(name string, within time.Duration, backend backendFunc, want ...string) {
		t.Run(name, func(t *testing.T) {
			p := start(t, func(c *Config) { c.Timeouts.Upgrade = within; c.Health.Interval = time.Hour }, rawBackend(t, backend))
			c, r := dial(t, p.Addr())
			io.WriteString(c, wsRequest)
			head := readHead(r)
			contains(t, head, want...)
			if p.metric(t, "dsproxy_upgrades_total", "result=failed") != 1 {
				t.Error("the failed upgrade was not counted")
			}
		})
	}
	f("200 in place of 101 is relayed", patience, answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"), "HTTP/1.1 200 OK\r\n")
	f("403 is relayed", patience, answering("HTTP/1.1 403 Forbidden\r\nX-Why: origin\r\nContent-Length: 0\r\n\r\n"), "HTTP/1.1 403 Forbidden\r\n", "X-Why: origin\r\n")
	f("closed without a byte", patience, func(_ net.Conn, r *bufio.Reader) { readHead(r) }, "HTTP/1.1 502 Bad Gateway\r\n")
	f("silent", 50*time.Millisecond, func(_ net.Conn, r *bufio.Reader) { readHead(r); io.Copy(io.Discard, r) }, "HTTP/1.1 504 Gateway Timeout\r\n")

	t.Run("dead backend", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
		p := start(t, nil, ln.Addr().String())
		contains(t, p.say(t, wsRequest), "HTTP/1.1 50")
	})
	t.Run("unknown session, closed without a byte", func(t *testing.T) { // engine.io 1.6
		p := start(t, nil, rawBackend(t, func(_ net.Conn, r *bufio.Reader) { readHead(r) }))
		got := p.say(t, strings.Replace(wsRequest, "/ws", "/engine.io/?EIO=3&transport=websocket&sid=nobody", 1))
		contains(t, got, "HTTP/1.1 400 Bad Request\r\n", "upgrade_refused")
		if p.metric(t, "dsproxy_sessions_stuck_on_polling_total") != 1 {
			t.Error("the session stuck on polling was not counted")
		}
	})
}

// A body makes no sense on an upgrade; it must not become tunnel bytes.
func TestUpgradeWithBody(t *testing.T) {
	p := start(t, nil, rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		body := make([]byte, 4)
		io.ReadFull(r, body)
		io.WriteString(c, switching+string(body)+" ")
		echo(c, r)
	}))
	got := p.say(t, "POST /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 4\r\n\r\nbodytunnel")
	contains(t, got, "101 Switching", "\r\n\r\nbody tunnel")
}

// A backend that switches before it has the body gets no tunnel: the rest of
// the body would be taken for the new protocol's bytes.
func TestUpgradeBeforeTheBodyEnds(t *testing.T) {
	p := start(t, nil, rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		if readHead(r) != "" {
			io.WriteString(c, switching)
			io.Copy(io.Discard, r)
		}
	}))
	c, r := dial(t, p.Addr())
	io.WriteString(c, "POST /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 100\r\n\r\nbody")
	contains(t, readHead(r), "HTTP/1.1 502 ", "Connection: close\r\n")
}

func TestTunnelIdle(t *testing.T) {
	p := start(t, func(c *Config) { c.Timeouts.TunnelIdle = 20 * time.Millisecond }, rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		io.WriteString(c, switching)
		echo(c, r)
	}))
	c, r := dial(t, p.Addr())
	io.WriteString(c, wsRequest)
	contains(t, readHead(r), "101")
	if _, err := r.ReadByte(); err == nil {
		t.Error("the idle tunnel stayed open")
	}
	eventually(t, "the limit is counted", func() bool { return p.metric(t, "dsproxy_limit_hits_total", "limit="+limitTunnelIdle) == 1 })
}
