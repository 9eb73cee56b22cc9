package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestDeadlines: a timeout is not set again while the one set fires in time,
// and never fires early.
func TestDeadlines(t *testing.T) {
	start := time.Unix(0, 0)
	s := &scriptConn{}
	c := NewConn(s)
	at := func(sec float64) time.Time { return start.Add(time.Duration(sec * float64(time.Second))) }
	f := func(now float64, timeout time.Duration, want ...string) {
		t.Helper()
		s.deadlines = nil
		c.SetReadTimeout(at(now), timeout)
		if !slices.Equal(s.deadlines, want) {
			t.Errorf("timeout of %v at %v s: set %q, want %q", timeout, now, s.deadlines, want)
		}
	}
	f(0, 0)                             // none is set already
	f(0, 10*time.Second, "read 11.000") // 1 s of slack
	f(0, 10*time.Second)
	f(1, 10*time.Second)                   // still just in time
	f(1.01, 10*time.Second, "read 12.010") // would be early
	f(1.1, 4*time.Second, "read 05.600")   // would be late; slack of an eighth
	f(1.1, 4*time.Second)
	f(1.6, 4*time.Second)
	f(1.7, 4*time.Second, "read 06.200")
	f(1.8, 0, "read none")
	f(1.8, 0)
	f(2, 80*time.Millisecond, "read 02.090")
	f(2.005, 80*time.Millisecond)
	f(2.5, 80*time.Millisecond, "read 02.590") // the old one has passed
	s.deadlines = nil
	c.SetWriteTimeout(at(3), 8*time.Second)
	c.SetWriteTimeout(at(3.5), 8*time.Second)
	c.InterruptWrite()
	c.SetWriteTimeout(at(3.6), 8*time.Second) // has no effect
	c.SetWriteTimeout(at(3.6), 0)
	c.Resume()
	c.Resume()
	c.SetWriteTimeout(at(3.6), 8*time.Second)
	if want := []string{"write 12.000", "write 01.000", "write none", "write 12.600"}; !slices.Equal(s.deadlines, want) {
		t.Errorf("set %q, want %q", s.deadlines, want)
	}
}

// TestHeadTimeout: the time for a head starts with its first byte, and costs
// nothing when the head comes whole.
func TestHeadTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer b.Close()
		c := NewConn(a)
		defer c.Close()
		lim := Limits{HeadTimeout: 10 * time.Second}
		start := time.Now()
		go func() {
			time.Sleep(60 * time.Second)
			io.WriteString(b, "GET / HTTP/1.1\r\n")
			time.Sleep(5 * time.Second)
			io.WriteString(b, "Host: h\r\n")
		}()
		var req Request
		c.SetReadTimeout(start, 75*time.Second)
		err := c.ReadRequest(&req, lim)
		if e := new(Error); !errors.As(err, &e) || e.Status != 408 || e.Cause != CauseHeadTimeout {
			t.Errorf("got %v, want 408", err)
		}
		if took := time.Since(start); took != 70*time.Second {
			t.Errorf("took %v, want 70 s", took)
		}
	})
	// A head that outgrows its buffer gets no more time for it.
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		c := NewConn(a)
		start := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 100 {
				if _, err := io.WriteString(b, "GET /"+strings.Repeat("a", 1000)); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		var req Request
		err := c.ReadRequest(&req, Limits{HeadTimeout: 10 * time.Second})
		if e := new(Error); !errors.As(err, &e) || e.Status != 408 || time.Since(start) != 10*time.Second {
			t.Errorf("got %v after %v, want 408 after 10 s", err, time.Since(start))
		}
		c.Close()
		<-done
	})
	s := &scriptConn{pieces: [][]byte{[]byte(get11 + "\r\n")}}
	var req Request
	if err := NewConn(s).ReadRequest(&req, DefaultLimits()); err != nil || s.deadlines != nil {
		t.Errorf("a whole head: %v, deadlines %q", err, s.deadlines)
	}
}

// TestTimeoutBeforeHead: a deadline between two requests is no Error, and the
// wait can go on.
func TestTimeoutBeforeHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		c := NewConn(a)
		defer c.Close()
		var req Request
		c.SetReadTimeout(time.Now(), time.Second)
		if err := c.AwaitHead(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("AwaitHead: %v", err)
		}
		if err := c.ReadRequest(&req, DefaultLimits()); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("ReadRequest: %v", err)
		}
		go func() {
			io.WriteString(b, get11+"\r\n")
			b.Close()
		}()
		c.SetReadTimeout(time.Now(), time.Second)
		if got := readRequests(c, DefaultLimits()); got != "GET / @h" {
			t.Error(got)
		}
	})
}

// TestTimeoutInHead: without a timeout of its own a head can be waited for
// again.
func TestTimeoutInHead(t *testing.T) {
	c := NewConn(&pausing{scriptConn{pieces: [][]byte{[]byte("\r\nGET / HT"), nil, []byte("TP/1.1\r\nHos"), nil, []byte("t: h\r\n\r\n")}}})
	var req Request
	for range 2 {
		if err := c.ReadRequest(&req, Limits{}); err != os.ErrDeadlineExceeded {
			t.Fatal(err)
		}
	}
	if got := readRequests(c, Limits{}); got != "GET / @h" {
		t.Error(got)
	}
}

// TestBodyTimeout: a pause in a body can be waited out.
func TestBodyTimeout(t *testing.T) {
	for _, c := range []*Conn{
		NewConn(&pausing{scriptConn{pieces: [][]byte{[]byte(post11 + "Content-Length: 6\r\n\r\nabc"), nil, []byte("def")}}}),
		NewConn(&pausing{scriptConn{pieces: [][]byte{[]byte(te + "6\r\nabc"), nil, []byte("def\r\n0\r"), nil, []byte("\n\r\n")}}}),
	} {
		var req Request
		if err := c.ReadRequest(&req, Limits{}); err != nil {
			t.Fatal(err)
		}
		var got []byte
		pauses := 0
		for {
			p, err := c.Body().Next()
			if err == io.EOF {
				break
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				pauses++
			} else if err != nil {
				t.Fatal(err)
			}
			got = append(got, p...)
		}
		if string(got) != "abcdef" || pauses == 0 {
			t.Errorf("body %q with %d pauses", got, pauses)
		}
	}
}

// pausing answers os.ErrDeadlineExceeded at an empty piece.
type pausing struct{ scriptConn }

func (p *pausing) Read(b []byte) (int, error) {
	for len(p.pieces) > 0 && p.pieces[0] != nil && len(p.pieces[0]) == 0 {
		p.pieces = p.pieces[1:]
	}
	if len(p.pieces) > 0 && p.pieces[0] == nil {
		p.pieces = p.pieces[1:]
		return 0, os.ErrDeadlineExceeded
	}
	return p.scriptConn.Read(b)
}

func TestInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer b.Close()
		c := NewConn(a)
		defer c.Close()
		result := make(chan error)
		go func() { result <- c.AwaitReadable() }()
		synctest.Wait()
		c.InterruptRead()
		if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the read ended with %v", err)
		}
		// One that has not begun is stopped too, whatever it sets before.
		c.SetReadTimeout(time.Now(), time.Hour)
		var req Request
		if err := c.ReadRequest(&req, DefaultLimits()); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the next read ended with %v", err)
		}
		c.Resume()
		c.SetReadTimeout(time.Now(), time.Hour)
		go io.WriteString(b, "x")
		if err := c.AwaitReadable(); err != nil {
			t.Errorf("the read behind Resume ended with %v", err)
		}
		c.SetOut(append(c.Out(), "x"...))
		go func() { result <- c.Flush() }()
		synctest.Wait()
		c.InterruptWrite()
		if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the write ended with %v", err)
		}
	})
}
