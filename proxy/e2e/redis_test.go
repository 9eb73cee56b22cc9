//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// redisServer is a real redis-server.
type redisServer struct {
	*process
	at   *place
	addr string
	dir  string // where it keeps what it has; empty: nowhere
}

func startRedis(t testing.TB) *redisServer {
	t.Helper()
	return startRedisIn(t, "")
}

func startRedisIn(t testing.TB, dir string) *redisServer {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &redisServer{at: here, addr: free.Addr().String(), dir: dir}
	free.Close()
	r.start(t)
	return r
}

// start starts it on its address, empty or with what it kept.
func (r *redisServer) start(t testing.TB) {
	t.Helper()
	host, port, _ := net.SplitHostPort(r.addr)
	args := []string{"--bind", host, "--port", port, "--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", scratch}
	if r.dir != "" {
		args = append(args, "--appendonly", "yes", "--appendfsync", "always", "--dir", r.dir)
	}
	cmd := r.at.command("redis-server", args...)
	r.process = start(t, "redis-server", cmd, nil)
	await(t, startLimit, "redis-server answers", r.ping)
}

func (r *redisServer) ping() error {
	conn, err := r.at.dial(context.Background(), "tcp", r.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, "+PONG") {
		return fmt.Errorf("it says %q", line)
	}
	return nil
}
