package tunnel

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		relayProcess(name)
		return
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must come before it fails.
const patience = time.Minute

// path is a way through the relay that every test body runs on.
type path struct {
	name     string
	portable bool
	tls      bool // on the client's side
	dialed   bool // the backend, by the relay
}

func paths() []path {
	ps := []path{{name: "pumps", portable: true}, {name: "pumps-tls", portable: true, tls: true}}
	if haveLoops {
		ps = append(ps, path{name: "epoll"}, path{name: "tls", tls: true},
			path{name: "dialed", dialed: true}, path{name: "dialed-tls", dialed: true, tls: true})
	}
	return ps
}

// everyPath runs f on each path, with a relay whose clock stands still unless
// f sends ticks.
func everyPath(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	for _, p := range paths() {
		t.Run(p.name, func(t *testing.T) { f(t, newRig(t, p)) })
	}
}

// rig is a relay under test.
type rig struct {
	*Relay
	t     testing.TB
	path  path
	ticks chan time.Time
	small bool // socket buffers, so that little is enough to fill them
}

func newRig(t testing.TB, p path) *rig {
	t.Helper()
	ticks := make(chan time.Time)
	r, err := newRelay(Config{Portable: p.portable}, ticks, (*loop).run)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			t.Errorf("closing the relay: %v", err)
		}
		if sum := r.Totals(); sum.Held != 0 || sum.Open != 0 {
			t.Errorf("after Close: %+v", sum)
		}
		for _, first := range r.wheel.slots {
			if first != nil {
				t.Error("after Close: a tunnel is still in the wheel")
			}
		}
	})
	return &rig{Relay: r, t: t, path: p, ticks: ticks}
}

// run is t.Run with the same relay.
func (r *rig) run(name string, f func(t *testing.T, r *rig)) {
	r.t.(*testing.T).Run(name, func(t *testing.T) {
		sub := *r
		sub.t = t
		f(t, &sub)
	})
}

// picker tells which far end acts first and which is the other.
type picker func(*link) (first, second peer)

// eitherFirst runs f with the client and with the backend as the one who acts.
func (r *rig) eitherFirst(f func(t *testing.T, r *rig, pick picker, s side)) {
	r.run("client first", func(t *testing.T, r *rig) {
		f(t, r, func(l *link) (peer, peer) { return l.client, l.backend }, client)
	})
	r.run("backend first", func(t *testing.T, r *rig) {
		f(t, r, func(l *link) (peer, peer) { return l.backend, l.client }, backend)
	})
}

// tick lets n steps of the coarse clock pass. What is due at the last of them
// may still be on its way when it returns.
func (r *rig) tick(n int) {
	want := r.wheel.now.Load() + uint32(n)
	for range n {
		r.ticks <- time.Time{}
	}
	r.until("the tick", func() bool { return r.wheel.now.Load() == want })
}

// peer is the far end of one side of a tunnel.
type peer struct {
	net.Conn
	tcp *net.TCPConn // below Conn
}

func (p peer) CloseWrite() error { return p.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// abort makes the connection end with a RST.
func (p peer) abort() {
	p.tcp.SetLinger(0)
	p.tcp.Close()
}

// link is one tunnel with both far ends.
type link struct {
	client, backend peer
	tunnel          *Tunnel
	ended           chan Stats
}

// sides makes the two connections of a tunnel, each with its far end.
func (r *rig) sides() (c, b peer, near [2]net.Conn) {
	r.t.Helper()
	farC, nearC := tcpPair(r.t)
	nearB, farB := connect(r.t, r.dialBackend)
	c, b = peer{farC, farC}, peer{farB, farB}
	near = [2]net.Conn{nearC, nearB}
	if r.small {
		for _, c := range []net.Conn{farC, nearC, farB, nearB} {
			shrink(r.t, c)
		}
	}
	if r.path.tls {
		c.Conn, near[client] = tlsPair(r.t, farC, nearC)
	}
	return c, b, near
}

func (r *rig) dialBackend(addr net.Addr) (net.Conn, error) {
	if r.path.dialed {
		return r.Dial(context.Background(), addr.(*net.TCPAddr).AddrPort(), DialOptions{})
	}
	return net.Dial("tcp", addr.String())
}

// shrink makes the buffers of a socket small.
func shrink(t testing.TB, c net.Conn) {
	t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			for _, option := range []int{syscall.SO_RCVBUF, syscall.SO_SNDBUF} {
				if err := syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, option, 32<<10); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) open(o Options, fromClient, fromBackend string) *link {
	r.t.Helper()
	c, b, near := r.sides()
	l := &link{client: c, backend: b, ended: make(chan Stats, 2)}
	var err error
	l.tunnel, err = r.Start(near[client], near[backend], []byte(fromClient), []byte(fromBackend), o,
		func(s Stats) { l.ended <- s })
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		l.client.tcp.Close()
		l.backend.tcp.Close()
	})
	return l
}

// end returns the stats that done was given.
func (r *rig) end(l *link) Stats {
	r.t.Helper()
	select {
	case s := <-l.ended:
		return s
	case <-time.After(patience):
		r.t.Fatalf("the tunnel did not end: %+v, %+v", l.tunnel.Stats(), r.Totals())
		panic("unreachable")
	}
}

// until waits for a condition that another goroutine brings about.
func (r *rig) until(what string, cond func() bool) {
	r.t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for start := time.Now(); !cond(); <-look.C {
		if time.Since(start) > patience {
			r.t.Fatalf("never came: %s; %+v", what, r.Totals())
		}
	}
}

// stuff writes until nothing more is taken on the whole way. A TLS write cannot
// be given up, so the last one is under way then: what stuff returns waits for
// its end and gives the number of bytes written. The rig must be small.
func (r *rig) stuff(from peer) (sent func() int64) {
	r.t.Helper()
	var begun, done atomic.Int64
	var enough atomic.Bool
	n := make(chan int64, 1)
	go func() {
		var sum int64
		var err error
		for chunk := make([]byte, 4<<10); err == nil && !enough.Load(); {
			var k int
			begun.Add(1)
			k, err = from.Write(chunk)
			done.Add(1)
			sum += int64(k)
		}
		n <- sum
	}()
	blocked := func() (int64, Totals, bool) {
		i := begun.Load()
		sum := r.Totals()
		return i, sum, i != done.Load() && sum.Held > 0
	}
	r.until("a stop", func() bool {
		look := time.NewTicker(time.Millisecond)
		defer look.Stop()
		i, sum, ok := blocked()
		for range 50 { // longer than a delayed ACK
			<-look.C
			if i2, sum2, ok2 := blocked(); !ok || !ok2 || i2 != i || sum2 != sum {
				return false
			}
		}
		return true
	})
	enough.Store(true)
	if from.Conn == from.tcp {
		from.SetWriteDeadline(time.Unix(1, 0))
		defer from.SetWriteDeadline(time.Time{})
		sum := <-n
		return func() int64 { return sum }
	}
	return sync.OnceValue(func() int64 { return <-n })
}

// pairing makes loopback connections, one at a time. One listener serves all.
var pairing struct {
	sync.Mutex
	net.Listener
}

// tcpPair returns both ends of a loopback connection.
func tcpPair(t testing.TB) (dialed, accepted *net.TCPConn) {
	t.Helper()
	d, a := connect(t, func(addr net.Addr) (net.Conn, error) { return net.Dial("tcp", addr.String()) })
	return d.(*net.TCPConn), a
}

func connect(t testing.TB, dial func(net.Addr) (net.Conn, error)) (net.Conn, *net.TCPConn) {
	t.Helper()
	pairing.Lock()
	defer pairing.Unlock()
	if pairing.Listener == nil {
		pairing.Listener = listen(t)
	}
	d, err := dial(pairing.Addr())
	if err != nil {
		t.Fatal(err)
	}
	a, err := pairing.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return d, a.(*net.TCPConn)
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var testCert = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

func tlsPair(t testing.TB, far, near net.Conn) (cli, srv *tls.Conn) {
	t.Helper()
	cli = tls.Client(far, &tls.Config{InsecureSkipVerify: true})
	srv = tls.Server(near, &tls.Config{Certificates: []tls.Certificate{testCert()}, SessionTicketsDisabled: true})
	shook := make(chan error, 1)
	go func() { shook <- srv.Handshake() }()
	if err := cli.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-shook; err != nil {
		t.Fatal(err)
	}
	return cli, srv
}

func (r *rig) say(to peer, s string) {
	r.t.Helper()
	if _, err := io.WriteString(to, s); err != nil {
		r.t.Fatal(err)
	}
}

// hear reads exactly what is wanted.
func (r *rig) hear(at peer, want string) {
	r.t.Helper()
	at.SetReadDeadline(time.Now().Add(patience))
	got := make([]byte, len(want))
	if n, err := io.ReadFull(at, got); err != nil || string(got) != want {
		r.t.Fatalf("got %q, %v; want %q", got[:n], err, want)
	}
}

// hearEnd reads a FIN.
func (r *rig) hearEnd(at peer) {
	r.t.Helper()
	at.SetReadDeadline(time.Now().Add(patience))
	if n, err := at.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		r.t.Fatalf("got %d bytes, %v; want the end", n, err)
	}
}

// hearReset reads to the end, which must be a RST. The error of it is reported
// once, so when a writer has had it, the state of the socket has to tell.
func (r *rig) hearReset(at peer) {
	r.t.Helper()
	at.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, at); !isReset(err) && at.tcp.CloseRead() == nil {
		r.t.Fatalf("got %v; want a reset", err)
	}
}
