package demo

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is one run of a node or a proxy.
type child struct {
	cmd   *exec.Cmd
	said  chan logLine  // where it listens
	ended chan struct{} // closed once it has been waited for
	err   error         // how it ended; read after ended

	mu   sync.Mutex
	last []string // guarded by mu: the end of its log
}

// logLine is what matters of a line of a log, which is JSON.
type logLine struct{ Msg, Name, Addr string }

// linesKept is how much of a log is told when a child ends by itself.
const linesKept = 5

// redisVariable tells a child the address of the Redis; a password in its arguments
// could be read by every user of the machine.
const redisVariable = "DSPROXY_REDIS"

func spawn(program, redis string, args ...string) (*child, error) {
	c := &child{cmd: exec.Command(program, args...), said: make(chan logLine, 16), ended: make(chan struct{})}
	c.cmd.SysProcAttr = attributes()
	c.cmd.Env = append(slices.DeleteFunc(os.Environ(), configures), redisVariable+"="+redis)
	out, err := c.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	go func() {
		// A child dies with the thread that started it, so that thread stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		c.read(out)
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// configures tells variables that would configure a child.
func configures(variable string) bool {
	return strings.HasPrefix(variable, "DSPROXY_") || strings.HasPrefix(variable, "NOTIFY_SOCKET=")
}

func (c *child) read(log io.Reader) {
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		c.note(lines.Text())
	}
	_, _ = io.Copy(io.Discard, log) // a line too long must not block the child
}

func (c *child) note(text string) {
	c.mu.Lock()
	c.last = append(c.last, text)
	c.last = c.last[max(0, len(c.last)-linesKept):]
	c.mu.Unlock()
	var line logLine
	if json.Unmarshal([]byte(text), &line) == nil && line.Addr != "" {
		select {
		case c.said <- line:
		default: // all that is waited for has been said
		}
	}
}

// why says how it ended, with the end of its log.
func (c *child) why() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%v: %s", c.cmd.ProcessState, strings.Join(c.last, "; "))
}

// alive reports whether it runs.
func (c *child) alive() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// kill ends it without a word.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // the error would be that it has ended
	<-c.ended
}

// stopTime is what a child may take to stop.
const stopTime = 3 * time.Second

// stop asks it to end, and kills it when that takes too long.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // the error would be that it has ended
	late := time.NewTimer(stopTime)
	defer late.Stop()
	select {
	case <-c.ended:
	case <-late.C:
		c.kill()
	}
}
