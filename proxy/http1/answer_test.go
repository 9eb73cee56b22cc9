package http1

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// askFor appends a request and awaits its answer, which it returns.
func askFor(t *testing.T, c *Conn, request string) string {
	t.Helper()
	c.SetOut(append(c.Out(), request...))
	if err := c.AwaitAnswer(); err != nil {
		t.Fatal(err)
	}
	answer := string(c.Buffered())
	c.r = c.w
	return answer
}

// TestAwaitAnswer: many rounds with a peer that answers as fast as it can, so
// that an answer between the sending and the wait would be lost if it could.
func TestAwaitAnswer(t *testing.T) {
	a, b := socketPair(t)
	go func() {
		buf := make([]byte, 100)
		for {
			n, err := b.Read(buf)
			if err != nil {
				return
			}
			b.Write(bytes.ToUpper(buf[:n]))
		}
	}()
	c := NewConn(a)
	defer c.Close()
	for range 5000 {
		if got := askFor(t, c, "question"); got != "QUESTION" {
			t.Fatalf("got %q", got)
		}
	}
	if c.Sent() != 5000*8 || c.Received() != 5000*8 || c.out != nil {
		t.Errorf("sent %d, received %d, holds %v", c.Sent(), c.Received(), c.out != nil)
	}
	if got := askFor(t, scripted("answer"), "question"); got != "a" { // see AwaitHead
		t.Errorf("no socket: got %q", got)
	}
}

// TestAwaitAnswerLarge: a request that no socket buffer takes at once.
func TestAwaitAnswerLarge(t *testing.T) {
	a, b := socketPair(t)
	request := strings.Repeat("x", 4<<20)
	go func() {
		n, err := io.CopyN(io.Discard, b, int64(len(request)))
		if n == int64(len(request)) && err == nil {
			io.WriteString(b, "got it")
		}
		b.Close()
	}()
	c := NewConn(a)
	defer c.Close()
	if got := askFor(t, c, request); got != "got it" || c.Sent() != int64(len(request)) {
		t.Errorf("got %q, sent %d", got, c.Sent())
	}
}

// TestAwaitAnswerStale: a connection that the peer has closed or spoken on
// gets no request.
func TestAwaitAnswerStale(t *testing.T) {
	f := func(name string, do func(c *Conn, peer io.WriteCloser)) {
		t.Helper()
		a, b := socketPair(t)
		c := NewConn(a)
		c.taken = 1 // as after another answer
		do(c, b)
		c.SetOut(append(c.Out(), "question"...))
		if err := c.AwaitAnswer(); err != ErrStale || c.Sent() != 0 || string(c.Out()) != "question" {
			t.Errorf("%s: %v, sent %d, left %q", name, err, c.Sent(), c.Out())
		}
		c.Close()
		if n, _ := io.Copy(io.Discard, b); n != 0 {
			t.Errorf("%s: the peer read %d bytes", name, n)
		}
	}
	f("bytes nobody asked for", func(_ *Conn, peer io.WriteCloser) { io.WriteString(peer, "HTTP/1.1 408 Late\r\n") })
	f("such bytes, already read", func(c *Conn, peer io.WriteCloser) {
		io.WriteString(peer, "x")
		c.AwaitReadable()
	})
	f("sending side closed", func(_ *Conn, peer io.WriteCloser) { peer.(interface{ CloseWrite() error }).CloseWrite() })

	a, b := socketPair(t)
	b.Close()
	c := NewConn(a)
	defer c.Close()
	c.taken = 1
	c.SetOut(append(c.Out(), "question"...))
	if err := c.AwaitAnswer(); err != ErrStale {
		t.Errorf("closed: %v", err)
	}
}

// TestAwaitAnswerDeadline: a wait that ends can go on, and nothing is sent
// twice.
func TestAwaitAnswerDeadline(t *testing.T) {
	a, b := socketPair(t)
	c := NewConn(a)
	defer c.Close()
	c.InterruptRead()
	c.SetOut(append(c.Out(), "question"...))
	if err := c.AwaitAnswer(); !errors.Is(err, os.ErrDeadlineExceeded) || c.Sent() != 0 {
		t.Fatalf("passed before: %v, sent %d", err, c.Sent())
	}
	c.Resume()
	c.SetReadTimeout(time.Now(), time.Hour)
	result := make(chan error)
	go func() { result <- c.AwaitAnswer() }()
	if _, err := io.ReadFull(b, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	c.InterruptRead()
	if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) || c.Sent() != 8 {
		t.Fatalf("passed within: %v, sent %d", err, c.Sent())
	}
	c.Resume()
	c.SetReadTimeout(time.Now(), time.Hour)
	io.WriteString(b, "answer")
	b.(interface{ CloseWrite() error }).CloseWrite()
	if err := c.AwaitAnswer(); err != nil || string(c.Buffered()) != "answer" {
		t.Errorf("then: %v, %q", err, c.Buffered())
	}
	c.Close()
	if rest, _ := io.ReadAll(b); len(rest) != 0 {
		t.Errorf("sent again: %q", rest)
	}
}
