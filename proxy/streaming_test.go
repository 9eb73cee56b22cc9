package proxy

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Events pass as they come: the second is sent only when the first has arrived.
func TestEventsAreFlushed(t *testing.T) {
	next := make(chan struct{})
	p := start(t, nil, httpBackend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	}))
	resp, err := client(t).Get(p.url("/events"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for i := range 3 {
		for lines.Scan() && lines.Text() == "" {
		}
		if want := fmt.Sprintf("data: %d", i); lines.Text() != want {
			t.Fatalf("got %q, want %q", lines.Text(), want)
		}
		next <- struct{}{}
	}
}

// Both directions stream at once: each piece of the request is answered before
// the next is sent.
func TestBothDirectionsAtOnce(t *testing.T) {
	p := start(t, nil, rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		if readHead(r) == "" {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			size, err := r.ReadString('\n')
			if err != nil || strings.HasPrefix(size, "0") {
				io.WriteString(c, "0\r\n\r\n")
				return
			}
			data, _ := r.ReadString('\n')
			io.WriteString(c, size+data)
		}
	}))
	c, r := dial(t, p.Addr())
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	contains(t, readHead(r), "200 OK")
	for i := range 5 {
		fmt.Fprintf(c, "2\r\n%02d\r\n", i)
		if got, _ := r.ReadString('\n'); got != "2\r\n" {
			t.Fatalf("got %q", got)
		}
		if got, _ := r.ReadString('\n'); got != fmt.Sprintf("%02d\r\n", i) {
			t.Fatalf("got %q", got)
		}
	}
	io.WriteString(c, "0\r\n\r\n")
	rest := make([]byte, 5)
	if _, err := io.ReadFull(r, rest); err != nil || string(rest) != "0\r\n\r\n" {
		t.Fatalf("end: %q %v", rest, err)
	}
}

func TestContinueIsPassed(t *testing.T) {
	p := start(t, nil, rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		h := readHead(r)
		if h == "" {
			return
		}
		contains(t, h, "Expect: 100-continue\r\n")
		io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
		body := make([]byte, 4)
		io.ReadFull(r, body)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n%s", body)
	}))
	c, r := dial(t, p.Addr())
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	contains(t, readHead(r), "HTTP/1.1 100 Continue\r\n")
	io.WriteString(c, "body")
	contains(t, readHead(r), "HTTP/1.1 200 OK\r\n")
}

// An answer that comes before the body has ended reaches the client, and the
// connection, with the rest of the body on it, is not used again.
func TestEarlyAnswer(t *testing.T) {
	p := start(t, nil, rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		if readHead(r) != "" {
			io.WriteString(c, "HTTP/1.1 413 Too Big\r\nContent-Length: 3\r\n\r\nbig")
			io.Copy(io.Discard, r)
		}
	}))
	c, r := dial(t, p.Addr())
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\npart")
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, string(b), "HTTP/1.1 413 Too Big\r\n", "Connection: close\r\n", "\r\n\r\nbig")
}

// A body that comes behind its head, and ends in the moment of its answer,
// costs neither connection.
func TestBodyBehindItsHead(t *testing.T) {
	p := start(t, nil, httpBackend(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%03d", n)
	}))
	c, r := dial(t, p.Addr())
	for i := range 300 {
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
		if i%3 == 0 {
			eventually(t, "the head is at the backend", func() bool { return p.pool.Snapshot()[0].InFlight == 1 })
		}
		io.WriteString(c, strings.Repeat("x", 100))
		h := readHead(r)
		body := make([]byte, 3)
		if _, err := io.ReadFull(r, body); err != nil || string(body) != "100" {
			t.Fatalf("request %d: %q after\n%s%v", i, body, h, err)
		}
		if strings.Contains(h, "Connection: close") { // a slow machine: allowed, not liked
			c.Close()
			c, r = dial(t, p.Addr())
		}
	}
}

// A large body arrives whole, both ways.
func TestLargeBodies(t *testing.T) {
	p := start(t, nil, httpBackend(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body)
	}))
	const size = 200 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	in, out := sha256.New(), sha256.New()
	body := io.TeeReader(io.LimitReader(&counting{}, size), in)
	req, _ := http.NewRequest("POST", p.url("/"), body)
	c := client(t)
	c.Timeout = 10 * patience // which is for all of it
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(out, resp.Body)
	if err != nil || n != size || !bytes.Equal(in.Sum(nil), out.Sum(nil)) {
		t.Errorf("%d bytes came back, error %v", n, err)
	}
	// The heap never grew by more than a part of the body.
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 32<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

type counting struct{ n byte }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		c.n = c.n*31 + 7
		p[i] = c.n
	}
	return len(p), nil
}

// A client that takes nothing for too long is cut off, and counted.
func TestClientThatTakesNothing(t *testing.T) {
	p := start(t, func(c *Config) { c.Timeouts.Idle = 100 * time.Millisecond }, rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		if readHead(r) != "" {
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			io.Copy(c, &counting{})
		}
	}))
	c, r := dial(t, p.Addr())
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	contains(t, readHead(r), "200 OK")
	eventually(t, "the answer is cut", func() bool { return p.metric(t, "dsproxy_limit_hits_total", "limit="+limitIdleTime) == 1 })
}

// A client that takes nothing stops the backend: what is in between is bounded.
func TestStoppedClientStopsTheBackend(t *testing.T) {
	var sent atomic.Int64
	p := start(t, nil, rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		if readHead(r) == "" {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 524288000\r\n\r\n")
		block := make([]byte, 64<<10)
		for {
			n, err := c.Write(block)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	c, r := dial(t, p.Addr())
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	contains(t, readHead(r), "200 OK")
	// The backend stands still when the buffers of both sockets are full.
	last, still := int64(-1), 0
	eventually(t, "the backend stands still", func() bool {
		if now := sent.Load(); now == last && now > 0 {
			still++
		} else {
			last, still = now, 0
		}
		return still > 40
	})
	if last > 100<<20 {
		t.Errorf("%d MiB left the backend while the client took nothing", last>>20)
	}
}

// A client that closes its sending side still gets its answer.
func TestHalfClosedClientIsAnswered(t *testing.T) {
	release := make(chan struct{})
	p := start(t, nil, rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		if readHead(r) != "" {
			<-release
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
		}
	}))
	c, r := dial(t, p.Addr())
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	c.CloseWrite()
	eventually(t, "the request waits", func() bool { return p.pool.Snapshot()[0].InFlight == 1 })
	close(release)
	b, _ := io.ReadAll(r)
	contains(t, string(b), "200 OK", "late")
}

// A client that leaves while its poll is pending is not kept from the backend.
func TestClientLeaves(t *testing.T) {
	closed := make(chan struct{})
	p := start(t, func(c *Config) { c.Timeouts.HalfClose = time.Millisecond }, rawBackend(t, func(_ net.Conn, r *bufio.Reader) {
		if readHead(r) != "" {
			io.Copy(io.Discard, r) // until the proxy closes
			close(closed)
		}
	}))
	c, _ := dial(t, p.Addr())
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, "the request waits", func() bool { return p.pool.Snapshot()[0].InFlight == 1 })
	c.Close()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Error("the backend was never told")
	}
}
