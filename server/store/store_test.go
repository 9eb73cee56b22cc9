package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// A client of Redis that was closed while it could not dial looks once a second whether it was.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// startRedis starts a server of its own and returns a client of it.
func startRedis(t *testing.T) *redis.Client {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("these tests need redis-server in the path: install redis")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--port", fmt.Sprint(addr.Port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())
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
	ready := false
	for lines := bufio.NewScanner(out); !ready && lines.Scan(); {
		ready = strings.Contains(lines.Text(), "Ready to accept connections")
	}
	if !ready {
		t.Fatal("redis-server did not start")
	}
	return redis.NewClient(&redis.Options{Addr: addr.String()})
}

// caches makes one of each Cache for the contract.
func caches(t *testing.T) map[string]Cache {
	return map[string]Cache{
		"memory":         NewMemory(0),
		"bounded memory": NewMemory(1 << 20),
		"redis":          NewRedis(startRedis(t), RedisConfig{}),
		"redis prefixed": NewRedis(startRedis(t), RedisConfig{Prefix: "ds:", HashTag: true, TTL: 1e11}),
	}
}

// TestCache is the contract of every Cache.
func TestCache(t *testing.T) {
	ctx := context.Background()
	for name, c := range caches(t) {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}()
			check := func(got Record, err error, want Record) {
				t.Helper()
				if err != nil || got != want {
					t.Fatalf("got %+v, %v, want %+v", got, err, want)
				}
			}
			r, err := c.Get(ctx, "a")
			check(r, err, absent)
			v0, v1 := Record{0, `{}`}, Record{1, `{"ü":"\u0000\n"}`}
			r, ok, err := c.CompareAndPut(ctx, "a", 5, v1)
			check(r, err, absent)
			if ok {
				t.Fatal("wrote over a version that is not there")
			}
			r, ok, err = c.CompareAndPut(ctx, "a", Missing, v0)
			check(r, err, v0)
			if !ok {
				t.Fatal("could not create")
			}
			if r, ok, err = c.CompareAndPut(ctx, "a", Missing, v1); ok {
				t.Fatal("created twice")
			}
			check(r, err, v0)
			if _, ok, err = c.CompareAndPut(ctx, "a", 0, v1); !ok || err != nil {
				t.Fatalf("could not update: %v", err)
			}
			r, err = c.Get(ctx, "a")
			check(r, err, v1)
			versions, err := c.Versions(ctx, []string{"none", "a"})
			if err != nil || len(versions) != 2 || versions[0] != Missing || versions[1] != 1 {
				t.Fatalf("versions %v, %v", versions, err)
			}
			one, err := c.Generation(ctx)
			if again, errAgain := c.Generation(ctx); one == "" || one != again || err != nil || errAgain != nil {
				t.Fatalf("generations %q, %v and %q, %v", one, err, again, errAgain)
			}
			if err := c.Put(ctx, "a", v0); err != nil {
				t.Fatal(err)
			}
			r, err = c.Get(ctx, "a")
			check(r, err, v0)
			if err := c.Delete(ctx, "a", "none"); err != nil {
				t.Fatal(err)
			}
			r, err = c.Get(ctx, "a")
			check(r, err, absent)
		})
	}
}

// TestCacheOneWinner: of many writers with the same version one wins.
func TestCacheOneWinner(t *testing.T) {
	ctx := context.Background()
	for name, c := range caches(t) {
		t.Run(name, func(t *testing.T) {
			defer c.Close()
			for round := range int64(20) {
				var wins sync.Map
				var wg sync.WaitGroup
				for i := range 8 {
					wg.Go(func() {
						_, ok, err := c.CompareAndPut(ctx, "r", round-1, Record{round, fmt.Sprintf(`{"by":%d}`, i)})
						if err != nil {
							t.Error(err)
						}
						if ok {
							wins.Store(i, true)
						}
					})
				}
				wg.Wait()
				var winners []any
				wins.Range(func(k, _ any) bool { winners = append(winners, k); return true })
				r, err := c.Get(ctx, "r")
				if err != nil || len(winners) != 1 || r.Data != fmt.Sprintf(`{"by":%d}`, winners[0]) {
					t.Fatalf("round %d: winners %v, record %+v, %v", round, winners, r, err)
				}
			}
		})
	}
}

// TestRedisLayout: the keys are those that the original's nodes read and write.
func TestRedisLayout(t *testing.T) {
	ctx := context.Background()
	client := startRedis(t)
	c := NewRedis(client, RedisConfig{Reserved: []string{"dsproxy:"}})
	defer c.Close()
	if err := c.Put(ctx, "rec", Record{7, `{"a":1}`}); err != nil {
		t.Fatal(err)
	}
	if v := client.Get(ctx, "rec_v").Val(); v != "7" {
		t.Errorf("version is %q", v)
	}
	if d := client.Get(ctx, "rec_d").Val(); d != `{"a":1}` {
		t.Errorf("data is %q", d)
	}
	client.MSet(ctx, "theirs_v", "0", "theirs_d", "[1]")
	if r, err := c.Get(ctx, "theirs"); err != nil || r != (Record{0, "[1]"}) {
		t.Errorf("got %+v, %v", r, err)
	}
	if _, err := c.Get(ctx, "dsproxy:pin"); !errors.Is(err, ErrName) {
		t.Errorf("a name reaches keys of the proxy: %v", err)
	}
	// Versions of others are not held up by what cannot be read.
	client.Set(ctx, "bad_v", "x", 0)
	client.LPush(ctx, "list_v", 1)
	versions, err := c.Versions(ctx, []string{"rec", "dsproxy:pin", "bad", "list", "none", "theirs"})
	if want := []int64{7, Missing, Missing, Missing, Missing, 0}; err != nil || !slices.Equal(versions, want) {
		t.Errorf("versions %v, %v, want %v", versions, err, want)
	}
	if _, err := c.Get(ctx, "bad"); !Lasting(err) {
		t.Errorf("a version that is none: %v", err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if versions, err := c.Versions(ctx, []string{"rec"}); err == nil || Lasting(err) {
		t.Errorf("without Redis: versions %v, %v", versions, err)
	}
}

// TestMemoryForgetsTheOldest: the bound is one of all records together, and the
// first to go is the one that was not used for the longest time.
func TestMemoryForgetsTheOldest(t *testing.T) {
	ctx := context.Background()
	const size = 1000
	data := strings.Repeat("x", size-overhead-1)
	for _, bound := range []int64{size, 3 * size, 100 * size} {
		m := NewMemory(bound)
		var want []string // the oldest first
		for i := range 500 {
			name := string(rune('a' + i*7%26))
			if err := m.Put(ctx, name, Record{1, data}); err != nil {
				t.Fatal(err)
			}
			want = append(slices.DeleteFunc(want, func(n string) bool { return n == name }), name)
			want = want[max(0, len(want)-int(bound/size)):]
			if used := want[i%len(want)]; i%3 == 0 {
				if r, _ := m.Get(ctx, used); !r.Exists() {
					t.Fatalf("bound %d: forgot %s, has %v", bound, used, want)
				}
				want = append(slices.DeleteFunc(want, func(n string) bool { return n == used }), used)
			}
			if n := m.Bytes(); n != int64(len(want)*size) {
				t.Fatalf("bound %d: %d bytes of %v", bound, n, want)
			}
		}
		for _, name := range want {
			if r, _ := m.Get(ctx, name); !r.Exists() {
				t.Errorf("bound %d: forgot %s, has %v", bound, name, want)
			}
		}
	}
	m := NewMemory(size)
	for _, name := range []string{"a", "b"} {
		if err := m.Put(ctx, name, Record{1, data + data}); err != nil {
			t.Fatal(err)
		}
	}
	if r, _ := m.Get(ctx, "b"); !r.Exists() {
		t.Error("forgot a record as it was written")
	}
	if r, _ := m.Get(ctx, "a"); r.Exists() {
		t.Error("kept two records that are too large")
	}
}

func TestBolt(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "records.db")
	b, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := b.Get(ctx, "a"); err != nil || r.Exists() {
		t.Errorf("got %+v, %v", r, err)
	}
	ops := []Op{put("a", 0, "{}"), put("b", 3, "[]"), put("a", 1, `{"x":1}`), remove("b")}
	if err := b.Apply(ctx, ops); err != nil {
		t.Fatal(err)
	}
	if err := b.Apply(ctx, []Op{put(strings.Repeat("n", 1<<16), 0, "{}")}); !errors.Is(err, ErrName) {
		t.Errorf("a name that is too long: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err = OpenBolt(path); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if r, err := b.Get(ctx, "a"); err != nil || r != (Record{1, `{"x":1}`}) {
		t.Errorf("after reopening: %+v, %v", r, err)
	}
	if r, err := b.Get(ctx, "b"); err != nil || r.Exists() {
		t.Errorf("deleted record is back: %+v, %v", r, err)
	}
	if _, err := OpenBolt(path); err == nil || !strings.Contains(err.Error(), "another process has it open") {
		t.Errorf("opened twice: %v", err)
	}
}

func put(name string, version int64, data string) Op {
	return Op{Name: name, Record: Record{version, data}}
}

func remove(name string) Op { return Op{Name: name, Record: absent} }

func force(name string, version int64, data string) Op {
	return Op{Name: name, Record: Record{version, data}, Force: true}
}

// TestBoltOrder: writes that come in another order than the cache decided them leave
// the newest; deletes and hot paths know no versions.
func TestBoltOrder(t *testing.T) {
	ctx := context.Background()
	b, err := OpenBolt(filepath.Join(t.TempDir(), "records.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	f := func(want Record, ops ...Op) {
		t.Helper()
		// All in one transaction, then each in its own.
		for _, n := range []int{len(ops), 1} {
			if err := b.Apply(ctx, []Op{remove("r")}); err != nil {
				t.Fatal(err)
			}
			for batch := range slices.Chunk(ops, n) {
				if err := b.Apply(ctx, batch); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := b.Get(ctx, "r"); err != nil || got != want {
				t.Errorf("%+v, %d at a time: %+v, %v, want %+v", ops, n, got, err, want)
			}
		}
	}
	f(Record{2, "[2]"}, put("r", 1, "[1]"), put("r", 2, "[2]"))
	f(Record{2, "[2]"}, put("r", 2, "[2]"), put("r", 1, "[1]"))
	f(Record{2, "[2]"}, put("r", 2, "[2]"), put("r", 0, "[0]"), put("r", 2, "[3]"))
	f(Record{10, "[10]"}, put("r", 9, "[9]"), put("r", 10, "[10]"), put("r", 9, "[9]"))
	f(absent, put("r", 5, "[5]"), remove("r"))
	f(absent, put("r", 5, "[5]"), put("r", 4, "[4]"), remove("r"))
	f(Record{0, "[0]"}, put("r", 5, "[5]"), remove("r"), put("r", 0, "[0]"))
	f(Record{0, "[2]"}, force("r", 0, "[1]"), force("r", 0, "[2]"))
	f(Record{0, "[0]"}, put("r", 5, "[5]"), force("r", 0, "[0]"))
	f(Record{1, "[1]"}, force("r", 0, "[0]"), put("r", 1, "[1]"))
}

// TestHotPathReachesBolt: its version is always 0.
func TestHotPathReachesBolt(t *testing.T) {
	ctx := context.Background()
	b, err := OpenBolt(filepath.Join(t.TempDir(), "records.db"))
	if err != nil {
		t.Fatal(err)
	}
	s := NewTiered(TieredConfig{Cache: NewMemory(0), Storage: b})
	run, stop := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- s.Run(run) }()
	for _, data := range []string{"[1]", "[2]"} {
		stored := make(chan error, 1)
		if err := s.Force(ctx, "hot", Record{0, data}, func(err error) { stored <- err }); err != nil {
			t.Fatal(err)
		}
		if err := <-stored; err != nil {
			t.Fatal(err)
		}
		if r, err := b.Get(ctx, "hot"); err != nil || r.Data != data {
			t.Errorf("%+v, %v, want %s", r, err, data)
		}
	}
	stop()
	if err := errors.Join(<-done, s.Close()); err != nil {
		t.Error(err)
	}
}
