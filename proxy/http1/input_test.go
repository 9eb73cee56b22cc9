package http1

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
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

// TestReady: Next reads from the connection if and only if Ready said that it
// would, however the body is cut; so a piece is flushed exactly when the next
// one is not there.
func TestReady(t *testing.T) {
	for _, in := range []string{
		ok11 + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00a\r\n0123456789\r\n0\r\nA: b\r\nC: d\r\n\r\n",
		ok11 + "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n",
		ok11 + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\nworld\r\n",
		ok11 + "Content-Length: 5\r\n\r\nhello",
		ok11 + "\r\nhello",
		ok11 + "Content-Length: 0\r\n\r\n",
	} {
		for _, pieces := range splits(in) {
			var reads []int
			c := NewConn(&readSizes{scripted(pieces...).NetConn(), &reads})
			var resp Response
			if err := c.ReadResponse(&resp, nil, Limits{}); err != nil {
				t.Fatal(err)
			}
			for {
				reads = nil
				ready := c.Body().Ready()
				if len(reads) > 0 {
					t.Fatal("Ready read from the connection")
				}
				piece, err := c.Body().Next()
				if ready != (len(reads) == 0) {
					t.Fatalf("%q in %d pieces: Ready was %v, Next read %d times for %q, %v", in, len(pieces), ready, len(reads), piece, err)
				}
				if err != nil {
					break
				}
			}
		}
	}
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
