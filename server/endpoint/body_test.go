package endpoint

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestBoundBody: a body that does not come ends its connection, whether a handler
// wants it or not, and a poll beside it goes on.
func TestBoundBody(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(BoundBody(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/read":
			if _, err := io.ReadAll(r.Body); err == nil {
				t.Error("a body that never came was read")
			}
		case "/poll":
			select {
			case <-release:
				_, _ = io.WriteString(w, "news")
			case <-r.Context().Done():
				t.Error("the poll ended before its time")
			}
		}
	}), 50*time.Millisecond))
	t.Cleanup(s.Close) // after the connections
	start := func(head string) net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.WriteString(c, head); err != nil {
			t.Fatal(err)
		}
		return c
	}
	poll := start("GET /poll HTTP/1.1\r\nHost: x\r\n\r\n")
	for _, head := range []string{
		"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
		"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
		"GET /other HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		if _, err := io.ReadAll(start(head)); err != nil {
			t.Errorf("%q: %v", head, err)
		}
	}
	close(release)
	resp, err := http.ReadResponse(bufio.NewReader(poll), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "news" {
		t.Errorf("the poll got %q, %v", b, err)
	}
}
