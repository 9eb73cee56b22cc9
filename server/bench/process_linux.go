package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a running server.
type process struct {
	cmd    *exec.Cmd
	log    string
	exited chan struct{}
}

// start runs a server on a free port and waits until it answers. It must be called
// on a thread that lives as long as the program, because the kernel kills the
// server when the thread that started it ends.
func start(ctx context.Context, dir, name string, command func(port string) *exec.Cmd) (*process, netip.AddrPort, error) {
	p, addr, err := launch(dir, name, command)
	if err != nil {
		return nil, addr, err
	}
	if err := p.ready(ctx, answersHTTP(addr)); err != nil {
		p.stop()
		return nil, addr, p.explain(err)
	}
	return p, addr, nil
}

// launch runs a server on a free port.
func launch(dir, name string, command func(port string) *exec.Cmd) (*process, netip.AddrPort, error) {
	addr, err := freePort()
	if err != nil {
		return nil, addr, err
	}
	cmd := command(strconv.Itoa(int(addr.Port())))
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, addr, fmt.Errorf("log of the server: %w", err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, addr, fmt.Errorf("start the server: %w", err)
	}
	p := &process{cmd: cmd, log: log.Name(), exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // it is killed
		close(p.exited)
	}()
	return p, addr, nil
}

// freePort finds a port that nobody has now: the original cannot be asked for one
// that is free.
func freePort() (netip.AddrPort, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort(), nil
}

// answersHTTP asks a server for its health.
func answersHTTP(addr netip.AddrPort) func(ctx context.Context) bool {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return func(ctx context.Context) bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr.String()+"/health-check", nil)
		if err != nil {
			return false
		}
		resp, err := client.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
}

// ready waits until the server answers.
func (p *process) ready(ctx context.Context, answers func(ctx context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for !answers(ctx) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("server is not ready: %w", ctx.Err())
		case <-p.exited:
			return errors.New("server has ended")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

func (p *process) stop() {
	// The only error is that the group has ended already.
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.exited
}

// explain adds what the server said last.
func (p *process) explain(err error) error {
	text, readErr := os.ReadFile(p.log)
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	text = bytes.TrimSpace(text[max(len(text)-2000, 0):])
	return fmt.Errorf("%w\nthe server says:\n%s", err, text)
}

// cpu is the CPU time of all threads, those that ended included. The clock's
// number is made as clock_getcpuclockid(3) does.
func (p *process) cpu() (time.Duration, error) {
	const processClock = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid<<3|processClock), &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of the server: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// resident is the resident memory in bytes.
func (p *process) resident() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm is %q", text)
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("statm: %w", err)
	}
	return pages * int64(os.Getpagesize()), nil
}
