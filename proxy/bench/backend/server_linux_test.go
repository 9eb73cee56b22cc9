package backend

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/dsproxy/dsproxy/proxy/bench/traffic"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// process starts Run with n backends, as the benchmark does, and returns a
// connection to the first one and a function that asks for the counts.
func process(t *testing.T, n int) (conn net.Conn, counts func() Counts) {
	t.Helper()
	in, toServer := io.Pipe()
	fromServer, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Run(n, in, out) }()
	lines := json.NewDecoder(fromServer)
	var hello Hello
	if err := lines.Decode(&hello); err != nil {
		t.Fatal(err)
	}
	if len(hello.Addrs) != n {
		t.Fatalf("addresses %v, want %d", hello.Addrs, n)
	}
	conn, err := net.Dial("tcp4", hello.Addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		toServer.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return conn, func() Counts {
		t.Helper()
		if _, err := io.WriteString(toServer, "counts\n"); err != nil {
			t.Fatal(err)
		}
		var c Counts
		if err := lines.Decode(&c); err != nil {
			t.Fatal(err)
		}
		return c
	}
}

func write(t *testing.T, c net.Conn, parts ...[]byte) {
	t.Helper()
	for _, b := range parts {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
}

func expect(t *testing.T, c net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatalf("%v after %q", err, got)
	}
	if string(got) != string(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func expectEnd(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("%d bytes and %v, want the end", n, err)
	}
}

func TestRequests(t *testing.T) {
	c, counts := process(t, 2)
	write(t, c, traffic.SmallRequest)
	expect(t, c, traffic.SmallAnswer)
	write(t, c, traffic.HandshakeRequest)
	mine := traffic.AppendSID(nil, 0, 0)
	expect(t, c, traffic.HandshakeAnswer(mine))
	write(t, c, traffic.PollRequest(mine))
	expect(t, c, traffic.PollAnswer)
	write(t, c, traffic.PollRequest(traffic.AppendSID(nil, 1, 0)))
	expect(t, c, traffic.PollAnswer)
	write(t, c, []byte("GET /favicon.ico HTTP/1.1\r\n\r\n"))
	expect(t, c, traffic.NotFound)
	if got, want := counts(), (Counts{Requests: 5, Handshakes: 1, Polls: 2, Misroutes: 1, Unknown: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A request in two pieces with a whole one behind it.
func TestPieces(t *testing.T) {
	c, _ := process(t, 1)
	half := len(traffic.SmallRequest) / 2
	write(t, c, traffic.SmallRequest[:half])
	// An exchange on another connection shows that the first piece was read.
	other, err := net.Dial("tcp4", c.RemoteAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	write(t, other, traffic.SmallRequest)
	expect(t, other, traffic.SmallAnswer)
	write(t, c, append(traffic.SmallRequest[half:len(traffic.SmallRequest):len(traffic.SmallRequest)], traffic.HandshakeRequest...))
	expect(t, c, traffic.SmallAnswer)
	expect(t, c, traffic.HandshakeAnswer(traffic.AppendSID(nil, 0, 0)))
}

func TestWebSocket(t *testing.T) {
	c, counts := process(t, 1)
	key := [4]byte{1, 2, 3, 4}
	write(t, c, traffic.UpgradeRequest)
	r := bufio.NewReader(c)
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != 101 || answer.Header.Get("Sec-Websocket-Accept") != traffic.Accept || r.Buffered() != 0 {
		t.Fatalf("%d %v, %d bytes too many", answer.StatusCode, answer.Header, r.Buffered())
	}
	write(t, c, traffic.AppendFrame(nil, traffic.Binary, &key, []byte("hello")))
	expect(t, c, traffic.AppendFrame(nil, traffic.Binary, nil, []byte("hello")))
	write(t, c, traffic.AppendFrame(nil, traffic.Close, &key, []byte{3, 0xe8}))
	expect(t, c, traffic.AppendFrame(nil, traffic.Close, nil, []byte{3, 0xe8}))
	expectEnd(t, c)
	if got, want := counts(), (Counts{Requests: 1, Upgrades: 1, Frames: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestBrokenFrame(t *testing.T) {
	c, counts := process(t, 1)
	write(t, c, traffic.UpgradeRequest)
	expect(t, c, traffic.AppendSwitching(nil, []byte("dGhlIHNhbXBsZSBub25jZQ==")))
	write(t, c, []byte{0xff, 0xff})
	expectEnd(t, c)
	if got := counts().Failed; got != 1 {
		t.Errorf("%d failed connections", got)
	}
}

func TestNumberOfBackends(t *testing.T) {
	for _, n := range []int{0, traffic.MaxBackends + 1} {
		if s, err := New(n); err == nil {
			s.close()
			t.Errorf("%d backends are taken", n)
		}
	}
}
