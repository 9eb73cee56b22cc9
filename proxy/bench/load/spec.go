// Package load is the load generator: one thread, one epoll, preformatted
// bytes, a closed loop.
//
// A workload is a row of phases. Those that prepare (connect, upgrade, open
// sessions, warm up) end with [Generator.Prepare]; the measured one is
// [Generator.Run], which may be called again on the same connections. Each
// phase has slots, one per connection, that wait in a queue: the engine takes
// the first while fewer than the window are under way and the pace allows, the
// phase begins an operation on it, and events of its socket go to the phase
// until it says that the operation is done. A phase is the only code that knows
// what an operation is.
//
// Run is meant for a process of its own ([Serve]), so that its CPU time is not
// charged to anything measured.
package load

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// The workloads.
const (
	Small   = "small"   // keep-alive requests for 100 bytes
	Sticky  = "sticky"  // engine.io polls spread over many sessions
	Echo    = "echo"    // WebSocket messages sent and echoed
	Connect = "connect" // WebSockets opened and closed
	Idle    = "idle"    // WebSockets opened, one message echoed, then held
)

// Workloads are all of them in the order they are reported.
var Workloads = []string{Small, Sticky, Echo, Connect, Idle}

// Spec says what to do.
type Spec struct {
	Workload string   `json:"workload"`
	Target   string   `json:"target"`  // host:port of the proxy, IPv4
	Sources  []string `json:"sources"` // local addresses, taken in turn
	Conns    int      `json:"conns"`   // for connect: operations at the same time
	Ops      int      `json:"ops"`     // of one Run; for idle the number of WebSockets
	Warmup   int      `json:"warmup"`  // operations before the first Run
	SIDs     int      `json:"sids"`    // sessions of sticky
	Payload  int      `json:"payload"` // bytes of a WebSocket message, at least 8
	Rate     float64  `json:"rate"`    // operations per second at most; 0 is without bound
}

// Result is what one Run saw. Times are in nanoseconds.
type Result struct {
	Ops     int           `json:"ops"`
	Errors  int           `json:"errors"`
	Error   string        `json:"error,omitempty"` // the first of them
	Elapsed time.Duration `json:"elapsed_ns"`
	P50     time.Duration `json:"p50_ns"`
	P99     time.Duration `json:"p99_ns"`
	Max     time.Duration `json:"max_ns"`
}

func (s Spec) validate() error {
	switch {
	case !slices.Contains(Workloads, s.Workload):
		return fmt.Errorf("unknown workload %q", s.Workload)
	case s.Conns < 1 || s.Ops < 1 || s.Warmup < 0 || s.Rate < 0:
		return fmt.Errorf("workload %s: %d connections, %d operations, %d to warm up, rate %g", s.Workload, s.Conns, s.Ops, s.Warmup, s.Rate)
	case s.Workload == Sticky && s.SIDs < 1:
		return fmt.Errorf("workload %s: %d sessions", s.Workload, s.SIDs)
	case (s.Workload == Echo || s.Workload == Idle) && s.Payload < 8:
		return fmt.Errorf("workload %s: messages of %d bytes, want at least 8", s.Workload, s.Payload)
	case len(s.Sources) == 0:
		return fmt.Errorf("workload %s: no source address", s.Workload)
	}
	return nil
}

func (s Spec) addresses() (target netip.AddrPort, sources []netip.Addr, err error) {
	if target, err = netip.ParseAddrPort(s.Target); err != nil {
		return target, nil, fmt.Errorf("target: %w", err)
	}
	if !target.Addr().Is4() {
		return target, nil, fmt.Errorf("target %v is not IPv4", target)
	}
	for _, text := range s.Sources {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return target, nil, fmt.Errorf("source: %w", err)
		}
		if !a.Is4() {
			return target, nil, fmt.Errorf("source %v is not IPv4", a)
		}
		sources = append(sources, a)
	}
	return target, sources, nil
}

// dueTime is when, from the start of a run, the operation after taken others
// may begin at that many a second.
func dueTime(taken int, rate float64) time.Duration {
	return time.Duration(float64(taken) / rate * float64(time.Second))
}

// quantile is the smallest value that at least the share q of sorted does not
// exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := int(q*float64(len(sorted))+0.9999999) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}
