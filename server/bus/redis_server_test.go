package bus

import (
	"bytes"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisServer is a redis-server of one test, with nothing on disk.
type redisServer struct {
	t    testing.TB
	args []string
	port int
	dir  string

	cmd    *exec.Cmd
	out    *output
	exited chan struct{}
}

// output is that of a process.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// startRedis starts a redis-server with some more arguments and ends it with the test.
// A first argument that is an absolute path is a sentinel's file.
func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	s := &redisServer{t: t, args: args, dir: t.TempDir()}
	t.Cleanup(s.kill)
	for range 5 { // somebody else may take the port that was free
		s.port = freePort(t)
		if s.start() {
			return s
		}
	}
	t.Fatalf("redis-server does not start:\n%s", s.out)
	return nil
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start runs the server at its port. It returns false if it ended at once.
func (s *redisServer) start() bool {
	s.t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatal("these tests need redis-server in the path: install redis")
	}
	args := append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir,
		"--save", "", "--appendonly", "no", "--logfile", ""}, s.args...)
	if len(s.args) > 0 && filepath.IsAbs(s.args[0]) {
		args = append(append([]string{}, s.args...), "--port", strconv.Itoa(s.port))
	}
	s.cmd, s.out, s.exited = exec.Command(path, args...), new(output), make(chan struct{})
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd, exited := s.cmd, s.exited
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	up := false
	eventually(s.t, "redis-server to listen", func() bool {
		select {
		case <-exited:
			return true
		default:
		}
		up = strings.Contains(s.out.String(), "eady to accept connections") || strings.Contains(s.out.String(), "+monitor")
		return up
	})
	return up
}

func (s *redisServer) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

func (s *redisServer) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// kill ends the server at once.
func (s *redisServer) kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// restart starts a killed server again.
func (s *redisServer) restart() {
	s.t.Helper()
	if !s.start() {
		s.t.Fatalf("redis-server does not start again:\n%s", s.out)
	}
}

// client returns a client that ends with the test.
func (s *redisServer) client(t testing.TB, change ...func(*redis.Options)) *redis.Client {
	o := &redis.Options{Addr: s.addr(), DisableIdentity: true}
	for _, f := range change {
		f(o)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// startCluster starts the servers of a Redis Cluster that share the slots.
func startCluster(t testing.TB, n int) (addrs []string) {
	t.Helper()
	var clients []*redis.Client
	for range n {
		s := startRedis(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(freePort(t)), "--cluster-node-timeout", "2000")
		addrs, clients = append(addrs, s.addr()), append(clients, s.client(t))
	}
	for i, c := range clients {
		if err := c.ClusterAddSlotsRange(t.Context(), i*16384/n, (i+1)*16384/n-1).Err(); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			continue
		}
		host, port, _ := net.SplitHostPort(addrs[0])
		info := clients[0].Do(t.Context(), "config", "get", "cluster-port").Val()
		bus := ""
		switch info := info.(type) {
		case map[any]any:
			bus, _ = info["cluster-port"].(string)
		}
		if err := c.Do(t.Context(), "cluster", "meet", host, port, bus).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range clients {
		eventually(t, "the cluster", func() bool {
			info := c.ClusterInfo(t.Context()).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:"+strconv.Itoa(n))
		})
	}
	return addrs
}

// eventually waits for a condition; the time it has only says when to give up.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
