//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// liveSessions is the number of sessions that live through a fault.
	liveSessions = 18
	// recoveryLimit bounds what the sessions and the replicas may take to be
	// well again after a fault has gone.
	recoveryLimit = 60 * time.Second
	// outage is how long a fault lasts, in answers of a live session: at ten a
	// second at most, 100 are no less than ten seconds.
	outage = 100
)

// faulty is a topology for one test to break.
type faulty struct {
	backends []*backend
	redis    *redisServer
	edge     *edge
	live     *live
}

func startFaulty(t *testing.T, flags ...string) *faulty {
	t.Helper()
	f := &faulty{backends: startBackends(t, "socketio4", 3), redis: startRedis(t)}
	f.edge = startEdge(t, f.backends, f.redis, true, flags...)
	f.live = startLive(t, f.edge.URL, liveSessions)
	return f
}

// newSessions runs sessions that begin now, each kind through all replicas; none
// may fail.
func (f *faulty) newSessions(t *testing.T, when string) {
	t.Helper()
	for _, scenario := range []string{"v4-websocket", "v4-polling", "v4-default"} {
		r := runClient(t, "socketio", f.edge.URL, 12, scenario, soundLimit)
		if r.Failed != 0 {
			t.Errorf("new sessions %s: %s: %v", when, scenario, r)
		}
	}
}

func TestBackendKilled(t *testing.T) {
	t.Parallel()
	f := startFaulty(t)
	dead := f.backends[1]
	lost := 0
	for _, s := range f.live.report(t) {
		if s.Backend == dead.name {
			lost++
		}
	}
	if lost == 0 {
		t.Fatal("no session is on the backend to be killed")
	}
	before := f.live.report(t)
	dead.kill()
	await(t, recoveryLimit, "the sessions of the killed backend are on others", func() error {
		for i, s := range f.live.report(t) {
			if before[i].Backend != dead.name {
				continue
			}
			if s.Backend == dead.name {
				return fmt.Errorf("session %d: %+v", i, s)
			}
			if err := s.answered(5); err != nil {
				return fmt.Errorf("session %d, %+v: %w", i, s, err)
			}
		}
		return nil
	})
	for i, s := range f.live.report(t) {
		if before[i].Backend != dead.name && len(s.Disconnects) != 0 {
			t.Errorf("session %d had nothing to do with the killed backend: %+v", i, s)
		}
	}
	f.newSessions(t, "after the kill")
	f.live.goOn(t, "all sessions go on", 5, every)
}

func TestReplicaStopped(t *testing.T) {
	t.Parallel()
	// The splitter, like a load balancer, needs a moment to see that the replica
	// is no longer ready; tunnels have until the drain timeout.
	f := startFaulty(t, "--drain-delay", "3s", "--drain-timeout", "4s")
	f.edge.watch(t, f.edge.replicas)
	stopped, other := f.edge.replicas[0], f.edge.replicas[1]
	stopped.signal(t, syscall.SIGTERM)
	if err := stopped.waitEnd(stopLimit); err != nil {
		t.Errorf("%s after SIGTERM: %v", stopped.name, err)
	}
	await(t, recoveryLimit, "all sessions are answered", func() error {
		return f.live.each(t, func(s session) error { return s.answered(5) })
	})
	moved := 0
	for i, s := range f.live.report(t) {
		switch {
		case s.Mode == "polling" && len(s.Disconnects) != 0:
			t.Errorf("session %d is on polling and had another replica to go on with: %+v", i, s)
		case len(s.Disconnects) > 1:
			t.Errorf("session %d was disconnected more than once: %+v", i, s)
		case len(s.Disconnects) == 1:
			moved++
		}
	}
	t.Logf("%d tunnels of the stopped replica were closed and opened anew", moved)
	if moved == 0 || moved == liveSessions*2/3 {
		t.Errorf("%d WebSockets were closed, want those of one replica of two", moved)
	}
	if err := other.ready(); err != nil {
		t.Error(err)
	}
	f.newSessions(t, "with one replica")
}

func TestRedisStands(t *testing.T) {
	t.Parallel()
	f := startFaulty(t)
	f.redis.signal(t, syscall.SIGSTOP)
	f.whileRedisIsGone(t)
	f.redis.signal(t, syscall.SIGCONT)
	f.redisIsBack(t)
}

func TestRedisStopsAndComesBackEmpty(t *testing.T) {
	t.Parallel()
	f := startFaulty(t)
	f.redis.signal(t, syscall.SIGTERM)
	if err := f.redis.waitEnd(stopLimit); err != nil {
		t.Fatal(err)
	}
	f.whileRedisIsGone(t)
	f.redis.start(t)
	f.redisIsBack(t)
}

// whileRedisIsGone returns after ten seconds or more in which the sessions lived
// on, new ones began, and the replicas said that something is wrong.
func (f *faulty) whileRedisIsGone(t *testing.T) {
	t.Helper()
	f.newSessions(t, "without Redis")
	f.live.goOn(t, "sessions live on without Redis", outage, every)
	for _, r := range f.edge.replicas {
		warnings, err := r.warnings()
		if err != nil {
			t.Errorf("a replica without its table is to go on: %v", err)
		}
		if !strings.Contains(strings.Join(warnings, "\n"), "table") {
			t.Errorf("/readyz of %s does not speak of the table: %q", r.name, warnings)
		}
	}
}

func (f *faulty) redisIsBack(t *testing.T) {
	t.Helper()
	await(t, recoveryLimit, "the replicas use Redis again", func() error {
		for _, r := range f.edge.replicas {
			if warnings, err := r.warnings(); err != nil || len(warnings) > 0 {
				return fmt.Errorf("%s: %q, %v", r.name, warnings, err)
			}
		}
		return nil
	})
	f.newSessions(t, "with Redis back")
	f.live.goOn(t, "sessions live on after Redis came back", 20, every)
	if err := f.live.each(t, func(s session) error {
		if len(s.Disconnects) != 0 {
			return errors.New("disconnected")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
