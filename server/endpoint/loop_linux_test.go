package endpoint

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/wire"
)

// node is an endpoint whose handler sends every event back to its sender, and
// waits first where it was told to. "much" is not sent back.
type node struct {
	t        *testing.T
	endpoint *WebSocket
	server   *httptest.Server
	loops    *Loops

	mu      sync.Mutex
	gates   map[string]chan struct{} // guarded by mu, by the name of an event
	waiting map[string]bool          // guarded by mu: events whose handler waits
	within  map[*session.Session]int // guarded by mu: handlers that are running
}

func (*node) Login(*session.Session, *session.Handshake, string) session.Verdict {
	return session.Verdict{OK: true}
}
func (*node) Opened(*session.Session) {}
func (*node) Closed(*session.Session) {}

func (n *node) Message(s *session.Session, m *message.Message) {
	n.mu.Lock()
	gate := n.gates[m.Name]
	n.waiting[m.Name] = gate != nil
	if n.within[s]++; n.within[s] > 1 {
		n.t.Errorf("%s is handled while another message of its client is", m.Name)
	}
	n.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if m.Name == "much" {
		time.Sleep(100 * time.Microsecond)
	} else {
		s.Send(m)
	}
	n.mu.Lock()
	n.within[s]--
	n.mu.Unlock()
}

// gate has the handler of events of that name wait until open is called.
func (n *node) gate(name string) (open func()) {
	gate := make(chan struct{})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gates[name] = gate
	return sync.OnceFunc(func() { close(gate) })
}

func (n *node) awaitGate(name string) {
	n.t.Helper()
	await(n.t, "the handler of "+name, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.waiting[name]
	})
}

// await polls, because what it waits for happens in the kernel, too.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain for " + what)
		}
	}
}

// startNode runs a node; with one loop, or none where the test has its own.
func startNode(t *testing.T, loops int) *node {
	t.Helper()
	n := &node{t: t, gates: make(map[string]chan struct{}), waiting: make(map[string]bool), within: make(map[*session.Session]int)}
	flusher := session.NewFlusher(1)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = flusher.Run(ctx) })
	if n.loops = NewLoops(flusher); loops > 0 {
		running.Go(func() {
			if err := n.loops.Run(ctx, loops); err != nil {
				t.Error(err)
			}
		})
		await(t, "the loops", func() bool { return n.loops.list.Load() != nil })
	}
	n.endpoint = &WebSocket{
		Sessions: session.NewRegistry(flusher, n), Codec: wire.TextG2, MaxMessageSize: 1 << 20,
		Limits:  &session.Limits{MaxAuthAttempts: 3, OutboxBytes: 1 << 20},
		Origins: Origins{List: []string{"http://good"}}, Loops: n.loops,
	}
	n.server = httptest.NewServer(n.endpoint)
	t.Cleanup(func() {
		n.server.Close()
		cancel()
		running.Wait()
	})
	return n
}

// client is a connection whose messages are read by a loop.
type client struct {
	*websocket.Conn
	t *testing.T
}

func (n *node) dial() *client {
	n.t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial(strings.Replace(n.server.URL, "http", "ws", 1), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = ws.Close() })
	return &client{ws, n.t}
}

func (n *node) connect() *client {
	n.t.Helper()
	before := n.taken()
	c := n.dial()
	c.write("C|CHR|x+A|REQ|{}+")
	c.read("A|A+")
	await(n.t, "a loop to take the connection", func() bool { return n.taken() == before+1 })
	return c
}

func (n *node) taken() (conns int) {
	for _, l := range *n.loops.list.Load() {
		l.mu.Lock()
		conns += len(l.conns)
		l.mu.Unlock()
	}
	return conns
}

var marks = strings.NewReplacer("|", "\x1f", "+", "\x1e")

func (c *client) write(text string) {
	c.t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(marks.Replace(text))); err != nil {
		c.t.Fatal(err)
	}
}

// read awaits text, whatever comes before it.
func (c *client) read(text string) {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	var got strings.Builder
	for !strings.HasSuffix(got.String(), marks.Replace(text)) {
		_, p, err := c.ReadMessage()
		if err != nil {
			c.t.Fatalf("%v; got %q, want %q", err, got.String(), text)
		}
		got.Write(p)
	}
}

// TestThrottled: a client that may have to wait for the limit of its rate does not
// share a goroutine with others.
func TestThrottled(t *testing.T) {
	n := startNode(t, 1)
	free := n.connect()
	n.endpoint.Limits.MessagesPerSecond = 3
	var throttled []*client
	for range 3 {
		c := n.dial()
		c.write("C|CHR|x+A|REQ|{}+" + event("a") + event("b"))
		c.read(event("a")) // the next one has to wait
		throttled = append(throttled, c)
	}
	free.write(event("c"))
	free.read(event("c"))
	for _, c := range throttled {
		c.read(event("b"))
	}
	if got := n.taken(); got != 1 {
		t.Errorf("a loop reads %d connections, want that of the client without a limit", got)
	}
}

func event(name string) string { return "E|EVT|" + name + "|Sx+" }

// TestTakeover: while handlers of some clients wait, those of the others on the
// same loop are served, answers that were held back are sent, and the clients that
// wait get theirs afterwards, in order and one at a time.
func TestTakeover(t *testing.T) {
	n := startNode(t, 1)
	a, b, c := n.connect(), n.connect(), n.connect()
	openA, openB := n.gate("a2"), n.gate("b2")
	defer openA()
	defer openB()

	a.write(event("a1") + event("a2"))
	n.awaitGate("a2")
	a.read(event("a1"))
	a.write(event("a3"))
	b.write(event("b1"))
	b.read(event("b1"))

	b.write(event("b2"))
	n.awaitGate("b2")
	c.write(event("c1"))
	c.read(event("c1"))

	openA()
	a.read(event("a2") + event("a3"))
	a.write(event("a4"))
	a.read(event("a4"))
	openB()
	b.read(event("b2"))
	b.write(event("b3"))
	b.read(event("b3"))
}

// TestTakeoverOfTheReady: clients whose messages had been noticed before another
// one's handler began to wait do not need to say more to be served.
func TestTakeoverOfTheReady(t *testing.T) {
	n := startNode(t, 0)
	l, err := newLoop(n.loops.flusher)
	if err != nil {
		t.Fatal(err)
	}
	list := []*loop{l}
	n.loops.list.Store(&list)
	a, b, c := n.connect(), n.connect(), n.connect()
	open := n.gate("a1")

	a.write(event("a1"))
	l.notice(t, 1)
	b.write(event("b1"))
	l.notice(t, 2)

	var running sync.WaitGroup
	running.Go(func() { _ = l.run() })
	defer func() { open(); l.close(); running.Wait() }()
	c.write(event("c1")) // begins the round of all three
	n.awaitGate("a1")
	b.read(event("b1"))
	c.read(event("c1"))
}

// notice gathers events until so many connections are ready.
func (l *loop) notice(t *testing.T, conns int) {
	w := newReader()
	defer w.free()
	for len(l.ready) < conns {
		if !l.gather(w) {
			t.Fatal("loop is closed")
		}
	}
}

// TestTakeoverAtTheEnd: loops that are told to end cut off everyone, also where a
// handler is stuck, and end with that handler.
func TestTakeoverAtTheEnd(t *testing.T) {
	n := startNode(t, 0)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var ended atomic.Bool
	var running sync.WaitGroup
	running.Go(func() { _ = n.loops.Run(ctx, 1); ended.Store(true) })
	await(t, "the loops", func() bool { return n.loops.list.Load() != nil })
	clients := []*client{n.connect(), n.connect(), n.connect()}
	open := n.gate("stuck")
	defer open()
	clients[1].write(event("stuck"))
	n.awaitGate("stuck")
	clients[2].write(event("well"))
	clients[2].read(event("well"))

	cancel()
	for i, c := range clients {
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		if _, _, err := c.ReadMessage(); !websocket.IsUnexpectedCloseError(err) {
			t.Errorf("client %d of a loop that has ended reads %v", i, err)
		}
	}
	if ended.Load() {
		t.Error("the loops have ended before the handler")
	}
	open()
	running.Wait()
}

// TestMoveAtTheEnd: a connection that is to move is finished where the loop that is to
// have it has ended, and stays for its end where its own has.
func TestMoveAtTheEnd(t *testing.T) {
	for _, own := range []bool{false, true} {
		n := startNode(t, 0)
		var list []*loop
		for range 2 {
			l, err := newLoop(n.loops.flusher)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, l)
		}
		n.loops.list.Store(&list)
		n.connect()
		c := n.conn()
		from := c.reading.loop
		from.mu.Lock()
		from.mark(c)
		from.mu.Unlock()
		from.begin(0)
		from.pop(0)
		for _, l := range list {
			if own == (l == from) {
				l.close()
			}
		}
		moved := false
		for range list { // it is the turn of its own loop, too
			moved = moved || from.move(c)
		}
		if moved == own {
			t.Errorf("own loop closed: %t, moved: %t", own, moved)
		}
		if own {
			w := newReader()
			from.serve(w, c, 0)
			w.free()
		}
		if taken, sessions := n.taken(), n.endpoint.Sessions.Len(); taken != 0 || sessions != 0 {
			t.Errorf("own loop closed: %t, %d connections and %d sessions are left", own, taken, sessions)
		}
		from.pop(0)
		from.flusher.Release()
		closeAll(list)
	}
}

// TestFlood: others are served, and answered, while a client sends more than can be
// read, and does not stop.
func TestFlood(t *testing.T) {
	n := startNode(t, 1)
	flooding, other := n.connect(), n.connect()
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		text := marks.Replace("E|EVT|much|S" + strings.Repeat("x", readSize/4) + "+")
		frame := []byte{0x80 | websocket.TextMessage, 0x80 | 126, byte(len(text) >> 8), byte(len(text)), 0, 0, 0, 0} // the mask changes nothing
		frames := bytes.Repeat(append(frame, text...), 64)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := flooding.NetConn().Write(frames); err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer running.Wait()
	defer close(stop)
	l := (*n.loops.list.Load())[0]
	await(t, "the loop to have enough to do", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.served > 100
	})
	for range 3 {
		other.write(event("e"))
		other.read(event("e"))
	}
}

// TestLongRound: what clients are to get is not held back until the end of a round that
// takes long, though the loop gets further.
func TestLongRound(t *testing.T) {
	n := startNode(t, 0)
	l, err := newLoop(n.loops.flusher)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	list := []*loop{l}
	n.loops.list.Store(&list)
	client := n.connect()
	l.mu.Lock()
	c := l.conns[1]
	l.mark(c)
	l.mu.Unlock()
	l.begin(0)
	l.watch.Stop() // the test looks in its place
	l.pop(0)
	c.session.Load().Send(&message.Message{Topic: message.Event, Action: message.EventEmit, Name: "e", Data: `"x"`})
	l.look()
	l.watch.Stop()
	client.read(event("e"))
	l.settle(c, false, 0)
	l.pop(0)
	l.flusher.Release()
}

// TestYield: a handler that says it is going to wait has others served at once, and not
// by more than one.
func TestYield(t *testing.T) {
	n := startNode(t, 0)
	l, err := newLoop(n.loops.flusher)
	if err != nil {
		t.Fatal(err)
	}
	defer l.workers.Wait()
	defer l.close()
	list := []*loop{l}
	n.loops.list.Store(&list)
	n.connect()
	other := n.connect()
	conns := []*wsConn{l.conns[1], l.conns[2]}
	conns[1].Yield() // nobody waits for it
	l.mu.Lock()
	for _, c := range conns {
		l.mark(c)
	}
	l.mu.Unlock()
	l.begin(0)
	l.watch.Stop() // which would come to the same, later
	first, _ := l.pop(0)
	conns[1].Yield() // it is the turn of another
	other.write(event("e"))
	if l.shift != 0 {
		t.Fatal("another goroutine took over without need")
	}
	first.Yield()
	other.read(event("e"))
	first.Yield()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shift != 1 {
		t.Errorf("%d goroutines took over, want 1", l.shift)
	}
}

// TestReadyOrder: a client with much to say gets its turns among the others, one in
// each round.
func TestReadyOrder(t *testing.T) {
	l, err := newLoop(session.NewFlusher(1))
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	conns := []*wsConn{{remote: "much"}, {remote: "one"}, {remote: "two"}}
	for _, c := range conns {
		l.mark(c)
		l.mark(c) // once is enough
	}
	var rounds [][]string
	served := 0
	for l.waiting() {
		l.begin(0)
		var order []string
		for {
			c, mine := l.pop(0)
			if c == nil {
				if !mine {
					t.Error("the goroutine in charge was told that it is not")
				}
				break
			}
			order = append(order, c.remote)
			served++
			if !l.settle(c, c.remote == "much" && served < 5, 0) {
				t.Error("settle asks to go on without a takeover")
			}
		}
		rounds = append(rounds, order)
	}
	if got, want := fmt.Sprint(rounds), "[[much one two] [much] [much]]"; got != want {
		t.Errorf("served %s, want %s", got, want)
	}
}
