package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// family is all processes started; it kills them when the context ends. Each
// child leads a process group of its own, so that its own children go with it
// and the terminal's Ctrl-C does not reach them first.
//
// start must be called on a thread that lives as long as the program, because
// the kernel kills a child when the thread that started it ends.
type family struct {
	dir string // for their logs

	mu       sync.Mutex
	ended    bool
	children map[*child]struct{}
}

// child is one started process.
type child struct {
	name   string
	cmd    *exec.Cmd
	log    string
	exited chan struct{} // closed when it is gone
	state  error         // how it ended; read after exited
}

func newFamily(ctx context.Context, dir string) *family {
	f := &family{dir: dir, children: map[*child]struct{}{}}
	context.AfterFunc(ctx, f.end)
	return f
}

// end kills all and lets none start any more.
func (f *family) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	for c := range f.children {
		c.kill()
	}
}

// start starts cmd; what it says on standard error goes to a file. orphaned is
// the signal it gets should this program die without stopping it.
func (f *family) start(name string, cmd *exec.Cmd, orphaned syscall.Signal) (*child, error) {
	log, err := os.Create(filepath.Join(f.dir, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", name, err)
	}
	defer log.Close()
	cmd.Stderr = log
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: orphaned}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return nil, fmt.Errorf("start %s: %w", name, context.Canceled)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c := &child{name: name, cmd: cmd, log: log.Name(), exited: make(chan struct{})}
	f.children[c] = struct{}{}
	go func() {
		c.state = cmd.Wait()
		close(c.exited)
	}()
	return c, nil
}

// stop kills c and its children and waits until it is gone.
func (f *family) stop(c *child) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.kill()
	<-c.exited
	delete(f.children, c)
}

func (c *child) kill() {
	// The only error is that the group has ended already.
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// logTail is how much of a log goes into an error, in bytes.
const logTail = 2000

// explain adds to err what the process said last, and that it ended if it did.
func (c *child) explain(err error) error {
	select {
	case <-c.exited:
		err = errors.Join(err, fmt.Errorf("%s has ended: %w", c.name, orNil(c.state)))
	default:
	}
	text, readErr := os.ReadFile(c.log)
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	text = bytes.TrimSpace(text[max(len(text)-logTail, 0):])
	if len(text) == 0 {
		return err
	}
	return fmt.Errorf("%w\n%s says:\n%s", err, c.name, text)
}

var errExitZero = errors.New("exit status 0")

func orNil(err error) error {
	if err == nil {
		return errExitZero
	}
	return err
}
