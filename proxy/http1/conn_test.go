package http1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestIdleHoldsNoBuffer: a wait on a socket has no buffer, neither before the
// first byte nor between two exchanges.
func TestIdleHoldsNoBuffer(t *testing.T) {
	a, b := socketPair(t)
	c := NewConn(a)
	wait := func(when string) {
		t.Helper()
		c.Release()
		// The poller asks readReady, hears false, and would wait.
		var waits bool
		c.dropInput()
		c.rc.Read(func(fd uintptr) bool { waits = !c.readReady(fd); return true })
		if !waits || c.in != nil || c.head != nil || c.out != nil {
			t.Fatalf("%s: waits %v, holds in %v, head %v, out %v", when, waits, c.in != nil, c.head != nil, c.out != nil)
		}
	}
	wait("fresh")
	var req Request
	for i := range 3 {
		io.WriteString(b, post11+"Content-Length: 3\r\n\r\nabc")
		if err := c.AwaitHead(); err != nil {
			t.Fatal(err)
		}
		if err := c.ReadRequest(&req, Limits{}); err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(c.Body()); err != nil || string(body) != "abc" {
			t.Fatalf("body %q, %v", body, err)
		}
		c.SetOut(AppendHeadEnd(AppendStatusLine(c.Out(), 204, "No Content")))
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		wait(fmt.Sprint("behind exchange ", i))
	}
}

// TestIdleHoldsOneByte: other connections wait with one byte.
func TestIdleHoldsOneByte(t *testing.T) {
	var sizes []int
	c := NewConn(&readSizes{&scriptConn{pieces: [][]byte{[]byte(get11 + "\r\n")}}, &sizes})
	if err := c.AwaitHead(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(sizes, []int{1}) {
		t.Errorf("waited with buffers of %v bytes", sizes)
	}
	if got := readRequests(c, Limits{}); got != "GET / @h" {
		t.Error(got)
	}
}

type readSizes struct {
	net.Conn
	sizes *[]int
}

func (r *readSizes) Read(p []byte) (int, error) {
	*r.sizes = append(*r.sizes, len(p))
	return r.Conn.Read(p)
}

// scribble overwrites what lies in the pools: a buffer given back while
// something still points into it shows.
func scribble() {
	var all [][]byte
	for range 8 {
		all = append(all, getBuffer(smallSize), getBuffer(largeSize))
	}
	for _, b := range all {
		for i := range b {
			b[i] = '#'
		}
		putBuffer(b)
	}
}

// TestBufferSizes: a large buffer is taken for what is known or seen to be
// large, and not otherwise.
func TestBufferSizes(t *testing.T) {
	f := func(framing, body string, want ...int) {
		t.Helper()
		var sizes []int
		head := ok11 + framing + "\r\n"
		s := &scriptConn{pieces: [][]byte{[]byte(head)}}
		for len(body) > 0 {
			n := min(len(body), 5000)
			s.pieces = append(s.pieces, []byte(body[:n]))
			body = body[n:]
		}
		c := NewConn(&readSizes{s, &sizes})
		var resp Response
		if err := c.ReadResponse(&resp, nil, Limits{}); err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := c.Body().Next(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(sizes, want) {
			t.Errorf("%q: read with %v, want %v", framing, sizes, want)
		}
	}
	x := func(n int) string { return strings.Repeat("x", n) }
	const small, large = smallSize, largeSize
	f("Content-Length: 100\r\n", x(100), small, small)
	f("Content-Length: 4096\r\n", x(4096), small, small)
	f("Content-Length: 4097\r\n", x(4097), small, large)
	f("Content-Length: 16000\r\n", x(16000), small, large, large, large, small)
	f("Transfer-Encoding: chunked\r\n", "64\r\n"+x(100)+"\r\n0\r\n\r\n", small, small)
	f("Transfer-Encoding: chunked\r\n", "1f40\r\n"+x(8000)+"\r\n0\r\n\r\n", small, small, large, large)
	f("", x(100), small, small, small)
	f("", x(12000), small, small, large, large, large, large)
}

// TestHeadOutlivesBody: reading a body of any size, and waiting for the next
// request, leaves the head's slices alone; Release keeps unread bytes.
func TestHeadOutlivesBody(t *testing.T) {
	for _, size := range []int{0, 1, 3000, 4096, 5000, 32 << 10, 100_000} {
		for _, chunked := range []bool{false, true} {
			in := fmt.Sprintf("%sX-Mark: mark\r\nContent-Length: %d\r\n\r\n%s", post11, size, strings.Repeat("z", size))
			if chunked {
				in = post11 + "X-Mark: mark\r\nTransfer-Encoding: chunked\r\n\r\n"
				for n := size; n > 0; n -= 1000 {
					in += fmt.Sprintf("%x\r\n%s\r\n", min(n, 1000), strings.Repeat("z", min(n, 1000)))
				}
				in += "0\r\nA: trailer\r\n\r\n"
			}
			a, b := socketPair(t)
			go func() {
				io.WriteString(b, in)
				io.WriteString(b, next)
				b.Close()
			}()
			c := NewConn(a)
			var req Request
			if err := c.ReadRequest(&req, Limits{}); err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(c.Body())
			if err != nil || len(body) != size || bytes.Count(body, []byte("z")) != size {
				t.Fatalf("size %d, chunked %v: body of %d bytes, %v", size, chunked, len(body), err)
			}
			if err := c.AwaitReadable(); err != nil {
				t.Fatal(err)
			}
			scribble()
			mark, _ := req.Get("x-mark")
			if string(req.Method) != "POST" || string(req.Host) != "h" || string(mark) != "mark" {
				t.Fatalf("size %d, chunked %v: the head became %q %q %q", size, chunked, req.Method, req.Host, mark)
			}
			if tr := c.Body().Trailers(); chunked && (len(tr) != 1 || string(tr[0].Value) != "trailer") {
				t.Fatalf("trailers became %v", tr)
			}
			c.Release()
			if got := readRequests(c, Limits{}); got != "GET /next @h" {
				t.Fatalf("size %d, chunked %v: behind the body: %s", size, chunked, got)
			}
			c.Close()
		}
	}
}

// TestHeadOutlivesChunkLine: a chunk line cut by the end of the buffer that the
// head lies in moves elsewhere, not over the head.
func TestHeadOutlivesChunkLine(t *testing.T) {
	head := post11 + "Transfer-Encoding: chunked\r\n\r\n"
	for cut := range 12 {
		n := smallSize - len(head) - len("fff\r\n") - cut
		in := fmt.Sprintf("%s%x\r\n%s\r\n0005\r\n12345\r\n0\r\n\r\n", head, n, strings.Repeat("z", n))
		c := scripted(in)
		var req Request
		if err := c.ReadRequest(&req, Limits{}); err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(c.Body())
		if err != nil || len(body) != n+5 || string(body[n:]) != "12345" {
			t.Fatalf("cut %d: body of %d bytes, %v", cut, len(body), err)
		}
		scribble()
		if line := fmt.Sprintf("%s %s", req.Method, req.Target); line != "POST /" {
			t.Fatalf("cut %d: the head became %q", cut, line)
		}
	}
}

// TestPipelined: many requests in one buffer, cut by its end.
func TestPipelined(t *testing.T) {
	in := strings.Repeat(next, 1000)
	want := strings.Repeat("GET /next @h\n", 999) + "GET /next @h"
	if got := readRequests(scripted(in), Limits{}); got != want {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
}

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

func TestPending(t *testing.T) {
	s := &scriptConn{pieces: [][]byte{[]byte("ost: h\r\n\r\n" + next)}}
	c := NewConnPending(s, []byte("GET / HTTP/1.1\r\nH"))
	if got := readRequests(c, Limits{}); got != "GET / @h\nGET /next @h" {
		t.Error(got)
	}
	long := get11 + "A: " + strings.Repeat("b", 40<<10)
	c = NewConnPending(&scriptConn{}, []byte(long))
	if string(c.Buffered()) != long {
		t.Errorf("%d of %d bytes are pending", len(c.Buffered()), len(long))
	}
}

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
	c.InterruptRead()
	f(2.5, 80*time.Millisecond, "read 02.590") // whatever was set is gone
	c.SetWriteTimeout(at(3), 8*time.Second)
	c.SetWriteTimeout(at(3.5), 8*time.Second)
	c.InterruptWrite()
	c.SetWriteTimeout(at(3.5), 8*time.Second)
	if want := []string{"read 02.590", "write 12.000", "write 01.000", "write 12.500"}; !slices.Equal(s.deadlines, want) {
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
		c.SetOut(append(c.Out(), "x"...))
		go func() { result <- c.Flush() }()
		synctest.Wait()
		c.InterruptWrite()
		if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the write ended with %v", err)
		}
	})
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
	NewConn(s).CloseLingering(100_000, time.Hour)
	if !s.closed || s.read < 100_000 || s.read > 200_000 {
		t.Errorf("closed %v behind %d bytes", s.closed, s.read)
	}
}

type endless struct {
	scriptConn
	read int
}

func (e *endless) Read(p []byte) (int, error) { e.read += len(p); return len(p), nil }
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
