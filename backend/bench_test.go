package backend

import (
	"fmt"
	"testing"
)

// many returns a Set of n backends, all up.
func many(t testing.TB, n int, weight func(i int) int) *Pool {
	var list []Backend
	for i := range n {
		list = append(list, Backend{Addr: fmt.Sprintf("10.0.%d.%d:6020", i/250, i%250), Weight: weight(i)})
	}
	p, err := NewPool(Defaults(), Deps{}, NewStatic(list))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func evenly(int) int     { return 1 }
func unevenly(i int) int { return 1 + i%3 }

// TestAllocations holds what the request path may allocate: at most
// the closures of a sequence and of the loop over it, 48 bytes. Least does
// without, where the loop stands beside the call.
func TestAllocations(t *testing.T) {
	p := many(t, 20, unevenly)
	key := []byte("a session key of some bytes")
	id := "10.0.0.7:6020"
	var sink *Member
	f := func(what string, limit float64, do func()) {
		t.Helper()
		if got := testing.AllocsPerRun(100, do); got > limit {
			t.Errorf("%s allocates %v times, want at most %v", what, got, limit)
		}
	}
	f("Get", 0, func() { sink, _ = p.Set().Get(id) })
	f("Ranked, first", 3, func() {
		for m := range p.Set().Ranked(key) {
			sink = m
			break
		}
	})
	f("Ranked, all", 3, func() {
		for m := range p.Set().Ranked(key) {
			sink = m
		}
	})
	f("Least, first", 0, func() {
		for m := range p.Set().Least(2) {
			sink = m
			break
		}
	})
	f("Least, all", 0, func() {
		for m := range p.Set().Least(2) {
			sink = m
		}
	})
	f("the counters", 0, func() {
		sink.Acquire()
		sink.OpenSession()
		sink.Report(HandshakeServed)
		sink.Report(Answered)
		sink.CloseSession()
		sink.Release()
		p.Report(id, Answered)
	})
}

func BenchmarkGet(b *testing.B) {
	p := many(b, 20, evenly)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if m, ok := p.Set().Get("10.0.0.7:6020"); !ok || !m.Established() {
				b.Error("not found")
			}
		}
	})
}

func BenchmarkRanked(b *testing.B) {
	for _, n := range []int{3, 20, 200} {
		for name, weight := range map[string]func(int) int{"even": evenly, "weighted": unevenly} {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				s := many(b, n, weight).Set()
				key := []byte("0123456789abcdef")
				b.ReportAllocs()
				for b.Loop() {
					key[0]++
					for range s.Ranked(key) {
						break
					}
				}
			})
		}
	}
}

func BenchmarkLeast(b *testing.B) {
	for _, n := range []int{3, 20, 200} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := many(b, n, unevenly).Set()
			b.ReportAllocs()
			for b.Loop() {
				for range s.Least(2) {
					break
				}
			}
		})
	}
}

func BenchmarkReportGood(b *testing.B) {
	m, _ := many(b, 20, evenly).Set().Get("10.0.0.7:6020")
	b.ReportAllocs()
	for b.Loop() {
		m.Report(HandshakeServed)
	}
}

// BenchmarkChange is one change of state: a new Set.
func BenchmarkChange(b *testing.B) {
	for _, n := range []int{3, 200} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := many(b, n, evenly)
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Drain("10.0.0.1:6020"); err != nil {
					b.Fatal(err)
				}
				if err := p.Undrain("10.0.0.1:6020"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
