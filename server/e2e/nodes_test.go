//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/dsproxy/dsproxy/server"
	"github.com/dsproxy/dsproxy/server/bus"
	"github.com/dsproxy/dsproxy/server/store"
)

// TestNodes plays the script with clients that are at different nodes of a cluster.
func TestNodes(t *testing.T) {
	for _, generations := range []string{"7,7,7", "1,7,2", "2,1,7"} {
		t.Run(generations, func(t *testing.T) {
			t.Parallel()
			play(t, generations, `{"silentDeprecation":true}`, startCluster(t, 3)...)
		})
	}
}

// startCluster runs nodes that share a Redis and returns their URLs.
func startCluster(t *testing.T, nodes int) []string {
	t.Helper()
	addr := startRedis(t)
	options := func() *redis.Options { return &redis.Options{Addr: addr, ContextTimeoutEnabled: true} }
	var urls []string
	for i := range nodes {
		client := redis.NewClient(options())
		t.Cleanup(func() { _ = client.Close() })
		urls = append(urls, startNode(t, func(c *server.Config) {
			scripted(c)
			c.Name = fmt.Sprintf("node-%d", i+1)
			c.Cache = store.NewRedis(redis.NewClient(options()), store.RedisConfig{})
			c.Bus = bus.NewRedis(client, bus.RedisConfig{Cluster: "e2e", Node: c.Name, Log: c.Log})
		}))
	}
	return urls
}

// startRedis starts a server of its own and returns its address.
func startRedis(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("this test needs redis-server in the path: install redis")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_, port, err := net.SplitHostPort(addr)
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			return addr
		}
	}
	t.Fatal("redis-server did not start")
	return ""
}
