package endpoint

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"
)

// entrance is a node with a Door, and one without for comparison.
type entrance struct {
	*node
	door     *httptest.Server
	socket   *WebSocket
	passed   atomic.Int32 // requests that net/http saw behind the Door
	inside   atomic.Int32 // connections that the Door has to do with
	refusing atomic.Bool

	// Of those that run the Loops themselves.
	end   context.CancelFunc
	ended sync.WaitGroup
}

func startEntrance(t *testing.T, timeout time.Duration) *entrance {
	t.Helper()
	e := &entrance{node: startNode(t, 1)}
	e.open(t, timeout)
	return e
}

func (e *entrance) open(t *testing.T, timeout time.Duration) *httptest.Server {
	t.Helper()
	e.socket = e.server.Config.Handler.(*WebSocket)
	e.door = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.passed.Add(1)
		e.socket.ServeHTTP(w, r)
	}))
	var err error
	e.door.Listener, err = NewDoor(e.door.Listener.(*net.TCPListener), DoorConfig{
		Loops: e.loops, HeaderTimeout: timeout, Log: slog.New(slog.DiscardHandler),
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
	e.door.Config.ReadHeaderTimeout = timeout
	e.door.Start()
	t.Cleanup(e.door.Close)
	return e.door
}

// enter connects through the Door.
func (e *entrance) enter(t *testing.T) *client {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial(strings.Replace(e.door.URL, "http", "ws", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.Close() })
	return &client{ws, t}
}

func dialTCP(t *testing.T, s *httptest.Server) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
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
	a := e.enter(t)
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
	_ = a.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
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
		"two hosts":         hello("Host: x", "Host: x\r\nhost: y"),
		"bad host":          hello("Host: x", "Host: x<y>"),
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

// TestDoorEndsWithinHandshake: a loop that ends while it looks at a part of a handshake
// ends that connection, too.
func TestDoorEndsWithinHandshake(t *testing.T) {
	e := &entrance{node: startNode(t, 0)}
	l, err := newLoop(e.loops.flusher)
	if err != nil {
		t.Fatal(err)
	}
	e.loops.list.Store(&[]*loop{l})
	close(e.loops.begun)
	c := dialTCP(t, e.open(t, time.Minute))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	l.notice(t, 1)
	l.begin(0)
	guest, _ := l.pop(0)
	l.close()
	var served atomic.Bool
	go func() {
		w := newReader()
		defer w.free()
		l.serve(w, guest, 0)
		served.Store(true)
	}()
	await(t, "the end of the connection", served.Load)
	l.pop(0)
	l.flusher.Release()
	if n := e.inside.Load(); n != 0 {
		t.Errorf("%d clients count as guests", n)
	}
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

// TestDoorBeforeLoops: who comes before the Loops run is let in when they do.
func TestDoorBeforeLoops(t *testing.T) {
	e := &entrance{node: startNode(t, 0)}
	door := e.open(t, time.Minute)
	c := dialTCP(t, door)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := e.loops.Run(ctx, 2); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer cancel()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("%v, %v", resp, err)
	}
}

// TestDoorClosed: a Door that is closed lets nobody in, whether the Loops run or not, and
// net/http is told.
func TestDoorClosed(t *testing.T) {
	for _, loops := range []int{0, 1} {
		e := &entrance{node: startNode(t, loops)}
		door := e.open(t, time.Minute)
		addr := door.Listener.Addr().String()
		if err := door.Listener.Close(); err != nil {
			t.Fatal(err)
		}
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			t.Errorf("%d loops: somebody connects to a door that is closed", loops)
		}
		if _, err := door.Listener.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%d loops: accept: %v", loops, err)
		}
		if err := door.Listener.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%d loops: the second time it is closed: %v", loops, err)
		}
	}
}

// slowLog is a log that is stuck until it is let go on.
type slowLog struct {
	slog.Handler
	stuck, open chan struct{}
}

func (slowLog) Enabled(context.Context, slog.Level) bool { return true }

func (l slowLog) Handle(context.Context, slog.Record) error {
	l.stuck <- struct{}{}
	<-l.open
	return nil
}

// exhaust leaves the process without descriptors until free is called.
func exhaust(t *testing.T) (free func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	last, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	// It is the lowest that was free: all below it are taken.
	low := limit
	low.Cur = uint64(last) + 1
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	free = sync.OnceFunc(func() {
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
		_ = unix.Close(last)
	})
	t.Cleanup(free)
	return free
}

// TestDoorWaits: where there are no descriptors left clients are let in later, and those
// who are in are served meanwhile, though the log is stuck.
func TestDoorWaits(t *testing.T) {
	e := startEntrance(t, time.Minute)
	d := e.door.Listener.(*Door)
	inside := e.enter(t)
	inside.write("C|CHR|x+A|REQ|{}+")
	inside.read("A|A+")
	l := slowLog{stuck: make(chan struct{}, 1), open: make(chan struct{})}
	defer close(l.open)
	d.mu.Lock()
	d.config.Log = slog.New(l)
	d.mu.Unlock()

	to := d.Addr().(*net.TCPAddr)
	outside, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	free := exhaust(t)
	if err := unix.Connect(outside, &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}); err != nil {
		t.Fatal(err)
	}
	<-l.stuck
	inside.write(event("e"))
	inside.read(event("e"))
	free()
	file := os.NewFile(uintptr(outside), "client")
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if answer, err := io.ReadAll(c); err != nil || len(answer) == 0 {
		t.Errorf("%q, %v", answer, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pause != 0 {
		t.Errorf("the next time clients wait for %s at least", d.pause)
	}
}

// TestNewcomers: who logs in is the first loop's, and moves on when it stays. Those who
// are too many for it, and those who are not to be moved, are on all loops alike.
func TestNewcomers(t *testing.T) {
	e := &entrance{node: startNode(t, 2)}
	e.open(t, time.Minute)
	list := e.loops.running()
	of := func(i int) (conns int) {
		list[i].mu.Lock()
		defer list[i].mu.Unlock()
		return len(list[i].conns)
	}
	var all []*client
	for i := range 4 {
		c := e.enter(t)
		all = append(all, c)
		c.write("C|CHR|x+")
		c.read("C|A+")
		c.write("A|REQ|{}+")
		c.read("A|A+")
		if of(0) != i+1 {
			t.Fatalf("the first loop has %d of %d clients that have just come", of(0), i+1)
		}
	}
	await(t, "none to be a newcomer", func() bool { return list[0].newcomers.Load() == 0 })
	for i, c := range all {
		name := fmt.Sprint("e", i)
		c.write(event(name))
		c.read(event(name))
	}
	await(t, "them to move", func() bool { return of(0) == 2 && of(1) == 2 })
	for i, c := range all { // wherever they are
		c.write(event("f"))
		c.read(event("f"))
		if i%2 == 0 {
			_ = c.Close()
		}
	}
	await(t, "two to leave", func() bool { return of(0)+of(1) == 2 })
	list[0].newcomers.Add(maxNewcomers)
	a, b := e.enter(t), e.enter(t)
	if of(0) != of(1) {
		t.Errorf("the loops have %d and %d clients", of(0), of(1))
	}
	list[0].newcomers.Add(-maxNewcomers)
	half := e.enter(t)
	half.write("C|CHR|x+")
	half.read("C|A+")
	for _, c := range []*client{a, b, half} {
		_ = c.Close()
	}
	await(t, "them to leave", func() bool { return of(0)+of(1) == 2 && list[0].newcomers.Load() == 0 && list[1].newcomers.Load() == 0 })
}
