package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestServiceManagerIsTold(t *testing.T) {
	dir, err := os.MkdirTemp("", "n") // names of sockets have to be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "s")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("WATCHDOG_USEC", "100000") // WATCHDOG_PID, not set, is any process

	awaits := func(want string) {
		t.Helper()
		if err := manager.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		for {
			n, err := manager.Read(b)
			if err != nil {
				t.Fatalf("the service manager is not told %q: %v", want, err)
			}
			if strings.Contains(string(b[:n]), want) {
				return
			}
		}
	}
	node := startNode(t, "start", "-c", writeFile(t, "config.yml", ""), "--host", "127.0.0.1", "--port", "0", "--admin", "off")
	awaits("READY=1\nSTATUS=serving 0 clients")
	awaits("STATUS=serving 0 clients\nWATCHDOG=1")
	if err := node.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	awaits("STOPPING=1\nSTATUS=draining 0 clients")
	if log, code := node.end(); code != 0 {
		t.Errorf("node ended with code %d and said\n%s", code, log)
	}
}
