//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// startLimit bounds what a process may take to be ready, on a busy machine.
	startLimit = 60 * time.Second
	// stopLimit bounds what a process may take to end after it was asked to.
	stopLimit = 20 * time.Second
	// linesKept is how much of a process's output is shown after a failure.
	linesKept = 150
)

// process is a program that a test started and that ends with the test. What it
// printed is shown when the test has failed.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ended chan struct{} // closed once it has been waited for
	err   error         // how it ended; read after ended

	mu    sync.Mutex
	lines []string // guarded by mu
	races bool     // the race detector spoke; guarded by mu
}

// start starts a program; onLine, if not nil, is called with each line of its
// stdout and its stderr, never by two goroutines at once, and says whether the
// line was meant for it and need not be shown.
func start(t testing.TB, name string, cmd *exec.Cmd, onLine func(line string) bool) *process {
	t.Helper()
	p := &process{name: name, cmd: cmd, ended: make(chan struct{})}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	var readers sync.WaitGroup
	for _, stream := range []io.Reader{stdout, stderr} {
		readers.Go(func() { p.read(stream, onLine) })
	}
	go func() {
		readers.Wait()
		p.err = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if p.races {
			t.Errorf("%s: data race", name)
		}
		if t.Failed() && len(p.lines) > 0 {
			t.Logf("output of %s:\n%s", name, strings.Join(p.lines, "\n"))
		}
	})
	return p
}

func (p *process) read(stream io.Reader, onLine func(line string) bool) {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.note(lines.Text(), onLine)
	}
	if err := lines.Err(); err != nil {
		p.note("(reading its output: "+err.Error()+")", onLine)
		io.Copy(io.Discard, stream)
	}
}

func (p *process) note(line string, onLine func(line string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if onLine != nil && onLine(line) {
		return
	}
	if len(p.lines) == linesKept {
		p.lines = append(p.lines[:0:0], p.lines[1:]...)
	}
	p.lines = append(p.lines, line)
	p.races = p.races || strings.Contains(line, "DATA RACE")
}

// kill ends the process without asking it.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// signal sends it a signal.
func (p *process) signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("signalling %s: %v", p.name, err)
	}
}

// waitReady returns the first value that the process's output gave to ready.
func waitReady[T any](t testing.TB, p *process, ready <-chan T) T {
	t.Helper()
	end := time.NewTimer(startLimit)
	defer end.Stop()
	select {
	case v := <-ready:
		return v
	case <-p.ended:
		t.Fatalf("%s ended before it was ready: %v", p.name, p.err)
	case <-end.C:
		t.Fatalf("%s is not ready after %v", p.name, startLimit)
	}
	panic("unreachable")
}

// waitEnd returns when the process has ended, with how it did.
func (p *process) waitEnd(limit time.Duration) error {
	end := time.NewTimer(limit)
	defer end.Stop()
	select {
	case <-p.ended:
		return p.err
	case <-end.C:
		return fmt.Errorf("%s has not ended after %v", p.name, limit)
	}
}
