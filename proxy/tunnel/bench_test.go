package tunnel

import (
	"fmt"
	"io"
	"sync"
	"testing"
)

// measure runs f and reports the processor time of the relaying process for
// each operation.
func (p *child) measure(f func()) {
	p.b.ReportAllocs() // of this process: none of them is the relay's
	before := p.usage("cpu")
	p.b.ResetTimer()
	f()
	p.b.StopTimer()
	p.b.ReportMetric(float64(p.usage("cpu").CPU-before.CPU)/float64(p.b.N), "relay-cpu-ns/op")
}

// BenchmarkEcho is a round trip of 64 bytes, by one client and by 64 at once.
func BenchmarkEcho(b *testing.B) {
	for _, c := range competitors() {
		for _, n := range []int{1, 64} {
			b.Run(fmt.Sprint(c.name, "/clients=", n), func(b *testing.B) { benchEcho(b, c, n) })
		}
	}
}

func benchEcho(b *testing.B, c competitor, n int) {
	p := startChild(b, c)
	var clients []peer
	var echoing sync.WaitGroup
	for range n {
		client, backend := p.open()
		echoing.Go(func() {
			io.Copy(onlyWriter{backend}, onlyReader{backend})
			backend.Close()
		})
		clients = append(clients, client)
	}
	echo := func(c peer, buf []byte) {
		if _, err := c.Write(buf); err != nil {
			b.Error(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Error(err)
		}
	}
	for _, c := range clients {
		echo(c, make([]byte, 64)) // a TLS handshake with it
	}
	p.measure(func() {
		var g sync.WaitGroup
		for i, c := range clients {
			g.Go(func() {
				buf := make([]byte, 64)
				for k := i; k < b.N; k += n {
					echo(c, buf)
				}
			})
		}
		g.Wait()
	})
	for _, c := range clients {
		c.Close()
	}
	echoing.Wait()
}

// BenchmarkThroughput moves 64 KiB one way an operation.
func BenchmarkThroughput(b *testing.B) {
	const size = 64 << 10
	for _, c := range competitors() {
		b.Run(c.name, func(b *testing.B) {
			p := startChild(b, c)
			client, backend := p.open()
			defer backend.Close()
			b.SetBytes(size)
			p.measure(func() {
				go func() {
					buf := make([]byte, size)
					for range b.N {
						if _, err := client.Write(buf); err != nil {
							b.Error(err)
						}
					}
					client.Close()
				}()
				n, err := io.CopyBuffer(io.Discard, onlyReader{backend}, make([]byte, 256<<10))
				if n != int64(b.N*size) || err != nil {
					b.Error(n, err)
				}
			})
		})
	}
}

// BenchmarkOpenClose makes a tunnel and ends it, with a reset: thousands of
// connections in TIME_WAIT would be what is measured otherwise.
func BenchmarkOpenClose(b *testing.B) {
	for _, c := range competitors() {
		if c.tls {
			continue // the handshake is all one would see
		}
		b.Run(c.name, func(b *testing.B) {
			p := startChild(b, c)
			p.measure(func() {
				for range b.N {
					client, backend := p.open()
					client.abort()
					io.Copy(io.Discard, onlyReader{backend})
					backend.Close()
				}
			})
		})
	}
}

// BenchmarkIdleMemory opens 10,000 tunnels, or as many as the limit of open
// files allows, has each carry a message both ways, and reports what one adds
// to the resident memory of the relaying process. Run it with -benchtime=1x.
func BenchmarkIdleMemory(b *testing.B) {
	limit := raiseFileLimit() - 200
	for _, c := range competitors() {
		n := min(10_000, limit/c.files)
		b.Run(c.name, func(b *testing.B) {
			p := startChild(b, c)
			before := p.usage("memory")
			var far []peer
			for range n {
				client, backend := p.open()
				if p.tls {
					go io.WriteString(client, "hello")
				} else {
					io.WriteString(client, "hello")
				}
				io.ReadFull(backend, make([]byte, 5))
				io.WriteString(backend, "hello")
				io.ReadFull(client, make([]byte, 5))
				far = append(far, client, backend)
			}
			b.ReportMetric(float64(p.usage("memory").RSS-before.RSS)/float64(n), "rss-B/tunnel")
			b.ReportMetric(float64(n), "tunnels")
			for _, f := range far {
				f.abort()
			}
		})
	}
}
