//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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
	addr, _ := startRedis(t, t.TempDir(), "")
	return joinNodes(t, nodes, addr)
}

func joinNodes(t *testing.T, nodes int, addr string) []string {
	t.Helper()
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

// TestLostWrite has clients of three generations, each at a node of its own, follow a
// record. Its last write is lost by Redis, which has another one of that version when it
// comes back, as after a failover. All of them see it.
func TestLostWrite(t *testing.T) {
	t.Parallel()
	addr, kill := startRedis(t, t.TempDir(), "")
	generations := []string{"7", "2", "1"}
	urls := joinNodes(t, len(generations), addr)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "follow.js", strings.Join(urls, ","), strings.Join(generations, ","))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	await := func(data string, clients ...string) {
		t.Helper()
		missing := slices.Clone(clients)
		for len(missing) > 0 {
			if !lines.Scan() {
				t.Fatalf("%s was never seen by clients %v", data, missing)
			}
			var said struct {
				Client string
				Data   json.RawMessage
			}
			if err := json.Unmarshal(lines.Bytes(), &said); err != nil {
				t.Fatalf("%s: %v", lines.Bytes(), err)
			}
			if string(said.Data) == data {
				missing = slices.DeleteFunc(missing, func(g string) bool { return g == said.Client })
			}
		}
	}
	await(`{"p":"1"}`, generations...)

	kill()
	dir := t.TempDir()
	apart, killApart := startRedis(t, dir, "") // where no node sees it
	client := redis.NewClient(&redis.Options{Addr: apart})
	defer client.Close()
	other := store.Record{Version: 1, Data: `{"p":"2"}`}
	if err := store.NewRedis(client, store.RedisConfig{}).Put(ctx, "followed", other); err != nil {
		t.Fatal(err)
	}
	if err := client.Save(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	killApart()
	startRedis(t, dir, addr)
	await(other.Data, generations...)
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("clients: %v", err)
	}
}

// startRedis starts a server that has a directory for its files, at an address if that
// is not empty, and returns its address.
func startRedis(t *testing.T, dir, addr string) (address string, kill func()) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("this test needs redis-server in the path: install redis")
	}
	if addr == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr = l.Addr().String()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			return addr, kill
		}
	}
	t.Fatal("redis-server did not start")
	return "", nil
}
