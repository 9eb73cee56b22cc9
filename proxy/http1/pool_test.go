package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// peers makes a pool over socket pairs; what it dialed can be had as the other
// ends, in order.
type peers struct {
	t     testing.TB
	ends  []net.Conn
	conns []net.Conn
}

func (p *peers) dial(context.Context, string) (net.Conn, error) {
	a, b := socketPair(p.t)
	p.conns = append(p.conns, a)
	p.ends = append(p.ends, b)
	return a, nil
}

// exchange sends a request on c and lets the peer answer.
func exchange(t testing.TB, c *Conn, peer net.Conn, answer string) {
	t.Helper()
	c.SetOut(append(c.Out(), get11+"\r\n"...))
	c.StartBody(Framing{}).Close(nil)
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(peer, make([]byte, len(get11)+2)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(peer, answer); err != nil {
		t.Fatal(err)
	}
	var resp Response
	if err := c.ReadResponse(&resp, []byte("GET"), Limits{}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c.Body()); err != nil {
		t.Fatal(err)
	}
}

const short = ok11 + "Content-Length: 2\r\n\r\nok"

func TestPoolReuse(t *testing.T) {
	ps := &peers{t: t}
	p := NewPool(PoolConfig{Addr: "backend:80", Dial: ps.dial})
	defer p.Close()
	get := func(wantReused bool) *Conn {
		t.Helper()
		c, reused, err := p.Get(t.Context())
		if err != nil || reused != wantReused {
			t.Fatalf("Get: reused %v, %v", reused, err)
		}
		return c
	}
	end := func(c *Conn) net.Conn { return ps.ends[slices.Index(ps.conns, c.NetConn())] }

	first, second := get(false), get(false)
	for _, c := range []*Conn{first, second} {
		exchange(t, c, end(c), short)
		p.Put(c)
		if c.in != nil || c.head != nil || c.out != nil {
			t.Error("an idle connection holds a buffer")
		}
	}
	if n := p.Idle(); n != 2 {
		t.Fatalf("%d idle", n)
	}
	// The most recent first.
	if c := get(true); c != second {
		t.Error("got the older one")
	}
	exchange(t, second, end(second), short)
	p.Put(second)

	// Closed by the backend while idle; then, answering unasked.
	end(second).Close()
	if c := get(true); c != first {
		t.Error("got a closed connection")
	}
	exchange(t, first, end(first), short)
	p.Put(first)
	io.WriteString(end(first), "HTTP/1.1 200 OK\r\n")
	third := get(false)
	if _, err := io.ReadAll(end(first)); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the suspect connection: %v", err)
	}

	// Not in a state to be used again.
	exchange(t, third, end(third), ok11+"Connection: close\r\nContent-Length: 2\r\n\r\nok")
	p.Put(third)
	if n := p.Idle(); n != 0 {
		t.Errorf("%d idle, want 0", n)
	}
	if _, err := io.ReadAll(end(third)); err != nil {
		t.Errorf("the connection that says close: %v", err)
	}
	if c, err := p.Dial(t.Context()); err != nil || len(ps.ends) != 4 {
		t.Errorf("Dial: %v", err)
	} else {
		c.Close()
	}
}

func TestPoolBounds(t *testing.T) {
	for max, want := range map[int]int{2: 2, -1: 0, 0: 5} {
		ps := &peers{t: t}
		p := NewPool(PoolConfig{Addr: "backend:80", Dial: ps.dial, MaxIdle: max})
		var conns []*Conn
		for i := range 5 {
			c, _, err := p.Get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, c, ps.ends[i], short)
			conns = append(conns, c)
		}
		for _, c := range conns {
			p.Put(c)
		}
		if n := p.Idle(); n != want {
			t.Errorf("MaxIdle %d: %d idle, want %d", max, n, want)
		}
		p.CloseIdle()
		if n := p.Idle(); n != 0 {
			t.Errorf("%d idle behind CloseIdle", n)
		}
		for _, e := range ps.ends {
			if _, err := io.ReadAll(e); err != nil {
				t.Errorf("not closed: %v", err)
			}
		}
		p.Close()
	}
}

// TestPoolExpiry: an idle connection lives for its time and a quarter at most,
// and a pool without any has no timer.
func TestPoolExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ends []net.Conn
		p := NewPool(PoolConfig{Addr: "backend:80", IdleTimeout: 40 * time.Second,
			Dial: func(context.Context, string) (net.Conn, error) {
				a, b := net.Pipe()
				ends = append(ends, b)
				return a, nil
			}})
		put := func() {
			c, err := p.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c.headKeepAlive = true
			p.Put(c)
		}
		idle := func(want int) {
			t.Helper()
			synctest.Wait()
			if n := p.Idle(); n != want {
				t.Errorf("%d idle, want %d", n, want)
			}
		}
		put()
		time.Sleep(35 * time.Second)
		put()
		time.Sleep(5 * time.Second) // 40 s, 5 s
		idle(2)
		time.Sleep(10*time.Second + 1) // 50 s, 15 s
		idle(1)
		if _, err := ends[0].Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the expired connection: %v", err)
		}
		time.Sleep(25 * time.Second) // 40 s
		idle(1)
		time.Sleep(10 * time.Second)
		idle(0)
		if p.armed {
			t.Error("the timer of an empty pool runs")
		}
		time.Sleep(time.Hour)
		put()
		time.Sleep(39 * time.Second)
		idle(1)
		time.Sleep(12 * time.Second)
		idle(0)
		put()
		p.Close()
		idle(0)
	})
}

func TestPoolClose(t *testing.T) {
	ps := &peers{t: t}
	p := NewPool(PoolConfig{Addr: "backend:80", Dial: ps.dial})
	idle, _ := p.Dial(t.Context())
	used, _ := p.Dial(t.Context())
	exchange(t, idle, ps.ends[0], short)
	p.Put(idle)
	p.Close()
	if _, err := io.ReadAll(ps.ends[0]); err != nil {
		t.Errorf("the idle connection: %v", err)
	}
	exchange(t, used, ps.ends[1], short) // goes on
	p.Put(used)
	if _, err := io.ReadAll(ps.ends[1]); err != nil || p.Idle() != 0 {
		t.Errorf("the used connection: %v, %d idle", err, p.Idle())
	}
	_, _, err := p.Get(t.Context())
	var de *DialError
	if !errors.As(err, &de) || !errors.Is(err, ErrPoolClosed) {
		t.Errorf("Get: %v", err)
	}
}

func TestDialErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, _, err = NewPool(PoolConfig{Addr: addr}).Get(t.Context())
	var de *DialError
	if !errors.As(err, &de) || de.Addr != addr || de.Timeout() {
		t.Errorf("refused: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(PoolConfig{Addr: "backend:80", DialTimeout: 3 * time.Second,
			Dial: func(ctx context.Context, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}})
		start := time.Now()
		_, _, err := p.Get(t.Context())
		var de *DialError
		if !errors.As(err, &de) || !de.Timeout() || time.Since(start) != 3*time.Second {
			t.Errorf("timeout: %v after %v", err, time.Since(start))
		}
	})
}

// TestHandshakeFails: a backend that speaks no TLS is a DialError, and its
// connection is closed.
func TestHandshakeFails(t *testing.T) {
	a, b := socketPair(t)
	p := NewPool(PoolConfig{Addr: "backend:443", TLS: &tls.Config{},
		Dial: func(context.Context, string) (net.Conn, error) { return a, nil }})
	io.WriteString(b, "HTTP/1.1 400 Bad Request\r\n\r\n")
	_, _, err := p.Get(t.Context())
	var de *DialError
	if !errors.As(err, &de) {
		t.Errorf("got %v", err)
	}
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection: %v", err)
	}
}

// TestPoolTCP talks to net/http's server.
func TestPoolTCP(t *testing.T) {
	var conns atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.URL.Path)
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	p := NewPool(PoolConfig{Addr: srv.Listener.Addr().String()})
	defer p.Close()
	talk(t, p)
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for requests one after the other", n)
	}
}

func TestPoolTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.URL.Path)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	roots := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	p := NewPool(PoolConfig{Addr: srv.Listener.Addr().String(), TLS: &tls.Config{RootCAs: roots}})
	defer p.Close()
	talk(t, p)

	stranger := NewPool(PoolConfig{Addr: srv.Listener.Addr().String(), TLS: &tls.Config{}})
	defer stranger.Close()
	_, _, err := stranger.Get(t.Context())
	var de *DialError
	var unknown *tls.CertificateVerificationError
	if !errors.As(err, &de) || !errors.As(err, &unknown) {
		t.Errorf("unknown authority: %v", err)
	}

	// A dead idle connection is seen through TLS.
	srv.CloseClientConnections()
	for p.idle[0].c.Probe() == Quiet { // until the end of the stream is here
		runtime.Gosched()
	}
	c, reused, err := p.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if reused {
		t.Error("got a connection that the server has closed")
	}
}

// talk makes a few exchanges, all but the first on the same connection.
func talk(t *testing.T, p *Pool) {
	t.Helper()
	var resp Response
	for i, path := range []string{"/a", "/b", "/c"} {
		c, reused, err := p.Get(t.Context())
		if err != nil || reused != (i > 0) {
			t.Fatalf("Get: reused %v, %v", reused, err)
		}
		out := AppendRequestLine(c.Out(), "GET", path)
		c.SetOut(AppendHeadEnd(AppendField(out, "Host", "h")))
		c.StartBody(Framing{}).Close(nil)
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := c.AwaitHead(); err != nil {
			t.Fatal(err)
		}
		if err := c.ReadResponse(&resp, []byte("GET"), DefaultLimits()); err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(c.Body())
		if err != nil || resp.Status != 200 || string(body) != path {
			t.Fatalf("%d %q, %v", resp.Status, body, err)
		}
		p.Put(c)
	}
}
