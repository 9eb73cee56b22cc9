package load

import (
	"strings"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	f := func(q float64, want time.Duration, sorted ...time.Duration) {
		t.Helper()
		if got := quantile(sorted, q); got != want {
			t.Errorf("quantile(%v, %v) is %d, want %d", sorted, q, got, want)
		}
	}
	f(0.5, 0)
	f(0.5, 7, 7)
	f(0.99, 7, 7)
	f(0, 1, 1, 2, 3)
	f(0.5, 2, 1, 2, 3)
	f(0.5, 2, 1, 2, 3, 4)
	f(1, 4, 1, 2, 3, 4)
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	f(0.99, 99, hundred...)
	f(0.991, 100, hundred...)
}

func TestSpecIsChecked(t *testing.T) {
	good := Spec{Workload: Sticky, Target: "127.0.0.1:1", Sources: []string{"127.0.0.1"}, Conns: 1, Ops: 1, SIDs: 1}
	f := func(want string, change func(*Spec)) {
		t.Helper()
		s := good
		change(&s)
		err := s.validate()
		if err == nil {
			_, _, err = s.addresses()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: error %v, want %q", s, err, want)
		}
	}
	f("", func(*Spec) {})
	f("unknown workload", func(s *Spec) { s.Workload = "x" })
	f("0 connections", func(s *Spec) { s.Conns = 0 })
	f("0 operations", func(s *Spec) { s.Ops = 0 })
	f("rate -1", func(s *Spec) { s.Rate = -1 })
	f("0 sessions", func(s *Spec) { s.SIDs = 0 })
	f("messages of 7 bytes", func(s *Spec) { s.Workload, s.Payload = Echo, 7 })
	f("no source", func(s *Spec) { s.Sources = nil })
	f("target", func(s *Spec) { s.Target = "x" })
	f("not IPv4", func(s *Spec) { s.Target = "[::1]:80" })
	f("source", func(s *Spec) { s.Sources = []string{"y"} })
	f("not IPv4", func(s *Spec) { s.Sources = []string{"::1"} })
}

func TestDueTime(t *testing.T) {
	f := func(taken int, rate float64, want time.Duration) {
		t.Helper()
		if got := dueTime(taken, rate); got != want {
			t.Errorf("dueTime(%d, %v) is %v, want %v", taken, rate, got, want)
		}
	}
	f(0, 1000, 0)
	f(1, 1000, time.Millisecond)
	f(500, 1000, 500*time.Millisecond)
	f(3, 0.5, 6*time.Second)
}
