package affinity

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patient is more than the client of Redis itself waits, twice: a machine that runs
// other tests too is slow at times, and a session that waited in vain is one that the
// other replicas do not see.
const patient = 5 * time.Second

// replica returns running pins over a Redis, quick to notice what happens.
func replica(t *testing.T, s *redisServer, budget time.Duration) *Pins {
	t.Helper()
	checked := make(firstCheck, 1)
	p := NewPins(s.table(t), PinsConfig{
		MinBackoff: 10 * time.Millisecond,
		MaxBackoff: 100 * time.Millisecond,
		FlushEvery: 10 * time.Millisecond,
		Budget:     budget,
		Observer:   checked,
	})
	runPins(t, p)
	<-checked
	return p
}

// firstCheck has room for one: told when the table was looked at, so that what becomes
// of it then is noticed.
type firstCheck chan struct{}

func (c firstCheck) TableOp(op string, _ time.Duration, _ string) {
	if op == opCheck {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Whatever the replicas pin at once, one backend wins, and all see it.
func TestReplicasAgree(t *testing.T) {
	s := startRedis(t)
	replicas := []*Pins{replica(t, s, patient), replica(t, s, patient), replica(t, s, patient)}
	for round := range 20 {
		key := testKey(round)
		kept := make([]string, 50)
		var wg sync.WaitGroup
		for i := range kept {
			wg.Go(func() {
				kept[i] = replicas[i%3].Pin(context.Background(), key, fmt.Sprint("b", i), time.Minute)
			})
		}
		wg.Wait()
		for i := range kept {
			if kept[i] != kept[0] {
				t.Fatalf("round %d: %q and %q won", round, kept[0], kept[i])
			}
		}
		for _, p := range replicas {
			wantLookup(t, p, key, kept[0])
			if got, ok := p.Recheck(t.Context(), key); !ok || got != kept[0] {
				t.Errorf("Recheck = %q, %v, want %q", got, ok, kept[0])
			}
		}
	}
}

// fault runs a test with a server, two replicas, and ten sessions known to both.
func fault(t *testing.T, test func(s *redisServer, a, b *Pins)) {
	t.Helper()
	s := startRedis(t)
	a, b := replica(t, s, patient), replica(t, s, patient)
	for i := range 10 {
		a.Pin(t.Context(), testKey(i), "x", time.Hour)
		wantLookup(t, b, testKey(i), "x")
	}
	test(s, a, b)
}

// goOn makes new sessions and uses old ones while the table fails.
func goOn(t *testing.T, p *Pins, first int) {
	t.Helper()
	for i := range 20 {
		wantKept(t, p.Pin(t.Context(), testKey(first+i), "new", time.Hour), "new")
		wantLookup(t, p, testKey(first+i), "new")
		wantLookup(t, p, testKey(i%10), "x")
	}
	if ok, _ := p.Status(); ok {
		t.Error("Status does not tell that the table fails")
	}
}

// recovered waits until replicas are well, and checks that the table has all.
func recovered(t *testing.T, s *redisServer, replicas ...*Pins) {
	t.Helper()
	for _, p := range replicas {
		eventually(t, "recovery", func() bool {
			ok, _ := p.Status()
			return ok && p.Stats().Unpublished == 0
		})
	}
	table := s.table(t)
	has := func(key Key, backend string) bool {
		pin, err := table.Get(t.Context(), key)
		return err == nil && pin.Backend == backend
	}
	eventually(t, "the pins to be back", func() bool {
		for i := range 20 {
			if !has(testKey(i%10), "x") || !has(testKey(100+i), "new") {
				return false
			}
		}
		return true
	})
}

func TestRedisStopped(t *testing.T) {
	fault(t, func(s *redisServer, _, b *Pins) {
		a := replica(t, s, 200*time.Millisecond)
		for i := range 10 {
			eventually(t, "a session to be known", func() bool { backend, _ := a.Lookup(t.Context(), testKey(i)); return backend == "x" })
		}
		s.signal(syscall.SIGSTOP)
		goOn(t, a, 100)
		if !a.Stats().Open {
			t.Error("the breaker is closed")
		}
		s.signal(syscall.SIGCONT)
		recovered(t, s, a, b)
		wantLookup(t, b, testKey(100), "new")
	})
}

func TestRedisRestartedEmpty(t *testing.T) {
	fault(t, func(s *redisServer, a, b *Pins) {
		// Only one of them knows this one.
		a.Pin(t.Context(), testKey(50), "x", time.Hour)
		s.kill()
		goOn(t, a, 100)
		goOn(t, b, 200)
		s.restart()
		recovered(t, s, a, b)
		eventually(t, "a session of the other replica", func() bool {
			backend, ok := b.Recheck(t.Context(), testKey(50))
			return ok && backend == "x"
		})
		wantPin(t, s.table(t), testKey(219), "new", time.Hour)
		if a.Stats().Losses == 0 {
			t.Error("the loss of the contents is not counted")
		}
	})
}

// Emptied between two questions: no operation ever fails.
func TestRedisFlushed(t *testing.T) {
	fault(t, func(s *redisServer, a, b *Pins) {
		s.do(t, "FLUSHALL")
		table := s.table(t)
		eventually(t, "the pins to be back", func() bool {
			for i := range 10 {
				if _, err := table.Get(t.Context(), testKey(i)); err != nil {
					return false
				}
			}
			return true
		})
		if a.Stats().Open || b.Stats().Open {
			t.Error("the breaker opened")
		}
	})
}

func TestRedisFull(t *testing.T) {
	fault(t, func(s *redisServer, a, b *Pins) {
		s.do(t, "CONFIG SET maxmemory-policy noeviction")
		s.do(t, "CONFIG SET maxmemory 1")
		goOn(t, a, 100)
		// Whom b does not know yet it still learns from the table.
		c := replica(t, s, patient)
		for i := range 10 {
			wantLookup(t, c, testKey(i), "x")
		}
		if st := a.Stats(); st.Open || !st.Refusing || st.Unpublished != 20 {
			t.Errorf("Stats = %+v", st)
		}
		s.do(t, "CONFIG SET maxmemory 0")
		recovered(t, s, a, b, c)
	})
}

func TestRedisReadOnly(t *testing.T) {
	fault(t, func(s *redisServer, a, b *Pins) {
		other := startRedis(t, "--repl-diskless-sync-delay", "0")
		s.do(t, "CONFIG SET replica-serve-stale-data yes")
		s.do(t, fmt.Sprintf("REPLICAOF 127.0.0.1 %d", freePort(t)))
		goOn(t, a, 100)
		if st := a.Stats(); st.Open || !st.Refusing {
			t.Errorf("Stats = %+v", st)
		}
		s.do(t, "REPLICAOF NO ONE")
		recovered(t, s, a, b)

		// A failover that lost everything: the replica of an empty master.
		s.do(t, fmt.Sprintf("REPLICAOF 127.0.0.1 %d", other.port))
		eventually(t, "the replica to be empty", func() bool { return s.do(t, "DBSIZE").(int64) <= 1 })
		s.do(t, "REPLICAOF NO ONE")
		recovered(t, s, a, b)
	})
}

// Answers that are errors, for a reason only an operator can end.
func TestRedisLocksUsOut(t *testing.T) {
	fault(t, func(s *redisServer, a, b *Pins) {
		s.do(t, "CONFIG SET requirepass hunter2")
		c := replica(t, s, patient)
		for i := range 20 {
			wantKept(t, c.Pin(t.Context(), testKey(100+i), "new", time.Hour), "new")
		}
		ok, reason := c.Status()
		if ok || !c.Stats().Open {
			t.Errorf("Status = %v, %q", ok, reason)
		}
		// Connections that are open stay in.
		wantLookup(t, a, testKey(1), "x")
		admin := s.client(t)
		admin.Options().Password = "hunter2"
		if err := admin.ConfigSet(t.Context(), "requirepass", "").Err(); err != nil {
			t.Fatal(err)
		}
		recovered(t, s, a, b, c)
	})
}

// Nothing listens where Redis should be, from the start.
func TestRedisNeverThere(t *testing.T) {
	s := &redisServer{t: t, port: freePort(t), dir: t.TempDir()}
	t.Cleanup(s.kill)
	a := replica(t, s, patient)
	for i := range 20 {
		wantKept(t, a.Pin(t.Context(), testKey(100+i), "new", time.Hour), "new")
		wantLookup(t, a, testKey(100+i), "new")
	}
	for i := range 10 {
		a.Pin(t.Context(), testKey(i), "x", time.Hour)
	}
	s.restart()
	recovered(t, s, a)
}
