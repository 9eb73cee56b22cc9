package http1

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestBodyMustBeRead(t *testing.T) {
	for _, in := range []string{
		post11 + "Content-Length: 3\r\n\r\nabc" + next,
		te + "3\r\nabc\r\n0\r\n\r\n" + next,
	} {
		c := scripted(in)
		var req Request
		if err := c.ReadRequest(&req, Limits{}); err != nil {
			t.Fatal(err)
		}
		if err := c.ReadRequest(&req, Limits{}); err != ErrBodyUnread {
			t.Fatalf("got %v, want ErrBodyUnread", err)
		}
		io.Copy(io.Discard, c.Body())
		if got := readRequests(c, Limits{}); got != "GET /next @h" {
			t.Fatal(got)
		}
	}
}

func TestDetach(t *testing.T) {
	for _, sent := range []string{"", "early", strings.Repeat("x", 10_000)} {
		c := scripted(get11 + "Connection: upgrade\r\nUpgrade: x\r\n\r\n" + sent)
		var req Request
		if err := c.ReadRequest(&req, Limits{}); err != nil {
			t.Fatal(err)
		}
		nc, pending := c.Detach()
		scribble()
		rest, _ := io.ReadAll(nc)
		if got := string(pending) + string(rest); got != sent {
			t.Fatalf("%d of %d bytes came through", len(got), len(sent))
		}
		if err := c.ReadRequest(&req, Limits{}); err != ErrDetached {
			t.Errorf("read after Detach: %v", err)
		}
		c.SetOut(append(c.Out(), 'x'))
		if err := c.Flush(); err != ErrDetached {
			t.Errorf("write after Detach: %v", err)
		}
		if err := c.Close(); err != ErrDetached || nc.(*scriptConn).closed {
			t.Errorf("Close after Detach: %v, closed %v", err, nc.(*scriptConn).closed)
		}
	}
}

func TestProbe(t *testing.T) {
	a, b := socketPair(t)
	c := NewConn(a)
	f := func(when string, want State) {
		t.Helper()
		if got := c.Probe(); got != want {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	f("open", Quiet)
	awaiting := make(chan error)
	go func() { awaiting <- c.AwaitReadable() }()
	f("open, read by another goroutine", Quiet)
	io.WriteString(b, "x")
	if err := <-awaiting; err != nil {
		t.Fatal(err)
	}
	f("behind a read", Quiet)
	io.WriteString(b, "yz")
	f("with bytes", Readable)
	f("with the same bytes", Readable)
	c.r = c.w
	if err := c.AwaitReadable(); err != nil || string(c.Buffered()) != "yz" {
		t.Errorf("then read %q, %v", c.Buffered(), err)
	}
	b.Close()
	f("closed by the peer", Gone)
	c.Close()
	f("closed", Gone)
	if got := scripted("x").Probe(); got != Quiet {
		t.Errorf("no socket: %v", got)
	}
}

// TestAbort: another goroutine may close under a read.
func TestAbort(t *testing.T) {
	a, _ := socketPair(t)
	c := NewConn(a)
	result := make(chan error)
	go func() {
		err := c.AwaitHead()
		c.Close()
		result <- err
	}()
	c.Abort()
	if err := <-result; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// TestCloseLingering: a client that sends more than anybody reads still gets
// its answer.
func TestCloseLingering(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		nc, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		c := NewConn(nc)
		var req Request
		err = c.ReadRequest(&req, Limits{})
		e := new(Error)
		if !errors.As(err, &e) {
			served <- fmt.Errorf("not rejected: %w", err)
			return
		}
		out := AppendStatusLine(c.Out(), e.Status, "Bad Request")
		c.SetOut(AppendHeadEnd(AppendField(out, "Connection", "close")))
		served <- c.CloseLingering(1<<20, time.Minute)
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "GET / HTTP/1.1\nHost: h\r\n\r\n"+strings.Repeat("x", 200_000))
	answer, err := io.ReadAll(nc)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("the client read %q, %v", answer, err)
	}
	nc.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestLingerBound: what a peer sends beyond the bound is not waited for.
func TestLingerBound(t *testing.T) {
	s := &endless{}
	c := NewConn(s)
	var req Request
	if err := c.ReadRequest(&req, Limits{}); err == nil {
		t.Fatal("accepted NULs")
	}
	c.CloseLingering(100_000, time.Hour)
	if !s.closed || s.read < 100_000 || s.read > 200_000 {
		t.Errorf("closed %v behind %d bytes", s.closed, s.read)
	}
}

// TestNoLinger: a peer that owes nothing is not waited for.
func TestNoLinger(t *testing.T) {
	a, b := socketPair(t)
	io.WriteString(b, post11+"Connection: close\r\nContent-Length: 3\r\n\r\nabc")
	c := NewConn(a)
	var req Request
	if err := c.ReadRequest(&req, Limits{}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c.Body()); err != nil {
		t.Fatal(err)
	}
	c.SetOut(append(c.Out(), "answer"...))
	if err := c.CloseLingering(1<<20, 1000*time.Hour); err != nil { // b stays open
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(b); err != nil || string(answer) != "answer" {
		t.Errorf("the peer read %q, %v", answer, err)
	}
}

type endless struct {
	scriptConn
	read int
}

func (e *endless) Read(p []byte) (int, error) { clear(p); e.read += len(p); return len(p), nil }
func (e *endless) CloseWrite() error          { return nil }

// TestReusable walks a backend's connection through an exchange.
func TestReusable(t *testing.T) {
	f := func(name, answer string, want bool, do func(*Conn)) {
		t.Helper()
		c := scripted(answer)
		if c.Reusable() {
			t.Errorf("%s: fresh connection is reusable", name)
		}
		c.SetOut(append(c.Out(), get11+"\r\n"...))
		c.StartBody(Framing{}).Close(nil)
		c.Flush()
		var resp Response
		if err := c.ReadResponse(&resp, []byte("GET"), Limits{}); err != nil {
			t.Fatal(err)
		}
		if do == nil {
			io.Copy(io.Discard, c.Body())
		} else {
			do(c)
		}
		if got := c.Reusable(); got != want {
			t.Errorf("%s: reusable %v", name, got)
		}
	}
	length := ok11 + "Content-Length: 3\r\n\r\nabc"
	f("read", length, true, nil)
	f("not read", length, false, func(*Conn) {})
	f("read by half", length, false, func(c *Conn) { io.ReadFull(c.Body(), make([]byte, 2)) })
	f("bytes behind", length+"x", false, nil)
	f("close", ok11+"Connection: close\r\nContent-Length: 3\r\n\r\nabc", false, nil)
	f("http/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", false, nil)
	f("until close", ok11+"\r\nabc", false, nil)
	f("cut", ok11+"Content-Length: 4\r\n\r\nabc", false, nil)
	f("chunked", ok11+"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true, nil)
	f("chunked, end not read", ok11+"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", false, func(c *Conn) { c.Body().Next() })
	f("204", "HTTP/1.1 204 No Content\r\n\r\n", true, nil)
	f("204 with bytes behind", "HTTP/1.1 204 No Content\r\n\r\nabc", false, nil)
	f("interim", "HTTP/1.1 100 Continue\r\n\r\n", false, nil)
	f("switched", "HTTP/1.1 101 Switching Protocols\r\n\r\n", false, nil)
	f("request not finished", length, false, func(c *Conn) {
		io.Copy(io.Discard, c.Body())
		c.StartBody(Framing{Kind: Length, Length: 1})
	})
	f("request not flushed", length, false, func(c *Conn) {
		io.Copy(io.Discard, c.Body())
		c.SetOut(append(c.Out(), 'x'))
	})
}
