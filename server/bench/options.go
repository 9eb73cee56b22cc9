package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// options are the command line.
type options struct {
	dir      string
	only     []string
	works    []string
	rounds   int
	duration time.Duration
	idle     int
	settle   time.Duration
	profile  string
}

// servers are the names of those compared, in the order of their turns.
var servers = []string{node, original}

const (
	node     = "node"
	original = "original"
)

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	var only, chosen string
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.dir, "dir", "server/bench/original", "`folder` of the original's package.json")
	fs.StringVar(&only, "only", strings.Join(servers, ","), "comma `list` of the servers to measure")
	fs.StringVar(&chosen, "works", strings.Join(workNames(false), ","), "comma `list` of the works; those of two nodes are "+strings.Join(workNames(true), ","))
	fs.IntVar(&o.rounds, "rounds", 3, "turns of each server at each work")
	fs.DurationVar(&o.duration, "duration", 3*time.Second, "measured time of a turn")
	fs.IntVar(&o.idle, "idle", 10000, "idle clients whose memory is measured; fewer if the limit of open files asks for it")
	fs.DurationVar(&o.settle, "settle", 5*time.Second, "pause before their memory is read")
	fs.StringVar(&o.profile, "perf", "", "record the node's measured time with perf(1) into `prefix`-WORK.perf")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fs.SetOutput(stderr)
			fs.Usage()
		}
		return o, err
	}
	var err error
	if o.only, err = pick(only, servers); err != nil {
		return o, fmt.Errorf("-only: %w", err)
	}
	if o.works, err = pick(chosen, workNames()); err != nil {
		return o, fmt.Errorf("-works: %w", err)
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unknown argument %q", fs.Arg(0))
	case o.rounds < 1 || o.idle < 1 || o.duration <= 0 || o.settle < 0:
		return o, errors.New("-rounds, -idle and -duration must be above zero, -settle not below")
	}
	return o, nil
}

// pick returns the known names that a comma list has, in the known order.
func pick(list string, known []string) ([]string, error) {
	chosen := strings.Split(list, ",")
	for _, name := range chosen {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("%q is none of %s", name, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(known), func(name string) bool { return !slices.Contains(chosen, name) }), nil
}

// filesSpare is how many file descriptors a process needs besides its clients.
const filesSpare = 500
