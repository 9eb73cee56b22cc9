package affinity

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// benchPins returns pins over a table in memory, with n sessions in the front.
func benchPins(n int) (*Pins, []Key) {
	p := NewPins(NewMemory(0), PinsConfig{})
	keys := make([]Key, n)
	for i := range keys {
		keys[i] = testKey(i)
		p.Pin(context.Background(), keys[i], fmt.Sprint("10.0.0.", i%8, ":6020"), time.Hour)
	}
	return p, keys
}

func BenchmarkFrontHit(b *testing.B) {
	for _, n := range []int{1, 10_000, 150_000} {
		p, keys := benchPins(n)
		b.Run(fmt.Sprint("sessions=", n), func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				ctx := context.Background()
				for i := 0; pb.Next(); i++ {
					if _, ok := p.Lookup(ctx, keys[i%len(keys)]); !ok {
						b.Error("not found")
						return
					}
				}
			})
		})
	}
}

func BenchmarkFrontMiss(b *testing.B) {
	p, _ := benchPins(10_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.Lookup(context.Background(), testKey(-i))
	}
}

func BenchmarkMemory(b *testing.B) {
	ctx := context.Background()
	m := NewMemory(0)
	pins := make([]Pin, 500_000)
	for i := range pins {
		pins[i] = Pin{Key: testKey(i), Backend: "10.0.0.1:6020", Life: time.Hour}
	}
	if _, err := m.Put(ctx, pins); err != nil {
		b.Fatal(err)
	}
	b.Run("Get", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := m.Get(ctx, pins[i%len(pins)].Key); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Renew", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			j := i % len(pins)
			if _, err := m.Put(ctx, pins[j:j+1]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRedis(b *testing.B) {
	ctx := context.Background()
	r := newRedis(b, RedisConfig{URL: startRedis(b).addr()})
	pins := make([]Pin, batch)
	for i := range pins {
		pins[i] = Pin{Key: testKey(i), Backend: "10.0.0.1:6020", Life: time.Hour}
	}
	b.Run("Put", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := r.Put(ctx, []Pin{{Key: testKey(1000 + i), Backend: "10.0.0.1:6020", Life: time.Minute}}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Renew256", func(b *testing.B) {
		for b.Loop() {
			if _, err := r.Put(ctx, pins); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Get", func(b *testing.B) {
		for b.Loop() {
			if _, err := r.Get(ctx, pins[0].Key); err != nil {
				b.Fatal(err)
			}
		}
	})
}
