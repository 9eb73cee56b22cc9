//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// redisServer is a real redis-server that keeps nothing on disk.
type redisServer struct {
	*process
	addr string
}

func startRedis(t testing.TB) *redisServer {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &redisServer{addr: free.Addr().String()}
	free.Close()
	r.start(t)
	return r
}

// start starts it on its address, empty.
func (r *redisServer) start(t testing.TB) {
	t.Helper()
	host, port, _ := net.SplitHostPort(r.addr)
	cmd := exec.Command("redis-server", "--bind", host, "--port", port, "--save", "", "--appendonly", "no")
	cmd.Dir = scratch
	r.process = start(t, "redis-server", cmd, nil)
	await(t, startLimit, "redis-server answers", r.ping)
}

func (r *redisServer) ping() error {
	conn, err := net.DialTimeout("tcp", r.addr, time.Second)
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
