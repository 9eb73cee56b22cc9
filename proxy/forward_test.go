package proxy

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
)

// seen is a backend that answers 200 and keeps the head it got.
func seen(t *testing.T) (addr string, heads chan string) {
	heads = make(chan string, 16)
	return rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for {
			h := readHead(r)
			if h == "" {
				return
			}
			heads <- h
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}), heads
}

func TestRequestHead(t *testing.T) {
	addr, heads := seen(t)
	plain := start(t, nil, addr)
	trusting := start(t, func(c *Config) {
		n, err := ParseNetwork("127.0.0.0/8")
		if err != nil {
			t.Fatal(err)
		}
		c.Trust = []Network{n}
	}, addr)

	f := func(p *running, request string, want []string, not []string) {
		t.Helper()
		contains(t, p.say(t, request), "HTTP/1.1 200 OK\r\n", "\r\n\r\nok")
		h := <-heads
		contains(t, h, want...)
		lacks(t, h, not...)
	}
	const h = "Host: example.org\r\n"

	// What speaks of one connection stays there.
	f(plain, "GET /a?b HTTP/1.1\r\n"+h+"Connection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: Basic eA==\r\nTE: gzip\r\nAccept: */*\r\n\r\n",
		[]string{"GET /a?b HTTP/1.1\r\n", "Host: example.org\r\n", "Accept: */*\r\n"},
		[]string{"X-Mine", "Keep-Alive", "Proxy-", "TE:", "Connection:", "close"})
	// A client cannot have the proxy drop what the backend decides by.
	f(plain, "GET / HTTP/1.1\r\n"+h+"Connection: authorization, Cookie, X-Forwarded-For, host, X-Api-Key\r\nAuthorization: Bearer t\r\nCookie: a=b\r\nX-Api-Key: k\r\n\r\n",
		[]string{"Authorization: Bearer t\r\n", "Cookie: a=b\r\n", "X-Forwarded-For: 127.0.0.1\r\n", "X-Api-Key: k\r\n", "Host: example.org\r\n"}, nil)
	// Forwarding headers of strangers are replaced, in every spelling.
	forged := "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\n"
	f(plain, "GET / HTTP/1.1\r\n"+h+forged+"\r\n",
		[]string{"X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Proto: http\r\n", "X-Forwarded-Host: example.org\r\n", "X-Forwarded-Port: " + plain.listeners[0].port + "\r\n", "Forwarded: for=127.0.0.1;proto=http;host=\"example.org\"\r\n"},
		[]string{"6.6.6.6", "evil", "https"})
	// Those of a trusted balancer are kept and continued.
	f(trusting, "GET / HTTP/1.1\r\n"+h+"X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\nX-Forwarded-Port: 443\r\nForwarded: for=9.9.9.9\r\n\r\n",
		[]string{"X-Forwarded-For: 9.9.9.9, 8.8.8.8, 127.0.0.1\r\n", "X-Forwarded-Proto: https\r\n", "X-Forwarded-Host: shop.example\r\n", "X-Forwarded-Port: 443\r\n", "Forwarded: for=9.9.9.9, for=127.0.0.1;"}, nil)
	// Tracing passes; a request id is made where there is none.
	f(plain, "GET / HTTP/1.1\r\n"+h+"X-Amzn-Trace-Id: Root=1\r\ntraceparent: 00-a-b-01\r\nX-Request-Id: mine\r\n\r\n",
		[]string{"X-Amzn-Trace-Id: Root=1\r\n", "traceparent: 00-a-b-01\r\n", "X-Request-Id: mine\r\n"}, nil)
	f(plain, "GET / HTTP/1.1\r\n"+h+"\r\n", []string{"X-Request-Id: "}, nil)
	// Absolute form becomes origin form; HTTP/1.0 becomes 1.1.
	f(plain, "GET http://example.org/x?y HTTP/1.1\r\n"+h+"\r\n", []string{"GET /x?y HTTP/1.1\r\n"}, nil)
	f(plain, "GET / HTTP/1.0\r\n"+h+"\r\n", []string{"GET / HTTP/1.1\r\n"}, nil)
	// Handshakes are asked for in the clear, other requests are left alone.
	f(plain, "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\n"+h+"Accept-Encoding: gzip\r\n\r\n", []string{"Accept-Encoding: identity\r\n"}, []string{"gzip"})
	f(plain, "GET / HTTP/1.1\r\n"+h+"Accept-Encoding: gzip\r\n\r\n", []string{"Accept-Encoding: gzip\r\n"}, []string{"identity"})
	// The way past the proxy that h2c would open stays shut.
	f(plain, "GET / HTTP/1.1\r\n"+h+"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", nil, []string{"h2c", "HTTP2-Settings", "Upgrade"})
	f(plain, "GET / HTTP/1.1\r\n"+h+"TE: trailers\r\nConnection: TE\r\n\r\n", []string{"TE: trailers\r\n"}, nil)
}

func TestAnswers(t *testing.T) {
	f := func(name, answer, request string, want []string, not []string) {
		t.Run(name, func(t *testing.T) {
			p := start(t, nil, rawBackend(t, func(c net.Conn, r *bufio.Reader) {
				readHead(r)
				io.WriteString(c, answer)
			}))
			got := p.say(t, request)
			contains(t, got, want...)
			lacks(t, got, not...)
		})
	}
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	f("length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", get, []string{"HTTP/1.1 200 OK\r\n", "Content-Length: 5\r\n", "\r\n\r\nhello"}, nil)
	f("chunked without extensions, with trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=\"x\"\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n", get,
		[]string{"Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n"}, []string{"ext"})
	f("chunked to HTTP/1.0", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		[]string{"\r\n\r\nhello", "Connection: close\r\n"}, []string{"chunked", "5\r\n"})
	f("until close becomes chunked", "HTTP/1.1 200 OK\r\n\r\nhello", get, []string{"Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"}, nil)
	f("head", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", []string{"Content-Length: 500\r\n"}, []string{"chunked"})
	f("204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", get, []string{"HTTP/1.1 204 No Content\r\n"}, []string{"Content-Length"})
	f("204", "HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n", get, []string{"HTTP/1.1 204 No Content\r\n", "X: 1\r\n"}, []string{"Content-Length", "chunked"})
	f("304 keeps its length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", get, []string{"304", "Content-Length: 9\r\n"}, nil)
	f("103 then 200", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", get, []string{"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"}, nil)
	f("103 is not for HTTP/1.0", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", []string{"200 OK"}, []string{"103"})
	f("hop-by-hop fields of the answer", "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n", get,
		[]string{"Set-Cookie: a=1\r\n", "Set-Cookie: b=2\r\n"}, []string{"X-Hop", "Keep-Alive"})
	f("not HTTP", "SSH-2.0-x\r\n\r\n", get, []string{"HTTP/1.1 502 Bad Gateway\r\n", "backend_answer_invalid", "request id: "}, nil)
	f("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", get, []string{"502", "backend_answer_invalid"}, nil)
	f("nothing", "", get, []string{"HTTP/1.1 502 Bad Gateway\r\n", "backend_closed"}, nil)
	f("cut body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel", get, []string{"Content-Length: 10\r\n", "hel"}, []string{"502"})
}

func TestKeepAliveBothWays(t *testing.T) {
	conns := make(chan struct{}, 16)
	p := start(t, func(c *Config) { c.Health.Interval = patience }, rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for first := true; ; first = false {
			if readHead(r) == "" {
				return
			}
			if first {
				conns <- struct{}{}
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}))
	c, r := dial(t, p.Addr())
	for range 5 {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		contains(t, readHead(r), "200 OK")
		io.CopyN(io.Discard, r, 2)
	}
	if len(conns) != 1 {
		t.Errorf("5 requests used %d connections to the backend, want 1", len(conns))
	}
	// Pipelined requests are answered in their order.
	io.WriteString(c, strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 3))
	for range 3 {
		contains(t, readHead(r), "200 OK")
		io.CopyN(io.Discard, r, 2)
	}
}

// After a request whose framing is in doubt nothing more is taken from the connection.
func TestDoubtfulFramingEndsTheConnection(t *testing.T) {
	addr, heads := seen(t)
	p := start(t, nil, addr)
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, bad := range []string{
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n",
		"GET / HTTP/1.1\nHost: x\n\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
	} {
		got := p.say(t, bad+smuggled)
		if !strings.HasPrefix(got, "HTTP/1.1 4") && !strings.HasPrefix(got, "HTTP/1.1 5") || strings.Count(got, "HTTP/1.1 ") != 1 {
			t.Errorf("%q was answered\n%s", bad, got)
		}
		contains(t, got, "Connection: close\r\n")
	}
	// In a body the backend may already have seen the head; still, nothing follows.
	got := p.say(t, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"+smuggled)
	if strings.Count(got, "HTTP/1.1 ") > 1 {
		t.Errorf("a request after a broken chunk was answered:\n%s", got)
	}
	close(heads)
	for h := range heads {
		lacks(t, h, "/smuggled")
	}
}
