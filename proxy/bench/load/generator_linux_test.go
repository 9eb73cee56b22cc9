package load

import (
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/dsproxy/dsproxy/proxy/bench/backend"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serveBackend starts n backends that stop with the test.
func serveBackend(t *testing.T, n int) *backend.Server {
	t.Helper()
	s, err := backend.New(n)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

func spec(workload, target string) Spec {
	return Spec{
		Workload: workload, Target: target, Sources: []string{"127.0.0.1", "127.0.0.2"},
		Conns: 8, Ops: 200, Warmup: 20, SIDs: 50, Payload: 64,
	}
}

func generate(t *testing.T, s Spec) Result {
	t.Helper()
	g, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.Prepare(); err != nil {
		t.Fatal(err)
	}
	r, err := g.Run()
	if err != nil {
		t.Fatal(err)
	}
	if r.Ops != s.Ops || r.Errors != 0 {
		t.Errorf("%s: %d operations of %d, %d errors (%s)", s.Workload, r.Ops, s.Ops, r.Errors, r.Error)
	}
	if r.P50 <= 0 || r.P99 < r.P50 || r.Max < r.P99 || r.Elapsed < r.Max {
		t.Errorf("%s: p50 %v, p99 %v, max %v, elapsed %v", s.Workload, r.P50, r.P99, r.Max, r.Elapsed)
	}
	return r
}

// The generator meets the backend itself: the backend must have seen exactly
// the operations that were asked for.
func TestWorkloads(t *testing.T) {
	f := func(workload string, want backend.Counts) {
		t.Helper()
		s := serveBackend(t, 1)
		generate(t, spec(workload, s.Addrs()[0]))
		if got := s.Counts(); got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", workload, got, want)
		}
	}
	f(Small, backend.Counts{Requests: 220})
	f(Sticky, backend.Counts{Requests: 270, Handshakes: 50, Polls: 220})
	f(Echo, backend.Counts{Requests: 8, Upgrades: 8, Frames: 220})
	f(Connect, backend.Counts{Requests: 220, Upgrades: 220, Frames: 220})
	f(Idle, backend.Counts{Requests: 220, Upgrades: 220, Frames: 220})
}

// A paced run waits between operations and still does all of them.
func TestRate(t *testing.T) {
	s := serveBackend(t, 1)
	sp := spec(Small, s.Addrs()[0])
	sp.Rate = 20000
	generate(t, sp)
}

func TestMisroutesAreCounted(t *testing.T) {
	s := serveBackend(t, 2)
	g, err := New(spec(Sticky, s.Addrs()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.Prepare(); err != nil {
		t.Fatal(err)
	}
	other, err := New(spec(Sticky, s.Addrs()[1]))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Prepare(); err != nil {
		t.Fatal(err)
	}
	// The polls of sessions that the first backend opened go to the second.
	other.phase = g.phase
	if _, err := other.Run(); err != nil {
		t.Fatal(err)
	}
	if got := s.Counts().Misroutes; got != 200 {
		t.Errorf("%d misroutes of 200", got)
	}
}

// answering serves a fixed answer to whatever each connection sends first, and
// then closes it.
func answering(t *testing.T, answer string) string {
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
			if _, err := c.Read(make([]byte, 4096)); err == nil {
				io.WriteString(c, answer)
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func TestWrongAnswersAreErrors(t *testing.T) {
	f := func(workload, answer, want string) {
		t.Helper()
		s := spec(workload, answering(t, answer))
		s.Conns, s.Warmup = 1, 1
		if workload == Idle {
			s.Warmup = 0 // it would open and close WebSockets
		}
		g, err := New(s)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		if err = g.Prepare(); err == nil {
			_, err = g.Run()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s with %q: error %v, want one with %q", workload, answer, err, want)
		}
	}
	f(Small, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad", `status 502: "bad"`)
	f(Small, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", `the body is "bad"`)
	f(Small, "HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\nbad", "closed the connection")
	f(Small, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nextra", "the body is")
	f(Sticky, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n0", "no session id")
	f(Echo, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "the upgrade is answered 400")
	f(Echo, "HTTP/1.1 101 Switching Protocols\r\n\r\n", "Sec-WebSocket-Accept")
	f(Idle, "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x82\x02no", "the echo has opcode 0x2")
	f(Connect, "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", "closed the connection")
}

func TestNoProxy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	g, err := New(spec(Small, l.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.Prepare(); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error %v", err)
	}
}

func TestServe(t *testing.T) {
	s := serveBackend(t, 1)
	text, err := json.Marshal(spec(Echo, s.Addrs()[0]))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := Serve(strings.NewReader(string(text)+"\nrun\nrun\n"), &out); err != nil {
		t.Fatal(err)
	}
	replies := json.NewDecoder(strings.NewReader(out.String()))
	for i, ops := range []int{0, 200, 200} {
		var r Reply
		if err := replies.Decode(&r); err != nil {
			t.Fatal(err)
		}
		if r.Error != "" || r.Result.Ops != ops {
			t.Errorf("reply %d: %+v", i, r)
		}
	}
	if err := Serve(strings.NewReader(""), io.Discard); err == nil {
		t.Error("no specification is not an error")
	}
}
