package http1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestBodyWriter: what is sent, and in how many writes, on a connection
// without writev.
func TestBodyWriter(t *testing.T) {
	f := func(framing Framing, pieces []string, trailers []Field, want string, writes int) {
		t.Helper()
		s := &scriptConn{}
		c := NewConn(s)
		c.SetOut(append(c.Out(), "HEAD "...))
		w := c.StartBody(framing)
		for _, p := range pieces {
			if p == "flush" {
				w.Flush()
			} else if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
				t.Fatalf("Write: %d, %v", n, err)
			}
		}
		if err := w.Close(trailers); err != nil {
			t.Fatal(err)
		}
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		if string(s.sent) != want || s.writes != writes {
			t.Errorf("sent %.100q in %d writes, want %.100q in %d", s.sent, s.writes, want, writes)
		}
		if c.out != nil || c.Sent() != int64(len(want)) {
			t.Errorf("holds a buffer %v, counted %d of %d", c.out != nil, c.Sent(), len(want))
		}
	}
	chunked := Framing{Kind: Chunked}
	long := strings.Repeat("x", 40<<10)
	half := strings.Repeat("y", 3000)
	f(Framing{}, nil, nil, "HEAD ", 1)
	f(Framing{Kind: Length}, nil, nil, "HEAD ", 1)
	f(Framing{Length, 3}, []string{"a", "", "bc"}, nil, "HEAD abc", 1)
	f(Framing{Length, 3}, []string{"a", "flush", "bc"}, nil, "HEAD abc", 2)
	f(Framing{Length, 40 << 10}, []string{long}, nil, "HEAD "+long, 2)
	f(Framing{Kind: UntilClose}, []string{"a", "bc"}, nil, "HEAD abc", 1)
	f(chunked, nil, nil, "HEAD 0\r\n\r\n", 1)
	f(chunked, []string{"abc", "", "0123456789abcdef"}, nil, "HEAD 3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n", 1)
	f(chunked, []string{"abc", "flush"}, nil, "HEAD 3\r\nabc\r\n0\r\n\r\n", 2)
	f(chunked, []string{"abc"}, []Field{{Name: []byte("A"), Value: []byte("b")}}, "HEAD 3\r\nabc\r\n0\r\nA: b\r\n\r\n", 1)
	f(chunked, []string{long}, nil, "HEAD a000\r\n"+long+"\r\n0\r\n\r\n", 3)
	f(chunked, []string{half, half, half}, nil, "HEAD "+strings.Repeat("bb8\r\n"+half+"\r\n", 3)+"0\r\n\r\n", 1)
}

// TestBodyWriterVectors: the same bytes go out of a socket, where large pieces
// are not copied.
func TestBodyWriterVectors(t *testing.T) {
	for _, kind := range []FramingKind{Length, Chunked, UntilClose} {
		a, b := socketPair(t)
		var want []byte
		for i := range 60 {
			want = append(want, bytes.Repeat([]byte{byte('a' + i%26)}, 1+i*i*7)...)
		}
		go func() {
			c := NewConn(a)
			defer c.Close()
			out := AppendStatusLine(c.Out(), 200, "OK")
			framing := Framing{Kind: kind}
			if kind == Length {
				framing.Length = int64(len(want))
			}
			c.SetOut(AppendHeadEnd(AppendFraming(out, framing)))
			w := c.StartBody(framing)
			rest := want
			for i := range 60 {
				n := 1 + i*i*7
				if _, err := w.Write(rest[:n]); err != nil {
					t.Error(err)
				}
				rest = rest[n:]
			}
			w.Close(nil)
			if err := c.Flush(); err != nil {
				t.Error(err)
			}
		}()
		c := NewConn(b)
		var resp Response
		if err := c.ReadResponse(&resp, []byte("GET"), Limits{}); err != nil {
			t.Fatal(err)
		}
		if resp.Framing.Kind != kind {
			t.Fatalf("framing %v, want %v", resp.Framing.Kind, kind)
		}
		if got, err := io.ReadAll(c.Body()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: read %d of %d bytes, %v", kind, len(got), len(want), err)
		}
		c.Close()
	}
}

// TestBodyWriterNeverRepairs: a body of another length than declared is an
// error before it is sent.
func TestBodyWriterNeverRepairs(t *testing.T) {
	f := func(framing Framing, want string, do func(w *BodyWriter) error, wantErr error) {
		t.Helper()
		s := &scriptConn{}
		c := NewConn(s)
		err := do(c.StartBody(framing))
		c.Flush()
		if !errors.Is(err, wantErr) || string(s.sent) != want {
			t.Errorf("sent %q, %v; want %q, %v", s.sent, err, want, wantErr)
		}
	}
	write := func(pieces ...string) func(w *BodyWriter) error {
		return func(w *BodyWriter) (err error) {
			for _, p := range pieces {
				if _, err = w.Write([]byte(p)); err != nil {
					return err
				}
			}
			return w.Close(nil)
		}
	}
	f(Framing{Length, 3}, "", write("abcd"), ErrBodyTooLong)
	f(Framing{Length, 3}, "ab", write("ab", "cd"), ErrBodyTooLong)
	f(Framing{Length, 3}, "ab", write("ab"), ErrBodyTooShort)
	f(Framing{Length, 3}, "", write(), ErrBodyTooShort)
	f(Framing{Kind: Length}, "", write("a"), ErrBodyTooLong)
	f(Framing{}, "", write("a"), ErrBodyTooLong)
	f(Framing{Length, 3}, "abc", func(w *BodyWriter) error {
		write("abc")(w)
		_, err := w.Write([]byte("d"))
		return err
	}, ErrBodyClosed)
	f(Framing{Kind: Chunked}, "0\r\n\r\n", func(w *BodyWriter) error {
		w.Close(nil)
		return w.Close(nil)
	}, ErrBodyClosed)
}

// TestWriteErrorStays: behind a failed write the stream is in doubt, so
// nothing more is sent.
func TestWriteErrorStays(t *testing.T) {
	s := &scriptConn{maxWrite: 10}
	c := NewConn(s)
	w := c.StartBody(Framing{Kind: UntilClose})
	w.Write([]byte("more than ten bytes"))
	if err := c.Flush(); err != io.ErrShortWrite {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err != io.ErrShortWrite {
		t.Errorf("Write: %v", err)
	}
	if err := w.Close(nil); err != io.ErrShortWrite {
		t.Errorf("Close: %v", err)
	}
	if err := c.Flush(); err != io.ErrShortWrite || len(s.sent) > 0 {
		t.Errorf("Flush: %v, sent %q", err, s.sent)
	}
}

func TestReserve(t *testing.T) {
	c := NewConn(&scriptConn{})
	c.SetOut(append(c.Reserve(10), "abc"...))
	for _, n := range []int{100, 5000, 50_000} {
		out := c.Reserve(n)
		if cap(out)-len(out) < n || string(out) != "abc" {
			t.Errorf("Reserve(%d): %q with room for %d", n, out, cap(out)-len(out))
		}
	}
}

func TestAppend(t *testing.T) {
	var req Request
	c := scripted("GET http://h?a=b HTTP/1.1\r\nHost: h\r\n\r\n")
	if err := c.ReadRequest(&req, Limits{}); err != nil {
		t.Fatal(err)
	}
	got := AppendRequestLine(nil, req.Method, req.AppendTarget(nil))
	got = AppendField(got, "Host", req.Host)
	got = AppendFraming(got, Framing{Length, 12})
	got = AppendFraming(got, Framing{Kind: Chunked})
	got = AppendFraming(got, Framing{})
	got = AppendFraming(got, Framing{Kind: UntilClose})
	got = AppendHeadEnd(got)
	want := "GET /?a=b HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\n"
	if string(got) != want {
		t.Errorf("got %q", got)
	}
}

// FuzzRoundTrip: messages that we accept, written by us, read the same.
func FuzzRoundTrip(f *testing.F) {
	for _, row := range requestTable {
		f.Add([]byte(row.in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		before := strings.Split(readRequests(NewConn(&scriptConn{pieces: [][]byte{bytes.Clone(in)}}), Limits{}), "\n")
		from := NewConn(&scriptConn{pieces: [][]byte{in}})
		sent := &scriptConn{}
		to := NewConn(sent)
		var req Request
		complete, end := 0, 0
		for from.ReadRequest(&req, Limits{}) == nil {
			out := AppendRequestLine(to.Reserve(req.HeadBytes), req.Method, req.Target)
			if req.Minor == 0 {
				out = append(out[:len(out)-3], "0\r\n"...)
			}
			for _, f := range req.Fields {
				if f.Kind != KindContentLength && f.Kind != KindTransferEncoding {
					out = AppendField(out, f.Name, f.Value)
				}
			}
			to.SetOut(AppendHeadEnd(AppendFraming(out, req.Framing)))
			w := to.StartBody(req.Framing)
			if _, err := io.Copy(w, struct{ io.Reader }{from.Body()}); err != nil {
				break
			}
			if err := w.Close(from.Body().Trailers()); err != nil {
				t.Fatal(err)
			}
			if err := to.Flush(); err != nil {
				t.Fatal(err)
			}
			complete, end = complete+1, len(sent.sent)
		}
		if complete == 0 {
			return
		}
		want := strings.Join(before[:complete], "\n")
		if got := readRequests(NewConn(&scriptConn{pieces: [][]byte{sent.sent[:end]}}), Limits{}); got != want {
			t.Fatalf("before %s\nafter  %s\nsent %q", want, got, sent.sent)
		}
	})
}

func ExampleBodyWriter() {
	s := &scriptConn{}
	c := NewConn(s)
	out := AppendStatusLine(c.Out(), 200, "OK")
	f := Framing{Kind: Chunked}
	c.SetOut(AppendHeadEnd(AppendFraming(out, f)))
	w := c.StartBody(f)
	w.Write([]byte("hello"))
	w.Close(nil)
	c.Flush()
	fmt.Printf("%d write: %q\n", s.writes, s.sent)
	// Output: 1 write: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
}
