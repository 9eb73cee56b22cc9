package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dsproxy/dsproxy/proxy/bench/load"
	"github.com/dsproxy/dsproxy/proxy/bench/traffic"
)

// peerNames are the proxies in the order of their turns.
var peerNames = []string{"dsproxy", "nginx", "haproxy", "httputil"}

// options are the command line.
type options struct {
	only      []string
	workloads []string
	rounds    int
	ops       counts
	conns     counts
	sids      int
	backends  int
	rate      float64
	settle    time.Duration
	jsonFile  string
	profile   string
	dsproxy   string
}

// counts is a number for each workload, as a flag: "small=1000,echo=2000"
// changes some, "1000" all.
type counts map[string]int

func (c counts) String() string {
	var parts []string
	for _, name := range load.Workloads {
		if n, ok := c[name]; ok {
			parts = append(parts, fmt.Sprintf("%s=%d", name, n))
		}
	}
	return strings.Join(parts, ",")
}

func (c counts) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		name, number, named := strings.Cut(part, "=")
		if !named {
			number = name
		}
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is not a number above zero", number)
		}
		if !named {
			for name := range c {
				c[name] = n
			}
			continue
		}
		if _, ok := c[name]; !ok {
			return fmt.Errorf("no workload is called %q", name)
		}
		c[name] = n
	}
	return nil
}

// names is a flag that takes a comma list of known names.
type names struct {
	dst   *[]string
	known []string
}

func (n names) String() string {
	if n.dst == nil {
		return ""
	}
	return strings.Join(*n.dst, ",")
}

func (n names) Set(text string) error {
	chosen := strings.Split(text, ",")
	for _, name := range chosen {
		if !slices.Contains(n.known, name) {
			return fmt.Errorf("%q is none of %s", name, strings.Join(n.known, ", "))
		}
	}
	// The order is always that of known.
	*n.dst = slices.DeleteFunc(slices.Clone(n.known), func(name string) bool { return !slices.Contains(chosen, name) })
	return nil
}

// Enough operations that the 10 ms steps of /proc/PID/stat are below one
// percent of what a turn costs the cheapest proxy.
var defaultOps = counts{load.Small: 100000, load.Sticky: 100000, load.Echo: 100000, load.Connect: 20000, load.Idle: 10000}

// For idle it is how many are being opened at the same time.
var defaultConns = counts{load.Small: 64, load.Sticky: 64, load.Echo: 256, load.Connect: 64, load.Idle: 128}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	o := options{only: slices.Clone(peerNames), workloads: slices.Clone(load.Workloads), ops: maps.Clone(defaultOps), conns: maps.Clone(defaultConns)}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Var(names{&o.only, peerNames}, "only", "comma `list` of the proxies to measure")
	fs.Var(names{&o.workloads, load.Workloads}, "workloads", "comma `list` of the works")
	fs.IntVar(&o.rounds, "rounds", 5, "turns of each proxy at each work")
	fs.Var(o.ops, "ops", "operations in one turn, as `work=n,...` or one number for all; for idle the number of WebSockets")
	fs.Var(o.conns, "conns", "client connections, as `work=n,...`; for connect and idle how many are being opened at the same time")
	fs.IntVar(&o.sids, "sids", 10000, "sessions of the sticky polls")
	fs.IntVar(&o.backends, "backends", 2, "number of backends")
	fs.Float64Var(&o.rate, "rate", 0, "operations per second at most, 0 for as many as the closed loop gives")
	fs.DurationVar(&o.settle, "settle", 5*time.Second, "pause before the memory of idle WebSockets is read")
	fs.StringVar(&o.jsonFile, "json", "", "also write all samples to this `file`, - for standard output in place of the tables")
	fs.StringVar(&o.profile, "cpuprofile", "", "after the rounds write a CPU profile of dsproxy at each work to `prefix`-WORK.pprof")
	fs.StringVar(&o.dsproxy, "dsproxy", "", "measure this dsproxy `binary` in place of one built from the source")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fs.SetOutput(stderr)
			fs.Usage()
		}
		return o, err
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unknown argument %q", fs.Arg(0))
	case o.rounds < 1:
		return o, errors.New("-rounds must be at least 1")
	case o.sids < 1:
		return o, errors.New("-sids must be at least 1")
	case o.backends < 1 || o.backends > traffic.MaxBackends:
		return o, fmt.Errorf("-backends must be 1 to %d", traffic.MaxBackends)
	case o.rate < 0:
		return o, errors.New("-rate must not be negative")
	case o.settle < 0:
		return o, errors.New("-settle must not be negative")
	case o.profile != "" && !slices.Contains(o.only, "dsproxy"):
		return o, errors.New("-cpuprofile is of dsproxy, which -only leaves out")
	}
	return o, nil
}

// title is what a work is called in the tables.
func (o options) title(workload string) string {
	conns := o.conns[workload]
	switch workload {
	case load.Small:
		return fmt.Sprintf("keep-alive requests, 100 bytes, %d connections", conns)
	case load.Sticky:
		return fmt.Sprintf("polls over %d sids, %d connections", o.sids, conns)
	case load.Echo:
		return fmt.Sprintf("WebSocket echo, %d bytes, %d connections", payload, conns)
	case load.Connect:
		return fmt.Sprintf("WebSocket connect and close, %d at a time", conns)
	default:
		return fmt.Sprintf("%d idle WebSockets", o.ops[workload])
	}
}

// payload is the size of a WebSocket message in bytes.
const payload = 64

// spec is the work for the load generator.
func (o options) spec(workload, target string) load.Spec {
	s := load.Spec{
		Workload: workload, Target: target, Conns: o.conns[workload], Ops: o.ops[workload],
		SIDs: o.sids, Payload: payload, Rate: o.rate,
	}
	s.Warmup = max(s.Ops/10, s.Conns)
	if workload == load.Idle {
		s.Warmup = 4 * s.Conns
	}
	s.Sources = sources(workload, s.Conns, s.Ops)
	return s
}

// portsEach is how many connections may come from one source address: fewer
// than the 28,000 local ports Linux has by default, because those of closed
// connections are not free at once.
const portsEach = 10000

// sources are as many loopback addresses as a work needs local ports.
func sources(workload string, conns, ops int) []string {
	used := conns
	if workload == load.Connect || workload == load.Idle {
		used += ops
	}
	var list []string
	for i := range (used + portsEach - 1) / portsEach {
		list = append(list, fmt.Sprintf("127.0.0.%d", 1+i%250))
	}
	return list
}

// filesNeeded is how many file descriptors one process needs at most for a
// number of tunnels: both ends in a proxy, and some for itself.
func filesNeeded(tunnels int) int { return 2*tunnels + filesSpare }

const filesSpare = 600

// tunnelsWithin is how many tunnels fit a limit of file descriptors.
func tunnelsWithin(files int) int { return max((files-filesSpare)/2, 1) }
