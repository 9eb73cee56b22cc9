package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/dsproxy/dsproxy/proxy/bench/backend"
	"github.com/dsproxy/dsproxy/proxy/bench/load"
)

// worker is this program started again as a load generator or backend. It is
// spoken to in lines: each one sent is answered by one.
type worker struct {
	*child
	in  io.WriteCloser
	out *json.Decoder
}

// startWorker starts this program again with args.
func (f *family) startWorker(args ...string) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.Command(self, args...)
	// One busy thread each: more would only add handovers between them.
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c, err := f.start(args[0], cmd, syscall.SIGKILL)
	if err != nil {
		return nil, err
	}
	return &worker{child: c, in: in, out: json.NewDecoder(out)}, nil
}

// workerEnds is how long a worker may take to close its connections.
const workerEnds = 5 * time.Second

// dismiss lets a worker end by itself, so that it resets its connections, and
// stops it if it does not.
func (f *family) dismiss(w *worker) {
	// A worker that is gone has closed it already.
	_ = w.in.Close()
	select {
	case <-w.exited:
	case <-time.After(workerEnds):
	}
	f.stop(w.child)
}

// ask sends a line, if there is one, and reads the answer to it.
func (w *worker) ask(line, answer any) error {
	if line != nil {
		text, err := json.Marshal(line)
		if err != nil {
			return err
		}
		if _, err := w.in.Write(append(text, '\n')); err != nil {
			return w.explain(fmt.Errorf("write to the %s process: %w", w.name, err))
		}
	}
	if err := w.out.Decode(answer); err != nil {
		return w.explain(fmt.Errorf("read from the %s process: %w", w.name, err))
	}
	return nil
}

// startBackend starts n backends and returns their addresses.
func (f *family) startBackend(n int) (*worker, []string, error) {
	w, err := f.startWorker("backend", strconv.Itoa(n))
	if err != nil {
		return nil, nil, err
	}
	var hello backend.Hello
	if err := w.ask(nil, &hello); err != nil {
		f.stop(w.child)
		return nil, nil, err
	}
	return w, hello.Addrs, nil
}

// counts are what the backends have seen.
func (w *worker) counts() (c backend.Counts, err error) {
	err = w.ask("counts", &c)
	return c, err
}

// startLoad starts a load generator and has it prepare the work.
func (f *family) startLoad(spec load.Spec) (*worker, error) {
	w, err := f.startWorker("load")
	if err != nil {
		return nil, err
	}
	if _, err := w.generate(spec); err != nil {
		f.stop(w.child)
		return nil, err
	}
	return w, nil
}

// generate sends a line to the load generator and waits for its reply.
func (w *worker) generate(line any) (load.Result, error) {
	var r load.Reply
	if err := w.ask(line, &r); err != nil {
		return load.Result{}, err
	}
	if r.Error != "" {
		return load.Result{}, fmt.Errorf("load generator: %s", r.Error)
	}
	return r.Result, nil
}

// runWorker is the other side: the words that start a worker. ok is false if
// args are not such words.
func runWorker(args []string, in io.Reader, out io.Writer) (ok bool, err error) {
	switch {
	case len(args) == 1 && args[0] == "load":
		return true, load.Serve(in, out)
	case len(args) == 2 && args[0] == "backend":
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return true, fmt.Errorf("number of backends: %w", err)
		}
		return true, backend.Run(n, in, out)
	}
	return false, nil
}
