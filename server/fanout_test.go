package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/wire"
)

// startNode runs a node with sockets on a free port.
func startNode(t testing.TB, change func(c *Config)) *Server {
	t.Helper()
	c := Defaults()
	c.Addr, c.AdminAddr = "127.0.0.1:0", ""
	c.Log = slog.New(slog.DiscardHandler)
	if change != nil {
		change(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("node ended with %v", err)
		}
	})
	return s
}

// peer is a protobuf client on a socket.
type peer struct {
	t  testing.TB
	ws *websocket.Conn
}

func dial(t testing.TB, s *Server, user string) *peer {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+s.Addr().String()+"/deepstream", http.Header{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.Close() })
	p := &peer{t, ws}
	p.send(&message.Message{Topic: message.Connection, Action: message.ConnectionChallenge})
	p.expect(message.Connection, message.ConnectionAccept)
	p.send(&message.Message{Topic: message.Auth, Action: message.AuthRequest, Data: `{"username":"` + user + `"}`})
	p.expect(message.Auth, message.AuthSuccessful)
	return p
}

func (p *peer) send(m *message.Message) {
	p.t.Helper()
	if err := p.ws.WriteMessage(websocket.BinaryMessage, wire.For(wire.Protobuf).Append(nil, m)); err != nil {
		p.t.Fatal(err)
	}
}

type lastMessage struct{ m message.Message }

func (l *lastMessage) Message(m *message.Message) error { l.m = *m; return nil }
func (l *lastMessage) Malformed(*message.Message) error { return nil }

func (p *peer) receive() message.Message {
	p.t.Helper()
	_, frame, err := p.ws.ReadMessage()
	if err != nil {
		p.t.Fatal(err)
	}
	var l lastMessage
	if err := wire.For(wire.Protobuf).Decode(frame, &l); err != nil {
		p.t.Fatal(err)
	}
	return l.m
}

func (p *peer) expect(topic message.Topic, a message.Action) message.Message {
	p.t.Helper()
	m := p.receive()
	if m.Topic != topic || m.Action != a {
		p.t.Fatalf("got %v %s, want %s", m.Topic, message.ActionName(m.Topic, m.Action), message.ActionName(topic, a))
	}
	return m
}

// drain counts the bytes that arrive, without looking at them: what is measured is
// the node.
func drain(t testing.TB, ws *websocket.Conn, total *atomic.Int64, done *sync.WaitGroup) {
	c := ws.NetConn()
	done.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Read(buf)
			total.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
}

func cpu(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFanout measures deliveries of one event to many subscribers as fast as
// they go; both ends are in this process, so cpu-us/delivery has the receiving
// side in it.
func BenchmarkFanout(b *testing.B) {
	const subscribers = 500
	s := startNode(b, nil)
	var got atomic.Int64
	var readers sync.WaitGroup
	for range subscribers {
		p := dial(b, s, "sub")
		p.send(&message.Message{Topic: message.Event, Action: message.EventSubscribe, Names: []string{"news"}, CorrelationID: "1"})
		p.expect(message.Event, message.EventSubscribe)
		drain(b, p.ws, &got, &readers)
	}
	pub := dial(b, s, "pub")
	event := wire.For(wire.Protobuf).Append(nil, &message.Message{Topic: message.Event, Action: message.EventEmit, Name: "news", Data: `{"x":1}`})
	frame := int64(len(event) + 2)
	before := cpu(b)
	b.ResetTimer()
	for i := range b.N {
		if err := pub.ws.WriteMessage(websocket.BinaryMessage, event); err != nil {
			b.Fatal(err)
		}
		// At most a hundred events ahead of the slowest reader.
		for got.Load() < int64(i-100)*subscribers*frame {
			time.Sleep(100 * time.Microsecond)
		}
	}
	for got.Load() < int64(b.N)*subscribers*frame {
		time.Sleep(100 * time.Microsecond)
	}
	b.StopTimer()
	deliveries := float64(b.N) * subscribers
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/deliveries, "cpu-us/delivery")
	b.ReportMetric(deliveries/b.Elapsed().Seconds(), "deliveries/s")
}

// TestSockets: a node on a real socket answers, tells its clients when it stops,
// and leaves nothing behind.
func TestSockets(t *testing.T) {
	c := Defaults()
	c.Addr, c.AdminAddr = "127.0.0.1:0", "127.0.0.1:0"
	c.Log = slog.New(slog.DiscardHandler)
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()

	p := dial(t, s, "al")
	get := func(addr net.Addr, path string) (int, string) {
		resp, err := http.Get(fmt.Sprintf("http://%s%s", addr, path))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	for path, want := range map[string]int{"/health-check": 200, "/nothing": 404, "/deepstream": 426, "/deepstream/?EIO=3&transport=x": 400} {
		if code, body := get(s.Addr(), path); code != want {
			t.Errorf("%s: %d %s, want %d", path, code, body, want)
		}
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200} {
		if code, _ := get(s.admin.Addr(), path); code != want {
			t.Errorf("admin %s: %d, want %d", path, code, want)
		}
	}
	_, metrics := get(s.admin.Addr(), "/metrics")
	for _, line := range []string{"deepstream_clients 1", "deepstream_logins_total 1", "deepstream_users 1", "deepstream_event_names 0"} {
		if !strings.Contains(metrics, "\n"+line+"\n") {
			t.Errorf("metrics have no %s", line)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	_, _, err = p.ws.ReadMessage()
	if !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("client heard %v", err)
	}
	_ = p.ws.Close()
	if err := <-done; err != nil {
		t.Errorf("node ended with %v", err)
	}
}

func eventFrame(name, data string) []byte {
	return wire.For(wire.Protobuf).Append(nil, &message.Message{Topic: message.Event, Action: message.EventEmit, Name: name, Data: data})
}

// waitFor asks again and again; what it waits for happens on other goroutines.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
