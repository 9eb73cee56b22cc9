package bus

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	benchNames = 100_000 // that each of the nodes b, c and d wants, each its own
	benchBatch = 100     // messages that are published at once
)

var benchNodes = []string{"b", "c", "d"}

// design is a way to bring a message about a name to the nodes that want it.
type design interface {
	// want has the nodes want their names, and returns when each can hear.
	want(b *testing.B, names map[string][]string)
	// publish brings messages, each about one of names, from node a.
	publish(b *testing.B, names []string, payload []byte)
	// heard counts the messages that reached nodes, wanted or not.
	heard() int64
}

// BenchmarkChannels compares what carries messages to the nodes that want a name, at
// 100,000 names for each of three nodes: a channel for each node where all nodes know
// who wants what (which is what this package does), a channel for each name, and 256
// channels that names are hashed to. See the package's documentation for what came
// of it.
func BenchmarkChannels(b *testing.B) {
	names := map[string][]string{}
	for _, node := range benchNodes {
		for i := range benchNames {
			names[node] = append(names[node], fmt.Sprintf("record/%s/%d", node, i))
		}
	}
	unwanted := make([]string, benchNames)
	for i := range unwanted {
		unwanted[i] = fmt.Sprintf("record/nobody/%d", i)
	}
	for _, d := range []struct {
		name string
		make func(parent *testing.B, s *redisServer) design
	}{
		{"node", newByNode}, {"name", newByName}, {"hash", newByHash},
	} {
		b.Run(d.name, func(b *testing.B) {
			s := startRedis(b)
			info := s.client(b)
			way := d.make(b, s)
			var took time.Duration
			var used used
			b.Run("want", func(b *testing.B) {
				if took == 0 { // a benchmark may be run again
					before, start := usage(b, info), time.Now()
					way.want(b, names)
					took, used = time.Since(start), usage(b, info).minus(before)
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(took.Seconds()*1000, "ms")
				b.ReportMetric(used.redis.Seconds()*1000, "redis-cpu-ms")
				b.ReportMetric(used.self.Seconds()*1000, "nodes-cpu-ms")
				b.ReportMetric(float64(used.memory)/(1<<20), "redis-MiB")
			})
			for what, names := range map[string][]string{"unwanted": unwanted, "wanted": names["b"]} {
				b.Run(what, func(b *testing.B) { benchPublish(b, info, way, names) })
			}
		})
	}
}

func benchPublish(b *testing.B, info *redis.Client, way design, names []string) {
	payload := make([]byte, 100)
	heard, before := way.heard(), usage(b, info)
	for i := 0; i < b.N; i += benchBatch {
		n, at := min(benchBatch, b.N-i), i%(benchNames-benchBatch)
		way.publish(b, names[at:at+n], payload)
	}
	last := int64(-1)
	eventually(b, "all messages", func() bool { // that are still on their way
		was := last
		last = way.heard()
		time.Sleep(50 * time.Millisecond)
		return last == was
	})
	used := usage(b, info).minus(before)
	b.ReportMetric(float64(used.redis.Nanoseconds())/float64(b.N), "redis-cpu-ns/op")
	b.ReportMetric(float64(used.self.Nanoseconds())/float64(b.N), "nodes-cpu-ns/op")
	b.ReportMetric(float64(way.heard()-heard)/float64(b.N), "heard/op")
}

// used is what the server and this process have used.
type used struct {
	redis, self time.Duration
	memory      int64
}

func (u used) minus(o used) used {
	return used{u.redis - o.redis, u.self - o.self, u.memory - o.memory}
}

func usage(b *testing.B, c *redis.Client) (u used) {
	for line := range strings.Lines(c.Info(context.Background(), "cpu", "memory").Val()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		n, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "used_cpu_user", "used_cpu_sys":
			u.redis += time.Duration(n * float64(time.Second))
		case "used_memory":
			u.memory = int64(n)
		}
	}
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil || u.memory == 0 {
		b.Fatal("no usage: ", err)
	}
	u.self = time.Duration(self.Utime.Nano() + self.Stime.Nano())
	return u
}

// byNode is this package, with the interest of all nodes known to all.
type byNode struct {
	nodes map[string]*Redis
	wants map[string][]string // who wants a name, as node a knows
	count atomic.Int64
	told  atomic.Int64
}

func newByNode(b *testing.B, s *redisServer) design {
	w := &byNode{nodes: map[string]*Redis{}, wants: map[string][]string{}}
	for _, node := range append([]string{"a"}, benchNodes...) {
		w.nodes[node] = NewRedis(s.client(b), RedisConfig{Cluster: "one", Node: node})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			_ = w.nodes[node].Run(ctx, w)
			close(done)
		}()
		b.Cleanup(func() {
			cancel()
			<-done
		})
	}
	for _, n := range w.nodes {
		eventually(b, "the nodes", func() bool { return n.Stats().Peers == len(benchNodes) })
	}
	return w
}

func (w *byNode) Gap(string)  {}
func (w *byNode) Left(string) {}
func (w *byNode) Deliver(_ string, payload []byte) {
	if payload[0] == 'i' {
		w.told.Add(1)
	} else {
		w.count.Add(1)
	}
}

// want tells all others the names, a thousand in a message.
func (w *byNode) want(b *testing.B, names map[string][]string) {
	messages := int64(0)
	for _, node := range benchNodes {
		var others []string
		for other := range w.nodes {
			if other != node {
				others = append(others, other)
			}
		}
		for i := 0; i < len(names[node]); i += 1000 {
			payload := []byte{'i'}
			for _, name := range names[node][i : i+1000] {
				payload = append(binary.AppendUvarint(payload, uint64(len(name))), name...)
			}
			if err := w.nodes[node].Send(others, payload); err != nil {
				b.Fatal(err)
			}
			messages += int64(len(others))
		}
		for _, name := range names[node] {
			w.wants[name] = []string{node}
		}
	}
	eventually(b, "all names to be told", func() bool { return w.told.Load() == messages })
}

func (w *byNode) publish(b *testing.B, names []string, payload []byte) {
	sent := false
	for _, name := range names {
		if nodes := w.wants[name]; len(nodes) > 0 {
			sent = true
			if err := w.nodes["a"].Send(nodes, payload); err != nil {
				b.Fatal(err)
			}
		}
	}
	for sent && w.nodes["a"].Stats().Queued > 0 { // as the others wait for their pipeline
		time.Sleep(10 * time.Microsecond)
	}
}

func (w *byNode) heard() int64 { return w.count.Load() }

// byChannel has every node subscribe to the channels of its names.
type byChannel struct {
	parent  *testing.B // which the subscriptions outlive no more than the server does
	server  *redisServer
	client  *redis.Client
	channel func(name string) string
	count   atomic.Int64
	ready   atomic.Int64
}

func newByName(b *testing.B, s *redisServer) design {
	return &byChannel{parent: b, server: s, client: s.client(b), channel: func(name string) string { return "name:" + name }}
}

func newByHash(b *testing.B, s *redisServer) design {
	seed := maphash.MakeSeed()
	return &byChannel{parent: b, server: s, client: s.client(b), channel: func(name string) string {
		return "hash:" + strconv.Itoa(int(maphash.String(seed, name)%256))
	}}
}

func (w *byChannel) want(b *testing.B, names map[string][]string) {
	wanted := int64(0)
	for _, node := range benchNodes {
		all := map[string]bool{}
		var channels []string
		for _, name := range names[node] {
			if c := w.channel(name); !all[c] {
				all[c] = true
				channels = append(channels, c)
			}
		}
		wanted += int64(len(channels))
		subscription := w.server.client(w.parent).Subscribe(context.Background())
		done := make(chan struct{})
		subscribed := make(chan struct{})
		go func() {
			defer close(done)
			<-subscribed
			for {
				got, err := subscription.Receive(context.Background())
				if err != nil {
					return
				}
				switch got.(type) {
				case *redis.Subscription:
					w.ready.Add(1)
				case *redis.Message:
					w.count.Add(1)
				}
			}
		}()
		w.parent.Cleanup(func() {
			_ = subscription.Close()
			<-done
		})
		for i := 0; i < len(channels); i += 1000 {
			if err := subscription.Subscribe(context.Background(), channels[i:min(i+1000, len(channels))]...); err != nil {
				b.Fatal(err)
			}
			if i == 0 {
				close(subscribed)
			}
		}
	}
	eventually(b, "all channels", func() bool { return w.ready.Load() == wanted })
}

func (w *byChannel) publish(b *testing.B, names []string, payload []byte) {
	pipe := w.client.Pipeline()
	for _, name := range names {
		pipe.Publish(context.Background(), w.channel(name), payload)
	}
	if _, err := pipe.Exec(context.Background()); err != nil {
		b.Fatal(err)
	}
}

func (w *byChannel) heard() int64 { return w.count.Load() }
