package backend

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// answering listens until the test ends, and answers each connection with what
// serve does.
func answering(t *testing.T, serve func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

// saying answers with a text, when the head of a request has come.
func saying(text string) func(net.Conn) {
	return func(c net.Conn) {
		buf := make([]byte, 4096)
		if _, err := c.Read(buf); err == nil {
			_, _ = io.WriteString(c, text)
		}
	}
}

// unused returns an address that nobody listens on.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// checkOnce runs one check the way a Pool does.
func checkOnce(t *testing.T, c Config, b Backend) error {
	t.Helper()
	p, err := NewPool(c, Deps{}, NewStatic([]Backend{b}))
	if err != nil {
		t.Fatal(err)
	}
	s := p.settings.Load()
	ctx, cancel := context.WithTimeout(t.Context(), s.Timeout)
	defer cancel()
	return p.check(ctx, b, s.tlsFor(b), s)
}

func TestCheckByConnecting(t *testing.T) {
	c := Defaults()
	c.Timeout = 30 * time.Second
	if err := checkOnce(t, c, Backend{Addr: answering(t, func(net.Conn) {})}); err != nil {
		t.Errorf("of a listener: %v", err)
	}
	err := checkOnce(t, c, Backend{Addr: unused(t)})
	if err == nil || briefly(err) != "dial: connection refused" {
		t.Errorf("of nobody: %v", err)
	}
}

func TestCheckByRequest(t *testing.T) {
	f := func(status, answer, want string) {
		t.Helper()
		c := Defaults()
		c.Path, c.Status, c.Timeout = "/health?x=1", status, 30*time.Second
		err := checkOnce(t, c, Backend{Addr: answering(t, saying(answer))})
		if got := fmt.Sprint(err); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", answer, got, want)
		}
	}
	f("200-399", "HTTP/1.1 200 OK\r\n\r\n", "<nil>")
	f("200-399", "HTTP/1.0 302 Found\r\nLocation: /\r\n\r\n", "<nil>")
	f("200-399", "HTTP/1.1 404 Not Found\r\n\r\n", "status 404, want 200-399")
	f("200,404", "HTTP/1.1 404 Not Found\r\n\r\n", "<nil>")
	f("200,404", "HTTP/1.1 204 No Content\r\n\r\n", "status 204, want 200,404")
	f("200-399", "HTTP/1.1 503 Unavailable\r\nContent-Length: 100\r\n\r\nslow body", "status 503, want 200-399")
	f("200-399", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "<nil>")
	f("200-399", "", "read answer: unexpected EOF")
	f("200-399", "SSH-2.0-OpenSSH\r\n", "read answer: malformed HTTP response")
	f("200-399", "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", maxCheckHead)+"\r\n\r\n", "read answer: unexpected EOF")
	f("200-399", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 2000), "read answer: unexpected EOF")
}

func TestCheckTakesNoLongerThanItsTimeout(t *testing.T) {
	release := make(chan struct{})
	addr := answering(t, func(net.Conn) { <-release })
	defer close(release)
	c := Defaults()
	c.Path, c.Timeout = "/", 200*time.Millisecond
	err := checkOnce(t, c, Backend{Addr: addr})
	if err == nil || !strings.HasPrefix(err.Error(), "no success within 200ms: ") || !strings.HasSuffix(briefly(err), ": i/o timeout") {
		t.Errorf("%v", err)
	}
}

func TestCheckAsksForWhatIsConfigured(t *testing.T) {
	f := func(host string, b Backend, want string) {
		t.Helper()
		seen := make(chan string, 1)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen <- fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Host, " ", r.Close, " ", r.UserAgent())
		}))
		defer srv.Close()
		c := Defaults()
		c.Path, c.Host, c.Timeout = "/health?full=1", host, 30*time.Second
		b.Addr = srv.Listener.Addr().String()
		if err := checkOnce(t, c, b); err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(b.Addr)
		if got := strings.ReplaceAll(<-seen, port, "PORT"); got != "GET /health?full=1 "+want+" true dsproxy-check" {
			t.Errorf("asked %q", got)
		}
	}
	f("", Backend{}, "127.0.0.1:PORT")
	f("node.example.com", Backend{}, "node.example.com")
	f("", Backend{ServerName: "example.com"}, "example.com:PORT")
}

func TestCheckVerifiesCertificates(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(path, file, name string, insecure bool, want string) {
		t.Helper()
		c := Defaults()
		c.Path, c.CAFile, c.InsecureSkipVerify, c.Timeout = path, file, insecure, 30*time.Second
		err := checkOnce(t, c, Backend{Addr: srv.Listener.Addr().String(), TLS: true, ServerName: name})
		if got := fmt.Sprint(err); !strings.HasPrefix(got, want) {
			t.Errorf("%q %q %q %v: %s, want %s", path, file, name, insecure, got, want)
		}
	}
	f("", ca, "", false, "<nil>") // its certificate names 127.0.0.1 too
	f("/", ca, "example.com", false, "<nil>")
	f("", ca, "other.org", false, "TLS handshake: tls: failed to verify certificate: x509: certificate is valid for example.com")
	f("/", "", "example.com", false, "TLS handshake: tls: failed to verify certificate: x509:")
	f("/", "", "other.org", true, "<nil>")
}

// TestListenerDiesAndComesBack checks real sockets with a real clock; what it
// waits for are changes, not times.
func TestListenerDiesAndComesBack(t *testing.T) {
	f := func(path string) {
		t.Helper()
		srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		addr := srv.Listener.Addr().String()
		changes := make(chan Change, 100)
		c := Defaults()
		c.Path, c.Interval, c.Timeout = path, 10*time.Millisecond, 10*time.Second
		p, err := NewPool(c, Deps{OnChange: func(c Change) { changes <- c }}, static(addr))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		expect := func(to State) {
			t.Helper()
			select {
			case c := <-changes:
				if c.To != to {
					t.Fatalf("%q: %v -> %v (%s), want to %v", path, c.From, c.To, c.Reason, to)
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("%q: no change to %v", path, to)
			}
		}
		expect(Up)
		srv.Close()
		expect(Down)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		srv = httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		srv.Listener.Close()
		srv.Listener = l
		srv.Start()
		expect(Up)
		m, _ := p.Set().Get(addr)
		if m.Reason != "2 checks passed" {
			t.Errorf("%q: up because %s", path, m.Reason)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		srv.Close()
	}
	f("")
	f("/")
}
