package http1

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// What a browser polls with, and what a server answers.
const (
	pollRequest = "GET /socket.io/?EIO=4&transport=polling&t=PX1abcd&sid=AAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\n" +
		"Host: app.example.com\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36\r\n" +
		"Accept: */*\r\n" +
		"Accept-Encoding: gzip, deflate, br\r\n" +
		"Accept-Language: en-US,en;q=0.9\r\n" +
		"Cookie: theme=dark; lang=en\r\n" +
		"Origin: https://app.example.com\r\n" +
		"Referer: https://app.example.com/room/12\r\n" +
		"Sec-Fetch-Dest: empty\r\n" +
		"Sec-Fetch-Mode: cors\r\n" +
		"Sec-Fetch-Site: same-origin\r\n" +
		"Connection: keep-alive\r\n\r\n"
	pollResponse = "HTTP/1.1 200 OK\r\n" +
		"Content-Type: text/plain; charset=UTF-8\r\n" +
		"Content-Length: 12\r\n" +
		"Access-Control-Allow-Origin: https://app.example.com\r\n" +
		"Access-Control-Allow-Credentials: true\r\n" +
		"Cache-Control: no-store\r\n" +
		"Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n" +
		"Connection: keep-alive\r\n" +
		"Keep-Alive: timeout=5\r\n\r\n" +
		"42[\"hello\",]"
)

// measureCPU reports the processor time of an operation beside the wall time,
// which on a busy machine says little. Call what it returns at the end.
func measureCPU(b *testing.B) func() {
	used := func() int64 {
		var r syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &r)
		return r.Utime.Nano() + r.Stime.Nano()
	}
	start := used()
	return func() { b.ReportMetric(float64(used()-start)/float64(b.N), "cpu-ns/op") }
}

// repeated is a peer that sends the same bytes again and again.
type repeated struct {
	scriptConn
	data string
	rest string
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.rest == "" {
		r.rest = r.data
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *repeated) Write(p []byte) (int, error) { return len(p), nil }

// TestAllocations: a warm exchange allocates nothing, over sockets, body and
// pool included.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool is no pool under the race detector")
	}
	client, front := socketPair(t)
	near, far := socketPair(t)
	dials := 0
	p := NewPool(PoolConfig{Addr: "backend:80", Dial: func(context.Context, string) (net.Conn, error) {
		dials++
		return near, nil
	}})
	defer p.Close()
	down := NewConn(front)
	defer down.Close()
	var req Request
	var resp Response
	lim := DefaultLimits()
	request := []byte(pollRequest)
	go answerAll(far, []byte(pollResponse))
	buf := make([]byte, 8<<10)
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	copyBody := func(to *Conn, f Framing, from *Conn) {
		w, b := to.StartBody(f), from.Body()
		for {
			chunk, err := b.Next()
			if err == io.EOF {
				break
			}
			must(err)
			_, err = w.Write(chunk)
			must(err)
		}
		must(w.Close(b.Trailers()))
		must(to.Flush())
	}
	ctx := t.Context()
	run := func() {
		_, err := client.Write(request)
		must(err)
		must(down.AwaitHead())
		must(down.ReadRequest(&req, lim))
		up, _, err := p.Take(ctx)
		must(err)
		out := AppendRequestLine(up.Reserve(req.HeadBytes), req.Method, req.Target)
		for i := range req.Fields {
			if f := &req.Fields[i]; !f.Kind.HopByHop() {
				out = AppendField(out, f.Name, f.Value)
			}
		}
		up.SetOut(AppendHeadEnd(out))
		must(up.StartBody(req.Framing).Close(nil))
		must(up.AwaitAnswer())
		must(up.ReadResponse(&resp, req.Method, lim))
		if _, ok := resp.Get("cache-control"); !ok {
			t.Fatal("no Cache-Control")
		}
		out = AppendStatusLine(down.Reserve(resp.HeadBytes), resp.Status, resp.Reason)
		down.SetOut(AppendHeadEnd(AppendFraming(out, resp.Framing)))
		copyBody(down, resp.Framing, up)
		p.Put(up)
		_, err = client.Read(buf)
		must(err)
	}
	run()
	if n := testing.AllocsPerRun(200, run); n != 0 {
		t.Errorf("%v allocations an exchange", n)
	}
	long := NewConn(&repeated{data: post11 + "Content-Length: 6000\r\n\r\n" + strings.Repeat("x", 6000)})
	run = func() {
		must(long.ReadRequest(&req, lim))
		for !long.Body().Done() {
			_, err := long.Body().Next()
			must(err)
		}
	}
	run()
	if n := testing.AllocsPerRun(200, run); n != 0 {
		t.Errorf("%v allocations a request with a body", n)
	}
	if dials != 1 {
		t.Errorf("%d connections were dialed", dials)
	}
}

// answerAll gives the same answer to every read of the first peer.
func answerAll(peer net.Conn, answer []byte) {
	buf := make([]byte, 8<<10)
	for {
		if _, err := peer.Read(buf); err != nil {
			return
		}
		if _, err := peer.Write(answer); err != nil {
			return
		}
	}
}

func BenchmarkReadRequest(b *testing.B) {
	b.Run("http1", func(b *testing.B) {
		c := NewConn(&repeated{data: pollRequest})
		var req Request
		lim := DefaultLimits()
		b.SetBytes(int64(len(pollRequest)))
		b.ReportAllocs()
		defer measureCPU(b)()
		for b.Loop() {
			if err := c.ReadRequest(&req, lim); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("nethttp", func(b *testing.B) {
		r := bufio.NewReader(&repeated{data: pollRequest})
		b.SetBytes(int64(len(pollRequest)))
		b.ReportAllocs()
		defer measureCPU(b)()
		for b.Loop() {
			if _, err := http.ReadRequest(r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkReadResponse(b *testing.B) {
	b.Run("http1", func(b *testing.B) {
		c := NewConn(&repeated{data: pollResponse})
		var resp Response
		lim := DefaultLimits()
		method := []byte("GET")
		b.SetBytes(int64(len(pollResponse)))
		b.ReportAllocs()
		defer measureCPU(b)()
		for b.Loop() {
			if err := c.ReadResponse(&resp, method, lim); err != nil {
				b.Fatal(err)
			}
			if _, err := c.Body().Next(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("nethttp", func(b *testing.B) {
		r := bufio.NewReader(&repeated{data: pollResponse})
		b.SetBytes(int64(len(pollResponse)))
		b.ReportAllocs()
		defer measureCPU(b)()
		for b.Loop() {
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
		}
	})
}

// BenchmarkChunks decodes a body of 1 MB in chunks of 16 KB, and of 100 bytes.
func BenchmarkChunks(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"16K", 16 << 10}, {"100B", 100}} {
		var body bytes.Buffer
		w := NewConn(&scriptConn{})
		bw := w.StartBody(Framing{Kind: Chunked})
		for range (1 << 20) / size.n {
			bw.Write(bytes.Repeat([]byte("x"), size.n))
		}
		bw.Close(nil)
		w.Flush()
		body.WriteString(ok11 + "Transfer-Encoding: chunked\r\n\r\n")
		body.Write(w.NetConn().(*scriptConn).sent)
		data := body.String()
		b.Run(size.name+"/http1", func(b *testing.B) {
			c := NewConn(&repeated{data: data})
			var resp Response
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			defer measureCPU(b)()
			for b.Loop() {
				if err := c.ReadResponse(&resp, nil, Limits{}); err != nil {
					b.Fatal(err)
				}
				for {
					if _, err := c.Body().Next(); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		b.Run(size.name+"/nethttp", func(b *testing.B) {
			r := bufio.NewReaderSize(&repeated{data: data}, 32<<10)
			buf := make([]byte, 32<<10)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			defer measureCPU(b)()
			for b.Loop() {
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					b.Fatal(err)
				}
				for {
					if _, err := resp.Body.Read(buf); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkWriteHead copies a head as a forwarder does.
func BenchmarkWriteHead(b *testing.B) {
	c := NewConn(&repeated{data: pollRequest})
	var req Request
	if err := c.ReadRequest(&req, Limits{}); err != nil {
		b.Fatal(err)
	}
	up := NewConn(&repeated{})
	b.ReportAllocs()
	defer measureCPU(b)()
	for b.Loop() {
		out := AppendRequestLine(up.Reserve(req.HeadBytes), req.Method, req.Target)
		for i := range req.Fields {
			if f := &req.Fields[i]; !f.Kind.HopByHop() && !f.Named {
				out = AppendField(out, f.Name, f.Value)
			}
		}
		up.SetOut(AppendHeadEnd(out))
		if err := up.Flush(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRejected: what an attacker's head costs.
func BenchmarkRejected(b *testing.B) {
	in := get11 + strings.Repeat("A: b\r\n", 90) + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
	b.ReportAllocs()
	defer measureCPU(b)()
	for b.Loop() {
		c := NewConn(&repeated{data: in})
		var req Request
		if err := c.ReadRequest(&req, Limits{}); err == nil {
			b.Fatal("accepted")
		}
		c.Close()
	}
}
