package bus

import (
	"context"
	"sync"
	"testing"
)

// counting is a Receiver that tells when it has heard enough.
type counting struct {
	heard, until int
	enough       chan struct{}
}

func (c *counting) Gap(string)  {}
func (c *counting) Left(string) {}
func (c *counting) Deliver(string, []byte) {
	if c.heard++; c.heard == c.until {
		c.enough <- struct{}{}
	}
}

// BenchmarkRedis is a message of 100 bytes from node to node, both in this process:
// by themselves, each waited for, and as fast as they can be sent.
func BenchmarkRedis(b *testing.B) {
	f := func(name string, window int) {
		b.Run(name, func(b *testing.B) {
			s := startRedis(b)
			to := &counting{until: window, enough: make(chan struct{}, 1)}
			from, node := NewRedis(s.client(b), RedisConfig{Node: "a"}), NewRedis(s.client(b), RedisConfig{Node: "b"})
			ctx, cancel := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			wg.Go(func() { _ = from.Run(ctx, &counting{}) })
			wg.Go(func() { _ = node.Run(ctx, to) })
			defer wg.Wait()
			defer cancel()
			eventually(b, "the nodes", func() bool { return from.Stats().Peers+node.Stats().Peers == 2 })
			nodes, payload := []string{"b"}, make([]byte, 100)
			info := s.client(b)
			before := usage(b, info)
			b.ReportAllocs()
			b.ResetTimer()
			n := 0
			for ; n < b.N; n += window {
				for range window {
					_ = from.Send(nodes, payload)
				}
				<-to.enough
				to.heard = 0
			}
			b.StopTimer()
			used := usage(b, info).minus(before)
			b.ReportMetric(float64(used.self.Nanoseconds())/float64(n), "nodes-cpu-ns/op")
			b.ReportMetric(float64(used.redis.Nanoseconds())/float64(n), "redis-cpu-ns/op")
			b.ReportMetric(float64(from.Stats().MessagesSent)/float64(from.Stats().Published), "joined")
		})
	}
	f("one", 1)
	f("many", 10_000)
}

// BenchmarkSend is what a topic pays for queueing a message.
func BenchmarkSend(b *testing.B) {
	o := newOutbox("a", 1, func(node string) string { return node })
	o.begin("b", 2)
	nodes, payload := []string{"b"}, make([]byte, 100)
	var batch []parcel
	b.ReportAllocs()
	for i := range b.N {
		if err := o.send(nodes, payload); err != nil {
			b.Fatal(err)
		}
		if i%100 == 0 {
			batch = o.take(batch[:0])
			o.published(batch)
		}
	}
}
