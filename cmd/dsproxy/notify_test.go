package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dsproxy/dsproxy/cmd/internal/service"
)

// serviceManager is the socket of one, as systemd has it.
type serviceManager struct{ conn *net.UnixConn }

// listenAsManager sets NOTIFY_SOCKET to a new socket; @ begins an abstract name.
func listenAsManager(t *testing.T, name string) serviceManager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return serviceManager{conn}
}

// socketName is short, since sockets' names may have 104 bytes on some systems.
func socketName(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "n")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// awaits reads until a datagram has a line that matches, and returns the datagram.
func (m serviceManager) awaits(t *testing.T, line string) string {
	t.Helper()
	match := regexp.MustCompile("(?m)^" + line + "$")
	if err := m.conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	for {
		n, err := m.conn.Read(b)
		if err != nil {
			t.Fatalf("the service manager is not told %s: %v", line, err)
		}
		if match.Match(b[:n]) {
			return string(b[:n])
		}
	}
}

func TestServiceManagerIsTold(t *testing.T) {
	m := listenAsManager(t, socketName(t))
	t.Setenv("WATCHDOG_USEC", "100000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))

	ended := make(chan int)
	go func() {
		ended <- run(context.Background(), []string{"--listen", "127.0.0.1:0", "--admin", "", "--backends", "127.0.0.1:1",
			"--drain-delay", "0s", "--drain-timeout", "1s"}, func(string) string { return "" }, io.Discard, io.Discard)
	}()
	if all := m.awaits(t, "READY=1"); !strings.Contains(all, "STATUS=serving 0 tunnels, ") {
		t.Errorf("ready without a status: %q", all)
	}
	m.awaits(t, "WATCHDOG=1")
	self := func(sig syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
	}
	self(syscall.SIGHUP)
	if all := m.awaits(t, "RELOADING=1"); !regexp.MustCompile(`(?m)^MONOTONIC_USEC=[0-9]+$`).MatchString(all) {
		t.Errorf("reloading without its time: %q", all)
	}
	m.awaits(t, "READY=1")
	self(syscall.SIGTERM)
	if all := m.awaits(t, "STOPPING=1"); !strings.Contains(all, "STATUS=draining 0 tunnels") {
		t.Errorf("stopping without a status: %q", all)
	}
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// A program that hangs does not tell the watchdog that all is well.
func TestWatchdogOfAHangingProgram(t *testing.T) {
	name := socketName(t)
	if runtime.GOOS == "linux" { // which alone has abstract names
		name = "@dsproxy-test-" + strconv.Itoa(os.Getpid())
	}
	m := listenAsManager(t, name)
	t.Setenv("WATCHDOG_USEC", "2000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	hangs, done := make(chan struct{}), make(chan struct{})
	defer close(done)
	asked := 0
	n := service.Notifier{Status: func() string {
		if asked++; asked == 3 {
			close(hangs)
			<-done
		}
		return "x"
	}, Log: slog.New(slog.DiscardHandler)}
	defer n.Run(nil)()
	m.awaits(t, "READY=1")
	m.awaits(t, "WATCHDOG=1")
	<-hangs
	if err := m.conn.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, err := m.conn.Read(make([]byte, 4096)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("told %d bytes (%v) while the program hangs", n, err)
	}
}
