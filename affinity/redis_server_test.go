package affinity

import (
	"bytes"
	"fmt"
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

// redisServer is a redis-server of one test, with a directory of its own and
// nothing on disk.
type redisServer struct {
	t    testing.TB
	args []string
	port int
	dir  string

	cmd    *exec.Cmd
	out    *lockedBuffer
	exited chan struct{}
}

// lockedBuffer holds the output of a process.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// startRedis starts a redis-server with some more arguments and ends it with the
// test.
func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	s := &redisServer{t: t, args: args, dir: t.TempDir()}
	t.Cleanup(s.kill)
	// Between finding a free port and taking it somebody else may take it.
	for range 5 {
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
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatal("these tests need redis-server: install it with apt install redis-server or brew install redis")
	}
	args := append([]string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", "",
	}, s.args...)
	// The file of a sentinel comes first, and its port stands in it.
	if len(s.args) > 0 && filepath.IsAbs(s.args[0]) {
		args = append(append([]string{}, s.args...), "--port", strconv.Itoa(s.port))
	}
	s.cmd, s.out, s.exited = exec.Command(binary, args...), new(lockedBuffer), make(chan struct{})
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
		c, err := net.Dial("tcp", s.addr())
		if err != nil {
			return false
		}
		c.Close()
		// Another process at this port would not say so.
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

// kill ends the server at once; it forgets everything.
func (s *redisServer) kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// restart starts a killed server again, empty.
func (s *redisServer) restart() {
	s.t.Helper()
	if !s.start() {
		s.t.Fatalf("redis-server does not start again:\n%s", s.out)
	}
}

// client returns a plain client, to look at the server past the table.
func (s *redisServer) client(t *testing.T) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.addr(), DisableIdentity: true})
	t.Cleanup(func() { c.Close() })
	return c
}

// do runs a command given as words.
func (s *redisServer) do(t *testing.T, words string) any {
	t.Helper()
	c := s.client(t)
	var args []any
	for w := range strings.FieldsSeq(words) {
		args = append(args, w)
	}
	v, err := c.Do(t.Context(), args...).Result()
	if err != nil {
		t.Fatalf("redis: %s: %v", words, err)
	}
	return v
}

func (s *redisServer) table(t *testing.T) *Redis {
	t.Helper()
	return newRedis(t, RedisConfig{URL: s.addr()})
}

func newRedis(t testing.TB, c RedisConfig) *Redis {
	t.Helper()
	r, err := NewRedis(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// eventually waits for something another process does.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(30 * time.Second)
	defer end.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatal(fmt.Sprint("waited too long for ", what))
		}
	}
}
