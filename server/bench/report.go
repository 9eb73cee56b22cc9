package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// sample is what one turn gave.
type sample struct {
	cost     float64 // microseconds of CPU per operation; for idle bytes per client
	rate     float64 // operations per second; for idle the number of clients
	p50, p99 time.Duration
}

func (s sample) String() string {
	text := fmt.Sprintf("%.2f at %s", s.cost, thousands(s.rate))
	if s.p99 > 0 {
		text += fmt.Sprintf(", p50 %.2f ms, p99 %.2f ms", ms(s.p50), ms(s.p99))
	}
	return text
}

func ms(d time.Duration) float64 { return d.Seconds() * 1e3 }

// row is one work and the samples of each server.
type row struct {
	work
	samples map[string][]sample
}

// median is of each figure on its own.
func (r *row) median(server string) (sample, bool) {
	list := r.samples[server]
	if len(list) == 0 {
		return sample{}, false
	}
	of := func(f func(s sample) float64) float64 {
		values := make([]float64, len(list))
		for i, s := range list {
			values[i] = f(s)
		}
		slices.Sort(values)
		return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
	}
	return sample{
		cost: of(func(s sample) float64 { return s.cost }), rate: of(func(s sample) float64 { return s.rate }),
		p50: time.Duration(of(func(s sample) float64 { return float64(s.p50) })),
		p99: time.Duration(of(func(s sample) float64 { return float64(s.p99) })),
	}, true
}

// ratio compares the medians; low and high are the extremes within a round.
func (r *row) ratio() (median, low, high float64, ok bool) {
	a, okA := r.median(node)
	b, okB := r.median(original)
	if !okA || !okB || b.cost == 0 {
		return 0, 0, 0, false
	}
	for i, s := range r.samples[node] {
		q := s.cost / r.samples[original][i].cost
		if i == 0 {
			low, high = q, q
		}
		low, high = min(low, q), max(high, q)
	}
	return a.cost / b.cost, low, high, true
}

// met says whether the goal is reached, where that can be said.
func (r *row) met() string {
	a, ok := r.median(node)
	if !ok {
		return "–"
	}
	reached := a.cost <= r.goal
	if r.name != idle && r.name != clusterAlone {
		ratio, _, _, ok := r.ratio()
		if !ok {
			return "–"
		}
		reached = ratio <= r.goal
		if b, _ := r.median(original); r.latency {
			reached = reached && a.p99 < b.p99
		}
	}
	if reached {
		return "yes"
	}
	return "no"
}

// report is the outcome of a run.
type report struct {
	command, machine string
	rounds           int
	rows             []row
	notes            []string
}

func (r *report) markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`\n\n%s; medians of %d rounds.\n\n", r.command, r.machine, r.rounds)
	tw := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	cells := func(list ...string) { fmt.Fprintf(tw, "| %s\t|\n", strings.Join(list, "\t| ")) }
	cells("work", "figure", "node", "original", "ratio (extremes in a round)", "goal", "reached")
	cells("---", "---", "---:", "---:", "---:", "---:", "---")
	for i := range r.rows {
		r.rows[i].cells(cells)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, note := range r.notes {
		fmt.Fprintf(&b, "\n- %s", note)
	}
	_, err := io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}

func (r *row) cells(add func(list ...string)) {
	show := func(server string, f func(s sample) string) string {
		s, ok := r.median(server)
		if !ok {
			return "–"
		}
		return f(s)
	}
	line := func(title, figure, ratio, goal, met string, f func(s sample) string) {
		add(title, figure, show(node, f), show(original, f), ratio, goal, met)
	}
	ratio := "–"
	if q, low, high, ok := r.ratio(); ok {
		ratio = fmt.Sprintf("%.3f (%.3f … %.3f)", q, low, high)
	}
	if r.name == idle {
		line(r.title, "KB resident", ratio, "at most 8 KB", r.met(), func(s sample) string { return fmt.Sprintf("%.1f", s.cost/1024) })
		return
	}
	if r.name == clusterAlone {
		line(r.title, "PUBLISH/event", "", "0", r.met(), func(s sample) string { return fmt.Sprintf("%.4f", s.cost) })
		return
	}
	line(r.title, "CPU µs/"+r.unit, ratio, fmt.Sprintf("%.3f", r.goal), r.met(), func(s sample) string { return fmt.Sprintf("%.2f", s.cost) })
	plural := strings.TrimSuffix(r.unit, "y") + "s"
	if strings.HasSuffix(r.unit, "y") {
		plural = strings.TrimSuffix(r.unit, "y") + "ies"
	}
	line("", plural+"/s", "", "", "", func(s sample) string { return thousands(s.rate) })
	if r.latency {
		line("", "p50, p99 ms", "", "lower p99", "", func(s sample) string { return fmt.Sprintf("%.1f, %.1f", ms(s.p50), ms(s.p99)) })
	}
}

// percentile sorts list and returns its nearest-rank percentile: the least that at
// least the part q of all do not exceed.
func percentile(list []time.Duration, q float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[max(int(math.Ceil(q*float64(len(list))))-1, 0)]
}

// thousands writes a whole number with commas.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
