package proxy

import (
	"bufio"
	"net"
	"strings"
	"testing"
)

// The client and the backend of these benchmarks allocate nothing, so what is
// reported is the proxy's.
func BenchmarkRequest(b *testing.B) {
	f := func(name, first, request string) {
		b.Run(name, func(b *testing.B) {
			answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + pad(`0{"sid":"abc","pingInterval":25000,"pingTimeout":20000}`, 64))
			p := start(b, func(c *Config) { c.Log.Level = "error" }, rawBackend(b, func(c net.Conn, r *bufio.Reader) {
				for {
					line, err := r.ReadSlice('\n')
					if err != nil {
						return
					}
					if len(line) == 2 {
						c.Write(answer)
					}
				}
			}))
			c, _ := dial(b, p.Addr())
			buf := make([]byte, 4096)
			ask := func(request []byte) {
				c.Write(request)
				for n := 0; n < 64 || !strings.Contains(string(buf[:n]), "\r\n\r\n"); {
					m, err := c.Read(buf[n:])
					if err != nil {
						b.Fatal(err)
					}
					n += m
				}
			}
			ask([]byte(first))
			raw := []byte(request)
			b.ReportAllocs()
			for b.Loop() {
				ask(raw)
			}
		})
	}
	const fields = "Host: example.org\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
	f("plain", "GET / HTTP/1.1\r\n"+fields, "GET / HTTP/1.1\r\n"+fields)
	f("handshake", "GET / HTTP/1.1\r\n"+fields, "GET "+polling+" HTTP/1.1\r\n"+fields)
	f("poll", "GET "+polling+" HTTP/1.1\r\n"+fields, "GET "+polling+"&sid=abc HTTP/1.1\r\n"+fields)
}

// BenchmarkUpgrade opens and closes a WebSocket; the client's and the backend's
// own allocations are part of it.
func BenchmarkUpgrade(b *testing.B) {
	p := start(b, func(c *Config) { c.Log.Level = "error" }, rawBackend(b, func(c net.Conn, r *bufio.Reader) {
		if readHead(r) != "" {
			c.Write([]byte(switching))
			r.ReadByte()
		}
	}))
	b.ReportAllocs()
	buf := make([]byte, 4096)
	for b.Loop() {
		c, err := net.Dial("tcp", p.Addr())
		if err != nil {
			b.Fatal(err)
		}
		c.Write([]byte(wsRequest))
		for n := 0; !strings.Contains(string(buf[:n]), "\r\n\r\n"); {
			m, err := c.Read(buf[n:])
			if err != nil {
				b.Fatal(err)
			}
			n += m
		}
		c.Close()
	}
}
