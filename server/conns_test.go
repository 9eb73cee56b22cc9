package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/dsproxy/dsproxy/server/session"
)

// TestHTTPConns: a connection too many is closed, and those that are there go on.
func TestHTTPConns(t *testing.T) {
	hits := make(chan session.Limit, 10)
	limit := &httpConns{max: 1, hit: func(l session.Limit) { hits <- l }}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ConnState = limit.state
	s.Start()
	defer s.Close()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	works := func(c net.Conn) bool {
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		return err == nil && resp.StatusCode == http.StatusOK
	}
	first := dial()
	if !works(first) {
		t.Fatal("the first does not work")
	}
	if works(dial()) {
		t.Error("the second was served")
	}
	if l := <-hits; l != session.LimitConnections {
		t.Errorf("hit %v", l)
	}
	if !works(first) {
		t.Error("the first works no more")
	}
	_ = first.Close()
	waitFor(t, "room", func() bool { return limit.open.Load() == 0 })
	if !works(dial()) {
		t.Error("there is no room after one left")
	}
}

// TestHTTPConnsOfClients: those who became clients do not count twice.
func TestHTTPConnsOfClients(t *testing.T) {
	s := startNode(t, nil)
	dial(t, s, "al")
	if n := s.httpConns.open.Load(); n != 0 {
		t.Errorf("%d connections of HTTP", n)
	}
}
