package endpoint

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"github.com/dsproxy/dsproxy/server/session"
)

// entrance is a node with a Door, and one without for comparison.
type entrance struct {
	*node
	door     *httptest.Server
	socket   *WebSocket
	passed   atomic.Int32 // requests that net/http saw behind the Door
	inside   atomic.Int32 // connections that the Door has to do with
	refusing atomic.Bool
}

func startEntrance(t *testing.T, timeout time.Duration) *entrance {
	t.Helper()
	n := startNode(t, 1)
	e := &entrance{node: n, socket: n.server.Config.Handler.(*WebSocket)}
	e.door = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.passed.Add(1)
		e.socket.ServeHTTP(w, r)
	}))
	var err error
	e.door.Listener, err = NewDoor(e.door.Listener.(*net.TCPListener), DoorConfig{
		Loops: n.loops, HeaderTimeout: timeout, Log: slog.New(slog.DiscardHandler),
		Find: func(r *http.Request) *WebSocket {
			if r.URL.Path != "/" {
				return nil
			}
			return e.socket
		},
		Enter: func() bool { e.inside.Add(1); return !e.refusing.Load() },
		Leave: func() { e.inside.Add(-1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	e.door.Start()
	t.Cleanup(e.door.Close)
	return e
}

func dialTCP(t *testing.T, s *httptest.Server) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c.(*net.TCPConn)
}

// hello is a handshake, changed by pairs of old and new text.
func hello(changes ...string) string {
	return strings.NewReplacer(changes...).Replace("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
}

// TestDoor: a client that asks plainly is served without net/http, and leaves nothing
// behind.
func TestDoor(t *testing.T) {
	e := startEntrance(t, time.Minute)
	c := dialTCP(t, e.door)
	if _, err := io.WriteString(c, hello()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("%v, %v", resp, err)
	}
	_ = c.Close()
	before := e.taken()
	ws, _, err := websocket.DefaultDialer.Dial(strings.Replace(e.door.URL, "http", "ws", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	a := &client{ws, t}
	a.write("C|CHR|x+A|REQ|{}+")
	a.read("A|A+")
	a.write(event("one"))
	a.read(event("one"))
	if n := e.passed.Load(); n != 0 {
		t.Errorf("net/http saw %d requests", n)
	}
	if n := e.inside.Load(); n != 0 {
		t.Errorf("%d clients count as guests", n)
	}
	_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	a.closed(websocket.CloseNormalClosure)
	await(t, "the end of both", func() bool { return e.taken() <= before && e.socket.Sessions.Len() == 0 })
}

// TestDoorPasses: whatever is not plain gets the answer that it gets without a Door.
func TestDoorPasses(t *testing.T) {
	e := startEntrance(t, time.Minute)
	for name, said := range map[string]string{
		"no WebSocket":      "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"body":              "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
		"body of a GET":     hello("Host: x", "Host: x\r\nContent-Length: 2"),
		"HTTP/1.0":          hello("HTTP/1.1", "HTTP/1.0"),
		"no host":           hello("Host: x\r\n", ""),
		"origin":            hello("Host: x", "Host: x\r\nOrigin: http://bad"),
		"allowed origin":    hello("Host: x", "Host: x\r\nOrigin: http://good"),
		"version":           hello(": 13", ": 8"),
		"no key":            hello("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
		"short key":         hello("dGhlIHNhbXBsZSBub25jZQ==", "dGhl"),
		"method":            hello("GET", "PUT"),
		"no HTTP":           "hello\r\n\r\n",
		"control character": hello("Host: x", "Host: x\r\nX-A: \x01"),
		"long":              hello("Host: x", "Host: x\r\nX-A: "+strings.Repeat("a", maxHead)),
		"other path, too":   hello("GET /", "GET /other"),
	} {
		t.Run(name, func(t *testing.T) {
			answer := func(s *httptest.Server) string {
				c := dialTCP(t, s)
				if _, err := io.WriteString(c, said); err != nil {
					t.Fatal(err)
				}
				line, err := bufio.NewReader(c).ReadString('\n')
				return fmt.Sprint(line, err)
			}
			if with, without := answer(e.door), answer(e.server); with != without {
				t.Errorf("the answer is %q with a Door, %q without", with, without)
			}
		})
	}
	await(t, "the Door to let go of them", func() bool { return e.inside.Load() == 0 })
}

// TestDoorPieces: a handshake may come in pieces.
func TestDoorPieces(t *testing.T) {
	e := startEntrance(t, time.Minute)
	c := dialTCP(t, e.door)
	for _, piece := range strings.SplitAfter(hello(), "\r\n") {
		if _, err := io.WriteString(c, piece); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // for pieces of their own, as a rule
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", resp, err)
	}
	if n := e.passed.Load(); n != 0 {
		t.Errorf("net/http saw %d requests", n)
	}
}

// TestDoorHalfClosed: a client that has closed its half of the connection behind the
// handshake, or within it, is answered, and the connection ends.
func TestDoorHalfClosed(t *testing.T) {
	e := startEntrance(t, time.Minute)
	l := (*e.loops.list.Load())[0]
	for _, said := range []string{hello(), "GET / HTTP/1.1\r\n"} {
		l.mu.Lock() // all is there when the loop looks
		c := dialTCP(t, e.door)
		_, writeErr := io.WriteString(c, said)
		closeErr := c.CloseWrite()
		l.mu.Unlock()
		answer, err := io.ReadAll(c)
		if err := errors.Join(writeErr, closeErr, err); err != nil {
			t.Fatal(err)
		}
		if upgraded := strings.HasPrefix(string(answer), "HTTP/1.1 101 "); upgraded != (said == hello()) {
			t.Errorf("%q was answered %q", said, answer)
		}
	}
	await(t, "the end", func() bool { return e.taken() == 0 && e.socket.Sessions.Len() == 0 && e.inside.Load() == 0 })
}

// TestDoorTimeout: who says nothing is cut off.
func TestDoorTimeout(t *testing.T) {
	e := startEntrance(t, 20*time.Millisecond)
	silent, slow := dialTCP(t, e.door), dialTCP(t, e.door)
	_, _ = io.WriteString(slow, "GET /")
	for _, c := range []net.Conn{silent, slow} {
		if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
			t.Error("the connection goes on")
		}
	}
	await(t, "the Door to let go of them", func() bool { return e.inside.Load() == 0 && e.taken() == 0 })
}

// TestDoorRefuses: who is one too many is hung up on.
func TestDoorRefuses(t *testing.T) {
	e := startEntrance(t, time.Minute)
	e.refusing.Store(true)
	if n, err := dialTCP(t, e.door).Read(make([]byte, 1)); err == nil || n > 0 {
		t.Error("the connection goes on")
	}
	await(t, "the Door to forget it", func() bool { return e.inside.Load() == 0 })
}

// TestDoorWithoutLoops: before the Loops run, all is net/http's.
func TestDoorWithoutLoops(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	door, err := NewDoor(l.(*net.TCPListener), DoorConfig{
		Loops: NewLoops(session.NewFlusher(1)), HeaderTimeout: time.Minute, Log: slog.New(slog.DiscardHandler),
		Find: func(*http.Request) *WebSocket { return nil }, Enter: func() bool { return true }, Leave: func() {},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })}
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(door) })
	defer serving.Wait()
	defer s.Close()
	c, err := net.Dial("tcp", door.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != c.LocalAddr().String() {
		t.Errorf("the client's address is %q, want %s (%v)", body, c.LocalAddr(), err)
	}
}

// TestAddress: addresses read as package net writes them.
func TestAddress(t *testing.T) {
	port := binary.NativeEndian.Uint16([]byte{0, 80})
	for want, a := range map[string]unix.RawSockaddrInet6{
		"10.0.0.1:80":      {Family: unix.AF_INET, Port: port, Flowinfo: binary.NativeEndian.Uint32([]byte{10, 0, 0, 1})},
		"[2001:db8::1]:80": {Family: unix.AF_INET6, Port: port, Addr: netip.MustParseAddr("2001:db8::1").As16()},
		"127.0.0.1:80":     {Family: unix.AF_INET6, Port: port, Addr: netip.MustParseAddr("::ffff:127.0.0.1").As16()},
		"[fe80::1%lo]:80":  {Family: unix.AF_INET6, Port: port, Addr: netip.MustParseAddr("fe80::1").As16(), Scope_id: 1},
	} {
		if got := address(&a).String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
