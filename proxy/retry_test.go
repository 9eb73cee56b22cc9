package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dsproxy/dsproxy/proxy/http1"
)

// closedPort is an address that refuses connections.
func closedPort(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// A request of which no backend has seen a byte goes to the next, whatever it is.
func TestDialErrorGoesToTheNextBackend(t *testing.T) {
	p := start(t, func(c *Config) { c.Health.Interval = time.Hour }, closedPort(t), httpBackend(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.Method, b)
	}))
	for range 10 {
		resp, err := client(t).Post(p.url("/"), "text/plain", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || string(b) != "POST body" {
			t.Fatalf("answered %d %q", resp.StatusCode, b)
		}
	}
}

// dying is a backend that answers the first request of each connection and,
// at the second, closes without an answer: as a kept connection does whose
// time-out ends in that very moment. It counts the requests it has seen.
func dying(t testing.TB, seen *atomic.Int64) string {
	return rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		for n := 0; ; n++ {
			h := readHead(r)
			if h == "" {
				return
			}
			seen.Add(1)
			if n > 0 {
				return
			}
			body := `0{"sid":"abc","pingInterval":25000,"pingTimeout":20000}`
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
	})
}

// idle is the number of connections to backends that are kept.
func (p *running) idle() (n int) {
	p.upstreams.byID.Range(func(_, up any) bool { n += up.(*upstream).pool.Idle(); return true })
	return n
}

func TestStaleConnection(t *testing.T) {
	// f: the second request on a connection that dies under it.
	f := func(name, method, path, body string, status int, sent int64) {
		t.Run(name, func(t *testing.T) {
			var seen atomic.Int64
			p := start(t, nil, dying(t, &seen))
			get(t, p.url(polling)) // makes session abc, and a connection to keep
			eventually(t, "it is kept", func() bool { return p.idle() == 1 })
			req, _ := http.NewRequest(method, p.url(path), nil)
			if body != "" {
				req, _ = http.NewRequest(method, p.url(path), strings.NewReader(body))
			}
			resp, err := client(t).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != status || seen.Load()-1 != sent {
				t.Errorf("answered %d after being sent %d times, want %d after %d", resp.StatusCode, seen.Load()-1, status, sent)
			}
		})
	}
	f("a GET is sent again", "GET", "/", "", 200, 2)
	f("a HEAD is sent again", "HEAD", "/", "", 200, 2)
	f("a DELETE is not", "DELETE", "/", "", 502, 1)
	f("a POST is not", "POST", "/", "x", 502, 1)
	f("a poll is not: it would destroy its session", "GET", polling+"&sid=abc", "", 502, 1)
}

// An idle connection that its backend has closed is not used.
func TestClosedIdleConnectionIsNotUsed(t *testing.T) {
	var requests atomic.Int64
	closed := make(chan struct{}, 16)
	p := start(t, nil, rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		h := readHead(r)
		if h == "" {
			return
		}
		requests.Add(1)
		_, length, _ := strings.Cut(h, "Content-Length: ")
		n, _ := strconv.Atoi(length[:strings.IndexByte(length, '\r')])
		if got, err := io.CopyN(io.Discard, r, int64(n)); err != nil {
			t.Errorf("%d bytes of a body of %d came", got, n)
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		c.Close()
		closed <- struct{}{}
	}))
	for i := range 5 {
		// Small bodies wait with their head in one buffer; of large ones nothing may be taken before the look.
		resp, err := client(t).Post(p.url("/"), "text/plain", strings.NewReader(strings.Repeat("never twice", 1+i%2*10_000)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if i < 4 {
			eventually(t, "the connection is kept", func() bool { return p.idle() == 1 })
		}
		if resp.StatusCode != 200 {
			t.Fatalf("request %d was answered %d", i, resp.StatusCode)
		}
		<-closed
	}
	if n := requests.Load(); n != 5 {
		t.Errorf("%d requests were sent, want 5", n)
	}
}

// Where no backend can be reached the client is told, with the id to ask about.
func TestNoBackend(t *testing.T) {
	p := start(t, nil, closedPort(t))
	eventually(t, "the check has failed", func() bool { return p.pool.Set().Usable() == 0 })
	status, body, h := get(t, p.url("/"))
	if status != 503 || h.Get("X-Request-Id") == "" || h.Get("Retry-After") == "" {
		t.Errorf("answered %d %v", status, h)
	}
	contains(t, body, "no_backend", "request id: "+h.Get("X-Request-Id"))
}

// Trouble of this machine says nothing of a backend, nor of its sessions.
func TestOwnTroubleIsNotTheBackends(t *testing.T) {
	for _, err := range []error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.ENOBUFS, syscall.ENOMEM} {
		if !isOurs(&http1.DialError{Addr: "a:1", Err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", err)}}) {
			t.Errorf("%v is taken for the backend's", err)
		}
	}
	if isOurs(&http1.DialError{Addr: "a:1", Err: syscall.ECONNREFUSED}) {
		t.Error("a refused connection is taken for our own trouble")
	}
}
