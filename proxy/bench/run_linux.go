package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/dsproxy/dsproxy/proxy/bench/load"
	"github.com/dsproxy/dsproxy/proxy/bench/report"
)

// bench is one run of the program.
type bench struct {
	options options
	family  *family
	peers   []peer
	notes   []string
	stderr  io.Writer
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// Children must be started by a thread that stays: see family.
	runtime.LockOSThread()
	if ok, err := runWorker(args, stdin, stdout); ok {
		if err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		return 0
	}
	o, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err, "(-h shows the flags)")
		return 2
	}
	if err := compare(ctx, o, args, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

// compare measures everything and writes the report.
func compare(ctx context.Context, o options, args []string, stdout, stderr io.Writer) error {
	dir, err := os.MkdirTemp("", "dsproxy-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o, stderr: stderr}
	if err := b.fitFiles(); err != nil {
		return err
	}
	if b.peers, err = findPeers(ctx, o, dir); err != nil {
		return err
	}
	b.family = newFamily(ctx, dir)
	defer b.family.end()
	r := &report.Report{
		Command: strings.Join(append([]string{"go run ./proxy/bench"}, args...), " "),
		Machine: machine(b.peers), Rounds: o.rounds,
	}
	for _, workload := range o.workloads {
		work, err := b.work(ctx, workload)
		if err != nil {
			return err
		}
		r.Works = append(r.Works, work)
	}
	r.Notes = b.notes
	if err := b.write(r, stdout); err != nil {
		return err
	}
	if o.profile != "" {
		if err := b.profiles(ctx); err != nil {
			return err
		}
	}
	return verdict(r)
}

// fitFiles raises the limit of open files and, where that is not allowed far
// enough, lowers the number of idle WebSockets.
func (b *bench) fitFiles() error {
	tunnels := 0
	if slices.Contains(b.options.workloads, load.Idle) {
		tunnels = b.options.ops[load.Idle]
	}
	need := filesNeeded(max(tunnels, 1000))
	have, err := raiseFiles(need)
	if err != nil {
		return err
	}
	if have >= need {
		return nil
	}
	fit := tunnelsWithin(have)
	b.options.ops[load.Idle] = fit
	note := fmt.Sprintf("%d idle WebSockets in place of %d: the hard limit of open files is %d and may not be raised here.", fit, tunnels, have)
	b.notes = append(b.notes, note)
	fmt.Fprintln(b.stderr, note)
	return nil
}

// work lets all proxies take turns at one work.
func (b *bench) work(ctx context.Context, workload string) (report.Work, error) {
	w := report.Work{
		Name: workload, Title: b.options.title(workload),
		Idle: workload == load.Idle, Sticky: workload == load.Sticky,
	}
	for _, p := range b.peers {
		w.Series = append(w.Series, report.Series{Proxy: p.name, Label: p.label})
	}
	for round := range b.options.rounds {
		for i, p := range b.peers {
			sample, err := b.turn(ctx, p, workload)
			if ctx.Err() != nil {
				return w, context.Cause(ctx)
			}
			if err != nil {
				return w, fmt.Errorf("%s, %s: %w", workload, p.label, err)
			}
			w.Series[i].Samples = append(w.Series[i].Samples, sample)
			f := sample.Figures()
			figure := fmt.Sprintf("%.1f µs/op, %.0f ops/s", f.CPU, f.Rate)
			if w.Idle {
				figure = fmt.Sprintf("%.2f KiB per tunnel", f.TunnelRSS)
			}
			fmt.Fprintf(b.stderr, "%s, round %d of %d: %-8s %s\n", workload, round+1, b.options.rounds, p.label, figure)
		}
	}
	return w, nil
}

func (b *bench) write(r *report.Report, stdout io.Writer) error {
	switch b.options.jsonFile {
	case "":
		return r.Markdown(stdout)
	case "-":
		return r.JSON(stdout)
	}
	f, err := os.Create(b.options.jsonFile)
	if err != nil {
		return err
	}
	if err := errors.Join(r.JSON(f), f.Close()); err != nil {
		return err
	}
	return r.Markdown(stdout)
}

// verdict is an error if the figures are not to be trusted or dsproxy sent a
// session to the wrong backend.
func verdict(r *report.Report) error {
	var errs []error
	for _, w := range r.Works {
		for _, s := range w.Series {
			for round, sample := range s.Samples {
				if sample.Errors > 0 {
					errs = append(errs, fmt.Errorf("%s, %s, round %d: %d operations failed, the first: %s", w.Name, s.Label, round+1, sample.Errors, sample.Error))
				}
				if s.Proxy == "dsproxy" && sample.Misroutes > 0 {
					errs = append(errs, fmt.Errorf("%s, dsproxy, round %d: %d of %d polls reached a backend that does not own the session", w.Name, round+1, sample.Misroutes, sample.Ops))
				}
			}
		}
	}
	return errors.Join(errs...)
}
