package config

import (
	"bufio"
	"context"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// clusterServer starts one server of a Redis Cluster, without slots.
func clusterServer(t *testing.T) (client *redis.Client, busPort string, kill func()) {
	t.Helper()
	busPort = freePort(t)
	client, kill = redisServer(t, "--cluster-enabled", "yes", "--cluster-port", busPort)
	return client, busPort, kill
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return port
}

func redisServer(t *testing.T, args ...string) (client *redis.Client, kill func()) {
	t.Helper()
	port := freePort(t)
	cmd := exec.Command("redis-server", append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir()}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	t.Cleanup(kill)
	lines := bufio.NewScanner(out)
	for !strings.Contains(lines.Text(), "Ready to accept connections") {
		if !lines.Scan() {
			t.Fatal("redis-server ended")
		}
	}
	go func() {
		for lines.Scan() { // or it would wait for room
		}
	}()
	c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port})
	t.Cleanup(func() { _ = c.Close() })
	return c, kill
}

// TestClusterFailover: when the server of a Redis Cluster that has a record has died
// and another has taken its place, the record can be written again soon. go-redis by
// itself takes a minute to look who has the place.
func TestClusterFailover(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	do := func(c *redis.Client, args ...any) string {
		t.Helper()
		answer, err := c.Do(ctx, args...).Text()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return answer
	}
	await := func(what string, f func() bool) {
		t.Helper()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for !f() {
			select {
			case <-ctx.Done():
				t.Fatalf("waited in vain: %s", what)
			case <-tick.C:
			}
		}
	}
	first, busPort, kill := clusterServer(t)
	second, _, _ := clusterServer(t)
	do(first, "cluster", "addslotsrange", 0, 16383)
	host, port, _ := net.SplitHostPort(first.Options().Addr)
	do(second, "cluster", "meet", host, port, busPort)
	id := do(first, "cluster", "myid")
	await("the servers know each other", func() bool { return strings.Contains(do(second, "cluster", "nodes"), id) })
	await("the second is a replica", func() bool { return second.Do(ctx, "cluster", "replicate", id).Err() == nil })
	await("it is in step", func() bool { return strings.Contains(do(second, "info", "replication"), "master_link_status:up") })

	s := &RedisSettings{}
	s.Client.Addrs, s.Client.IsClusterMode = []string{first.Options().Addr, second.Options().Addr}, true
	c := newClient(s)
	defer c.Close()
	await("a write", func() bool { return c.Set(ctx, "a", 1, 0).Err() == nil })
	kill()
	do(second, "cluster", "failover", "takeover")
	await("a write after the failover", func() bool { return c.Set(ctx, "a", 2, 0).Err() == nil })
}
