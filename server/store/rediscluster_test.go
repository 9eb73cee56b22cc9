package store

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
)

// startRedisCluster starts a server that is a whole Redis Cluster: it has all slots
// and, as every node of one, refuses commands whose keys lie in two of them.
func startRedisCluster(t *testing.T) *redis.ClusterClient {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("these tests need redis-server in the path: install redis")
	}
	port, bus := freePort(t), freePort(t)
	cmd := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir(),
		"--cluster-enabled", "yes", "--cluster-port", bus)
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
	addr := net.JoinHostPort("127.0.0.1", port)
	lines := bufio.NewScanner(out)
	for _, want := range []string{"Ready to accept connections", "Cluster state changed: ok"} {
		found := false
		for !found && lines.Scan() {
			found = strings.Contains(lines.Text(), want)
		}
		if !found {
			t.Fatalf("redis-server never said %q", want)
		}
		if strings.HasPrefix(want, "Ready") {
			c := redis.NewClient(&redis.Options{Addr: addr})
			if err := c.ClusterAddSlotsRange(context.Background(), 0, 16383).Err(); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}})
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestRedisCluster: with hash tags all that a cache does works in a Redis Cluster;
// in the layout of the original a record's two keys lie in two slots.
func TestRedisCluster(t *testing.T) {
	ctx := context.Background()
	client := startRedisCluster(t)
	plain := NewRedis(client, RedisConfig{})
	if err := plain.Put(ctx, "rec", Record{1, "{}"}); err == nil || !strings.Contains(err.Error(), "slot") {
		t.Errorf("without hash tags: %v, want a complaint about slots", err)
	}

	c := NewRedis(client, RedisConfig{Prefix: "ds:", HashTag: true})
	defer c.Close()
	var names []string
	for i := range int64(50) {
		name := fmt.Sprintf("rec/%d", i)
		names = append(names, name)
		if _, ok, err := c.CompareAndPut(ctx, name, Missing, Record{i, `{"n":1}`}); !ok || err != nil {
			t.Fatalf("create %s: %t, %v", name, ok, err)
		}
		if current, ok, err := c.CompareAndPut(ctx, name, i+1, Record{i, "[]"}); ok || err != nil || current != (Record{i, `{"n":1}`}) {
			t.Fatalf("%s: wrote over another version: %+v, %v", name, current, err)
		}
	}
	versions, err := c.Versions(ctx, names)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range versions {
		if v != int64(i) {
			t.Fatalf("versions %v", versions)
		}
	}
	generation, err := c.Generation(ctx)
	if again, errAgain := c.Generation(ctx); len(strings.Fields(generation)) != 1 || generation != again || err != nil || errAgain != nil {
		t.Errorf("generations %q, %v and %q, %v, want that of the only server", generation, err, again, errAgain)
	}
	odd := []string{"odd {name}", "}", "}name", "{}", "{", ":}}name"}
	for i, name := range odd {
		if err := c.Put(ctx, name, Record{int64(i), "[]"}); err != nil {
			t.Errorf("%s, a name with braces of its own: %v", name, err)
		}
	}
	for i, name := range odd {
		if r, err := c.Get(ctx, name); err != nil || r != (Record{int64(i), "[]"}) {
			t.Errorf("%s, a name with braces of its own: %+v, %v", name, r, err)
		}
	}
	if err := c.Delete(ctx, append(names, odd[1:]...)...); err != nil {
		t.Fatal(err)
	}
	if n := client.DBSize(ctx).Val(); n != 2 {
		t.Errorf("%d keys are left of a record", n)
	}
}

// TestRedisLayouts: the keys of a name in each layout.
func TestRedisLayouts(t *testing.T) {
	ctx := context.Background()
	client := startRedis(t)
	defer client.Close()
	f := func(c RedisConfig, wantVersion, wantData string) {
		t.Helper()
		if err := client.FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		r := NewRedis(client, c)
		if err := r.Put(ctx, "a/b", Record{12, `{"x":1}`}); err != nil {
			t.Fatal(err)
		}
		put := client.MGet(ctx, wantVersion, wantData).Val()
		if _, ok, err := r.CompareAndPut(ctx, "a/b", 12, Record{13, `[2]`}); !ok || err != nil {
			t.Fatalf("%t, %v", ok, err)
		}
		swapped := client.MGet(ctx, wantVersion, wantData).Val()
		if fmt.Sprint(put, swapped) != `[12 {"x":1}] [13 [2]]` || client.DBSize(ctx).Val() != 2 {
			t.Errorf("%+v: keys %v have %v, then %v", c, client.Keys(ctx, "*").Val(), put, swapped)
		}
	}
	f(RedisConfig{}, "a/b_v", "a/b_d")
	f(RedisConfig{Prefix: "ds:"}, "ds:a/b_v", "ds:a/b_d")
	f(RedisConfig{HashTag: true}, "{a/b}_v", "{a/b}_d")
	f(RedisConfig{Prefix: "ds:", HashTag: true, TTL: 1e9}, "ds:{a/b}_v", "ds:{a/b}_d")
}

// TestRedisTTL: the life of a record begins anew with each write, of either kind.
func TestRedisTTL(t *testing.T) {
	ctx := context.Background()
	client := startRedis(t)
	defer client.Close()
	c := NewRedis(client, RedisConfig{TTL: 100e9})
	check := func(after string) {
		t.Helper()
		for _, key := range []string{"a_v", "a_d"} {
			if ttl := client.TTL(ctx, key).Val(); ttl <= 50e9 || ttl > 100e9 {
				t.Errorf("after %s %s lives for %v", after, key, ttl)
			}
			if err := client.Expire(ctx, key, 10e9).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Put(ctx, "a", Record{1, "{}"}); err != nil {
		t.Fatal(err)
	}
	check("Put")
	if _, ok, err := c.CompareAndPut(ctx, "a", 1, Record{2, "{}"}); !ok || err != nil {
		t.Fatalf("%t, %v", ok, err)
	}
	check("CompareAndPut")
}

// TestRedisBadRecord: what others wrote into the keys is an error of the record
// that it concerns.
func TestRedisBadRecord(t *testing.T) {
	ctx := context.Background()
	client := startRedis(t)
	defer client.Close()
	c := NewRedis(client, RedisConfig{})
	if err := client.MSet(ctx, "bad_v", "x", "bad_d", "{}", "good_v", "4", "good_d", "{}", "half_v", "2",
		"cut_v", "1", "cut_d", `{"a":`).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(ctx, "bad"); err == nil || !strings.Contains(err.Error(), `"bad" has version "x"`) {
		t.Errorf("reading it: %v", err)
	}
	if _, ok, err := c.CompareAndPut(ctx, "bad", 1, Record{2, "{}"}); err == nil || ok {
		t.Errorf("writing it: %t, %v", ok, err)
	}
	if _, err := c.Get(ctx, "cut"); err == nil || !strings.Contains(err.Error(), `"cut" has data in redis that is not JSON`) {
		t.Errorf("reading one that is cut off: %v", err)
	}
	if _, ok, err := c.CompareAndPut(ctx, "cut", 4, Record{5, "{}"}); err == nil || ok {
		t.Errorf("writing one that is cut off: %t, %v", ok, err)
	}
	if r, err := c.Get(ctx, "good"); err != nil || r.Version != 4 {
		t.Errorf("its neighbour: %+v, %v", r, err)
	}
	if r, err := c.Get(ctx, "half"); err != nil || r != (Record{2, "null"}) {
		t.Errorf("one without data: %+v, %v", r, err)
	}
}

// TestRedisGone: without an answer every call is an error, none of them a missing
// record.
func TestRedisGone(t *testing.T) {
	ctx := context.Background()
	var dials atomic.Int64
	c := NewRedis(redis.NewClient(&redis.Options{MaxRetries: -1, Dialer: func(context.Context, string, string) (net.Conn, error) {
		dials.Add(1)
		return nil, net.ErrClosed
	}}), RedisConfig{})
	defer c.Close()
	_, get := c.Get(ctx, "a")
	_, ok, swap := c.CompareAndPut(ctx, "a", Missing, Record{})
	_, versions := c.Versions(ctx, []string{"a"})
	for what, err := range map[string]error{"Get": get, "CompareAndPut": swap, "Versions": versions,
		"Put": c.Put(ctx, "a", Record{}), "Delete": c.Delete(ctx, "a")} {
		if err == nil {
			t.Errorf("%s reports no error", what)
		}
	}
	if ok || dials.Load() == 0 {
		t.Errorf("won %t after %d dials", ok, dials.Load())
	}
}
