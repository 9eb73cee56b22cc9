// Package report holds the figures of a benchmark, takes their medians, and
// writes them as Markdown or JSON.
//
// A [Sample] is one round of one proxy at one work. Medians are over rounds and
// each figure has its own. A ratio is that of two medians, so that a reader can
// check it in the table; the smallest and largest ratio within one round stand
// beside it and show how much to believe.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// Memory is what the processes of a proxy hold, in bytes, summed. PSS divides
// pages that several processes share.
type Memory struct {
	RSS int64 `json:"rss"`
	PSS int64 `json:"pss"`
}

// Sample is what was measured in one round. Times are in nanoseconds.
type Sample struct {
	Ops        int           `json:"ops"`
	Errors     int           `json:"errors"`
	Error      string        `json:"error,omitempty"` // the first of them
	Misroutes  int64         `json:"misroutes"`
	User       time.Duration `json:"user_ns"` // of all processes of the proxy
	System     time.Duration `json:"system_ns"`
	LoadCPU    time.Duration `json:"load_cpu_ns"`
	BackendCPU time.Duration `json:"backend_cpu_ns"`
	Elapsed    time.Duration `json:"elapsed_ns"`
	P50        time.Duration `json:"p50_ns"`
	P99        time.Duration `json:"p99_ns"`
	Before     Memory        `json:"before"` // the measured operations
	After      Memory        `json:"after"`
	Processes  int           `json:"processes"` // of the proxy
	Threads    int           `json:"threads"`   // of all its processes
}

// Series is one proxy at one work, a sample for each round.
type Series struct {
	Proxy   string   `json:"proxy"`
	Label   string   `json:"label"` // as it is printed
	Samples []Sample `json:"samples"`
	Median  Figures  `json:"median"`
}

// Work is one workload.
type Work struct {
	Name   string   `json:"name"`
	Title  string   `json:"title"`
	Idle   bool     `json:"idle"`   // its figure is memory per tunnel, not CPU
	Sticky bool     `json:"sticky"` // misroutes are of interest
	Series []Series `json:"series"`
}

// Report is a whole benchmark.
type Report struct {
	Command string   `json:"command"`
	Machine string   `json:"machine"`
	Rounds  int      `json:"rounds"`
	Works   []Work   `json:"works"`
	Notes   []string `json:"notes"`
}

// Figures are those of a sample that are compared: for each operation, or for
// each idle tunnel.
type Figures struct {
	CPU         float64 `json:"cpu_us_per_op"`
	User        float64 `json:"user_us_per_op"`
	System      float64 `json:"system_us_per_op"`
	LoadCPU     float64 `json:"load_cpu_us_per_op"`
	BackendCPU  float64 `json:"backend_cpu_us_per_op"`
	Rate        float64 `json:"ops_per_second"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	RSS         float64 `json:"rss_mib"`
	PSS         float64 `json:"pss_mib"`
	BeforeRSS   float64 `json:"before_rss_mib"`
	TunnelRSS   float64 `json:"tunnel_rss_kib"`
	TunnelPSS   float64 `json:"tunnel_pss_kib"`
	MisroutePct float64 `json:"misroute_percent"`
}

const mib = 1 << 20

// Figures computes them; a sample without operations has none.
func (s Sample) Figures() Figures {
	if s.Ops == 0 {
		return Figures{}
	}
	ops := float64(s.Ops)
	perOp := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) / ops }
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	f := Figures{
		CPU: perOp(s.User + s.System), User: perOp(s.User), System: perOp(s.System),
		LoadCPU: perOp(s.LoadCPU), BackendCPU: perOp(s.BackendCPU),
		P50: ms(s.P50), P99: ms(s.P99),
		RSS: float64(s.After.RSS) / mib, PSS: float64(s.After.PSS) / mib,
		BeforeRSS:   float64(s.Before.RSS) / mib,
		TunnelRSS:   float64(s.After.RSS-s.Before.RSS) / 1024 / ops,
		TunnelPSS:   float64(s.After.PSS-s.Before.PSS) / 1024 / ops,
		MisroutePct: 100 * float64(s.Misroutes) / ops,
	}
	if s.Elapsed > 0 {
		f.Rate = ops / s.Elapsed.Seconds()
	}
	return f
}

// Median is the middle of values, the mean of the two middle ones if their
// number is even, 0 if there are none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// each collects one figure of all samples.
func (s Series) each(figure func(Figures) float64) []float64 {
	values := make([]float64, len(s.Samples))
	for i, sample := range s.Samples {
		values[i] = figure(sample.Figures())
	}
	return values
}

// Medians computes the median of each figure on its own.
func (s Series) Medians() Figures {
	m := func(figure func(Figures) float64) float64 { return Median(s.each(figure)) }
	return Figures{
		CPU:         m(func(f Figures) float64 { return f.CPU }),
		User:        m(func(f Figures) float64 { return f.User }),
		System:      m(func(f Figures) float64 { return f.System }),
		LoadCPU:     m(func(f Figures) float64 { return f.LoadCPU }),
		BackendCPU:  m(func(f Figures) float64 { return f.BackendCPU }),
		Rate:        m(func(f Figures) float64 { return f.Rate }),
		P50:         m(func(f Figures) float64 { return f.P50 }),
		P99:         m(func(f Figures) float64 { return f.P99 }),
		RSS:         m(func(f Figures) float64 { return f.RSS }),
		PSS:         m(func(f Figures) float64 { return f.PSS }),
		BeforeRSS:   m(func(f Figures) float64 { return f.BeforeRSS }),
		TunnelRSS:   m(func(f Figures) float64 { return f.TunnelRSS }),
		TunnelPSS:   m(func(f Figures) float64 { return f.TunnelPSS }),
		MisroutePct: m(func(f Figures) float64 { return f.MisroutePct }),
	}
}

// figure is what the proxies are compared by at this work.
func (w Work) figure(f Figures) float64 {
	if w.Idle {
		return f.TunnelRSS
	}
	return f.CPU
}

func (w Work) series(proxy string) (Series, bool) {
	i := slices.IndexFunc(w.Series, func(s Series) bool { return s.Proxy == proxy })
	if i < 0 {
		return Series{}, false
	}
	return w.Series[i], true
}

// Ratio compares two proxies at one work.
type Ratio struct {
	Medians  float64 // of the medians
	Min, Max float64 // of the ratios within one round
}

// Ratio is that of proxy to other; ok is false if one of them was not measured
// or the other's figure is not above zero.
func (w Work) Ratio(proxy, other string) (r Ratio, ok bool) {
	a, okA := w.series(proxy)
	b, okB := w.series(other)
	if !okA || !okB {
		return Ratio{}, false
	}
	as, bs := a.each(w.figure), b.each(w.figure)
	var rounds []float64
	for i := range min(len(as), len(bs)) {
		if bs[i] > 0 {
			rounds = append(rounds, as[i]/bs[i])
		}
	}
	if len(rounds) == 0 || Median(bs) <= 0 {
		return Ratio{}, false
	}
	return Ratio{Medians: Median(as) / Median(bs), Min: slices.Min(rounds), Max: slices.Max(rounds)}, true
}

// JSON writes all samples and medians.
func (r *Report) JSON(w io.Writer) error {
	for i := range r.Works {
		for j := range r.Works[i].Series {
			s := &r.Works[i].Series[j]
			s.Median = s.Medians()
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
