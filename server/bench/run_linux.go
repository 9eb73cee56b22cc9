package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// bench is one run.
type bench struct {
	options options
	dir     string // temporary
	node    string // the binary
	stderr  io.Writer
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	// Servers die with the thread that starts them, and this is the one that
	// does not end.
	runtime.LockOSThread()
	o, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	if err := compare(ctx, o, args, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

func compare(ctx context.Context, o options, args []string, stdout, stderr io.Writer) (err error) {
	files, err := raiseFiles(o.idle + filesSpare)
	if err != nil {
		return err
	}
	r := report{command: strings.Join(append([]string{"go run ./server/bench"}, args...), " "), rounds: o.rounds}
	if most := files - filesSpare; o.idle > most {
		r.notes = append(r.notes, fmt.Sprintf("The limit of %d open files lets a process have %d idle clients, not %d.", files, most, o.idle))
		o.idle = most
	}
	dir, err := os.MkdirTemp("", "deepstream-bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{options: o, dir: dir, node: filepath.Join(dir, "deepstream"), stderr: stderr}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	r.machine = machine(ctx)
	for _, w := range works {
		if !slices.Contains(o.works, w.name) {
			continue
		}
		row := row{work: w, samples: map[string][]sample{}}
		for round := range o.rounds {
			for _, name := range o.only {
				s, err := b.turn(ctx, name, &w)
				if err != nil {
					return fmt.Errorf("%s at %s: %w", name, w.name, err)
				}
				fmt.Fprintf(stderr, "%s %d/%d %s: %s\n", w.name, round+1, o.rounds, name, s)
				row.samples[name] = append(row.samples[name], s)
			}
		}
		if w.name == idle {
			row.title = fmt.Sprintf("%s, %s of them", w.title, thousands(float64(o.idle)))
		}
		r.rows = append(r.rows, row)
	}
	return r.markdown(stdout)
}

// prepare builds the node and installs the original.
func (b *bench) prepare(ctx context.Context) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", b.node, "github.com/dsproxy/dsproxy/cmd/deepstream")
	build.Stderr = b.stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build the node: %w", err)
	}
	if !slices.Contains(b.options.only, original) {
		return nil
	}
	if _, err := os.Stat(filepath.Join(b.options.dir, "node_modules")); err == nil {
		return nil
	}
	install := exec.CommandContext(ctx, "npm", "ci")
	install.Dir, install.Stdout, install.Stderr = b.options.dir, b.stderr, b.stderr
	if err := install.Run(); err != nil {
		return fmt.Errorf("npm ci in %s: %w", b.options.dir, err)
	}
	return nil
}

func (b *bench) command(name, config string) (func(port string) *exec.Cmd, error) {
	config, err := filepath.Abs(filepath.Join(b.options.dir, config))
	if err != nil {
		return nil, err
	}
	program := []string{b.node, "start", "--admin", "off"}
	if name == original {
		program = []string{"node", filepath.Join(filepath.Dir(config), "node_modules/@deepstream/server/dist/bin/deepstream.js"), "start"}
	}
	return func(port string) *exec.Cmd {
		args := append(program[1:], "-c", config, "--host", "127.0.0.1", "--port", port, "--log-level", "OFF")
		return exec.Command(program[0], args...)
	}, nil
}

func (b *bench) turn(ctx context.Context, name string, w *work) (s sample, err error) {
	if w.cluster {
		return b.clusterTurn(ctx, name, w)
	}
	command, err := b.command(name, "config.yml")
	if err != nil {
		return s, err
	}
	p, addr, err := start(ctx, b.dir, "server", command)
	if err != nil {
		return s, err
	}
	defer p.stop()
	t := &turn{options: &b.options, addr: addr, from: addr, servers: []*process{p}}
	return b.play(ctx, t, name, w)
}

func (b *bench) play(ctx context.Context, t *turn, name string, w *work) (s sample, err error) {
	if b.options.profile != "" && name == node {
		t.began = func() {
			for i, p := range t.servers {
				b.record(p, w.name, i)
			}
		}
	}
	if s, err = t.play(ctx, w.name); err != nil {
		return s, t.servers[0].explain(err)
	}
	return s, nil
}

// record has perf watch the server for most of the measured time.
func (b *bench) record(p *process, work string, number int) {
	if number > 0 {
		work += "-" + strconv.Itoa(number+1)
	}
	seconds := strconv.FormatFloat(b.options.duration.Seconds()*0.8, 'f', 1, 64)
	cmd := exec.Command("perf", "record", "-q", "-g", "-F", "1999", "-o", b.options.profile+"-"+work+".perf",
		"-p", strconv.Itoa(p.cmd.Process.Pid), "--", "sleep", seconds)
	cmd.Stderr = b.stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(b.stderr, "bench: no profile:", err)
		return
	}
	go func() {
		if err := cmd.Wait(); err != nil {
			fmt.Fprintln(b.stderr, "bench: profile:", err)
		}
	}()
}

// machine says in one line what the figures were taken on.
func machine(ctx context.Context) string {
	parts := []string{fmt.Sprintf("%d × %s", runtime.NumCPU(), cpuModel())}
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		parts = append(parts, "Linux "+unix.ByteSliceToString(u.Release[:]))
	}
	parts = append(parts, "Go "+strings.TrimPrefix(runtime.Version(), "go"))
	if version, err := exec.CommandContext(ctx, "node", "--version").Output(); err == nil {
		parts = append(parts, "Node.js "+strings.TrimSpace(strings.TrimPrefix(string(version), "v")))
	}
	return strings.Join(append(parts, "@deepstream/server 7.0.2"), ", ")
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH + " core"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH + " core"
}

// raiseFiles raises the limit of open files, which the servers inherit, to n if the
// system allows, else to the most it allows, and returns it.
func raiseFiles(n int) (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	want := max(uint64(n), limit.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: want, Max: want}); err == nil {
		return int(min(want, 1<<30)), nil
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("raise the limit of open files to %d: %w", limit.Max, err)
	}
	return int(min(limit.Max, 1<<30)), nil
}
