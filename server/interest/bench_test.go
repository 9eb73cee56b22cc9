package interest

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

const manyNames = 100_000

func nameOf(i int) string { return fmt.Sprintf("record/%06d/something", i) }

// answer is how a node that wants the given names answers a question, in frames.
func answer(nonce uint64, names []string) [][]byte {
	frames := [][]byte{appendBegin(nil, nonce, 0)}
	b := []byte{frameNames}
	for _, name := range names {
		one := change{Records, true, name}
		if len(b)+one.size() > maxFrame {
			frames, b = append(frames, b), []byte{frameNames}
		}
		b = one.append(b)
	}
	return append(frames, b, appendEnd(nil, 1))
}

// join has nodes join that want the given names.
func join(c *Cluster, names []string, nodes ...string) {
	for _, node := range nodes {
		c.Gap(node)
		for _, frame := range answer(c.peers[node].nonce, names) {
			c.Deliver(node, frame)
		}
	}
}

func newQuiet(self string) *Cluster {
	c := NewCluster(self, func([]string, []byte) error { return nil })
	c.Log = slog.New(slog.DiscardHandler)
	return c
}

func listOfNames(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = nameOf(i)
	}
	return list
}

func others(n int) (nodes []string) {
	for i := range n {
		nodes = append(nodes, fmt.Sprintf("node-%d", i+2))
	}
	return nodes
}

// BenchmarkOthers asks for the nodes of 100,000 names, in all goroutines at once,
// while names come and go.
func BenchmarkOthers(b *testing.B) {
	c := newQuiet("node-1")
	names := listOfNames(manyNames)
	join(c, names, others(3)...)
	end := make(chan struct{})
	var adding sync.WaitGroup
	adding.Go(func() {
		t := time.NewTicker(time.Millisecond) // 100,000 changes a second
		defer t.Stop()
		for i := 0; ; i++ {
			select {
			case <-end:
				return
			case <-t.C:
			}
			for j := range 50 {
				name := names[(i*50+j)%manyNames]
				c.Add(Records, name)
				c.Remove(Records, name)
			}
		}
	})
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i = (i + 7919) % manyNames {
			if len(c.Others(Records, names[i])) != 3 {
				b.Error("a node is missing")
				return
			}
		}
	})
	close(end)
	adding.Wait()
}

// BenchmarkOthersOfOne asks for the nodes of one name in all goroutines at once.
func BenchmarkOthersOfOne(b *testing.B) {
	c := newQuiet("node-1")
	join(c, listOfNames(manyNames), others(3)...)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if len(c.Others(Records, nameOf1)) != 3 {
				b.Error("a node is missing")
				return
			}
		}
	})
}

// BenchmarkSettle has a name added and settled, which another node acknowledges.
func BenchmarkSettle(b *testing.B) {
	var c *Cluster
	acks := make(chan []byte, 1000)
	c = NewCluster("node-1", func(_ []string, payload []byte) error {
		if f, _ := decode(string(payload)); f.ack {
			acks <- appendAck(nil, f.number+f.count)
		}
		return nil
	})
	join(c, listOfNames(10), "node-2")
	c.Deliver("node-2", appendRequest(nil, 1))
	ctx, cancel := context.WithCancel(b.Context())
	var running, calls sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx) })
	running.Go(func() {
		for ack := range acks {
			c.Deliver("node-2", ack)
		}
	})
	names := listOfNames(manyNames)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		calls.Add(1)
		c.Add(Records, names[i%manyNames])
		c.Settle(calls.Done)
	}
	calls.Wait()
	cancel()
	close(acks)
	running.Wait()
}

// BenchmarkAdd adds and removes a name that others are told of.
func BenchmarkAdd(b *testing.B) {
	c := newQuiet("node-1")
	names := listOfNames(manyNames)
	join(c, names, others(3)...)
	c.Deliver("node-2", appendRequest(nil, 1))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Run(b.Context())
	}()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		name := names[i%manyNames]
		c.Add(Records, name)
		c.Remove(Records, name)
	}
	b.Cleanup(func() { <-ended })
}

// BenchmarkBytesPerName tells what a name costs that all nodes want, beyond its own
// bytes, for which there is one string however many nodes there are.
func BenchmarkBytesPerName(b *testing.B) {
	for _, nodes := range []int{1, 4, 8} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			names := listOfNames(manyNames)
			for b.Loop() {
				before := heap()
				c := newQuiet("node-1")
				join(c, names, others(nodes-1)...)
				for _, name := range names {
					c.Add(Records, name)
				}
				b.ReportMetric(float64(heap()-before)/manyNames, "B/name")
				runtime.KeepAlive(c)
			}
			b.ReportMetric(float64(len(names[0])), "B/string")
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkSnapshot has 100,000 names told to another node, and heard of it: by one
// that knows nothing, and by one that knows them already.
func BenchmarkSnapshot(b *testing.B) {
	names := listOfNames(manyNames)
	b.Run("send", func(b *testing.B) {
		c := newQuiet("node-1")
		for _, name := range names {
			c.Add(Records, name)
		}
		b.ReportAllocs()
		for b.Loop() {
			c.sendSnapshot(b.Context(), []question{{node: "node-2"}}, 1)
		}
	})
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			join(newQuiet("node-1"), names, "node-2")
		}
	})
	b.Run("again", func(b *testing.B) {
		c := newQuiet("node-1")
		join(c, names, "node-2")
		b.ReportAllocs()
		for b.Loop() {
			join(c, names, "node-2")
		}
	})
	b.Run("left", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			c := newQuiet("node-1")
			join(c, names, "node-2", "node-3")
			b.StartTimer()
			c.Left("node-2")
		}
	})
}

// TestOthersAllocate: what every publication asks for costs nothing.
func TestOthersAllocate(t *testing.T) {
	c := newQuiet("a")
	join(c, listOfNames(1000), others(3)...)
	c.Add(Records, nameOf(1))
	long := strings.Repeat("x", 100)
	if n := testing.AllocsPerRun(100, func() {
		_ = c.Others(Records, nameOf1)
		_ = c.Others(Events, long)
		_ = c.Has(Records, nameOf1)
		_ = c.Nodes()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if got := c.Others(Records, nameOf1); len(got) != 3 {
		t.Errorf("others are %v", got)
	}
}

var nameOf1 = nameOf(1)
