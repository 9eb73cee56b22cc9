package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The proxy that is compared, and those it is compared with.
const subject = "dsproxy"

var rivals = []string{"nginx", "haproxy", "httputil"}

// better are the rivals of which the better one is the measure.
var better = []string{"nginx", "haproxy"}

// Markdown writes the tables for the README.
func (r *Report) Markdown(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "`%s`\n\n%s; median of %d %s, of each column on its own.\n", r.Command, r.Machine, r.Rounds, plural(r.Rounds, "round"))
	r.writeWork(&b)
	r.writeIdle(&b)
	r.writeRatios(&b)
	for _, n := range r.notes() {
		fmt.Fprintf(&b, "\n- %s", n)
	}
	b.WriteByte('\n')
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func (r *Report) writeWork(b *bytes.Buffer) {
	rows := [][]string{{"work", "proxy", "CPU µs/op", "user + system", "min … max", "ops/s", "p50 ms", "p99 ms", "RSS MiB", "PSS MiB", "misrouted", "errors"}}
	for _, work := range r.Works {
		if work.Idle {
			continue
		}
		for i, s := range work.Series {
			f := s.Medians()
			cpu := s.each(func(f Figures) float64 { return f.CPU })
			misrouted := "–"
			if work.Sticky {
				misrouted = decimal(f.MisroutePct, 1) + " %"
			}
			rows = append(rows, []string{
				titleOnce(work, i), s.Label, decimal(f.CPU, 1),
				decimal(f.User, 1) + " + " + decimal(f.System, 1), span(cpu, 1),
				thousands(f.Rate), decimal(f.P50, 2), decimal(f.P99, 2),
				decimal(f.RSS, 1), decimal(f.PSS, 1), misrouted, strconv.Itoa(s.errors()),
			})
		}
	}
	writeTable(b, rows, 2)
}

func (r *Report) writeIdle(b *bytes.Buffer) {
	rows := [][]string{{"work", "proxy", "KiB per tunnel (RSS)", "min … max", "KiB per tunnel (PSS)", "RSS MiB before", "RSS MiB after", "errors"}}
	for _, work := range r.Works {
		if !work.Idle {
			continue
		}
		for i, s := range work.Series {
			f := s.Medians()
			rows = append(rows, []string{
				titleOnce(work, i), s.Label, decimal(f.TunnelRSS, 2),
				span(s.each(func(f Figures) float64 { return f.TunnelRSS }), 2), decimal(f.TunnelPSS, 2),
				decimal(f.BeforeRSS, 1), decimal(f.RSS, 1), strconv.Itoa(s.errors()),
			})
		}
	}
	writeTable(b, rows, 2)
}

// writeRatios compares CPU per operation, or memory per idle tunnel.
func (r *Report) writeRatios(b *bytes.Buffer) {
	header := []string{"ratio (min … max within a round)"}
	for _, other := range rivals {
		if slices.ContainsFunc(r.Works, func(w Work) bool { _, ok := w.Ratio(subject, other); return ok }) {
			header = append(header, subject+" / "+r.label(other))
		}
	}
	if len(header) == 1 {
		return
	}
	rows := [][]string{append(header, subject+" / better of nginx and HAProxy")}
	for _, w := range r.Works {
		row := []string{w.Title}
		for _, other := range rivals {
			if !slices.Contains(header, subject+" / "+r.label(other)) {
				continue
			}
			cell := "–"
			if ratio, ok := w.Ratio(subject, other); ok {
				cell = fmt.Sprintf("%s (%s … %s)", decimal(ratio.Medians, 2), decimal(ratio.Min, 2), decimal(ratio.Max, 2))
			}
			row = append(row, cell)
		}
		rows = append(rows, append(row, w.best()))
	}
	writeTable(b, rows, 1)
}

// best is the ratio to the better of nginx and HAProxy, which is the larger
// ratio; a dash unless both were measured.
func (w Work) best() string {
	largest := 0.0
	for _, other := range better {
		ratio, ok := w.Ratio(subject, other)
		if !ok {
			return "–"
		}
		largest = max(largest, ratio.Medians)
	}
	return decimal(largest, 2)
}

func (r *Report) label(proxy string) string {
	for _, w := range r.Works {
		if s, ok := w.series(proxy); ok {
			return s.Label
		}
	}
	return proxy
}

// notes adds what the two ends cost, which must be little beside the proxies.
func (r *Report) notes() []string {
	notes := slices.Clone(r.Notes)
	var costs []string
	for _, w := range r.Works {
		if w.Idle {
			continue
		}
		var load, backend []float64
		for _, s := range w.Series {
			load = append(load, s.each(func(f Figures) float64 { return f.LoadCPU })...)
			backend = append(backend, s.each(func(f Figures) float64 { return f.BackendCPU })...)
		}
		costs = append(costs, fmt.Sprintf("%s %s + %s", w.Name, decimal(Median(load), 1), decimal(Median(backend), 1)))
	}
	if len(costs) > 0 {
		notes = append(notes, "CPU µs/op of load generator + backend, not part of the figures above: "+strings.Join(costs, ", ")+".")
	}
	return notes
}

func (s Series) errors() int {
	n := 0
	for _, sample := range s.Samples {
		n += sample.Errors
	}
	return n
}

func titleOnce(w Work, row int) string {
	if row > 0 {
		return ""
	}
	return w.Title
}

// writeTable writes rows, the first of which is the header, with columns made
// even so that the text reads well unrendered too; the first left columns are
// aligned left, the others right. A table without rows is left out.
func writeTable(b *bytes.Buffer, rows [][]string, left int) {
	if len(rows) < 2 {
		return
	}
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)), 3)
		}
	}
	rule := make([]string, len(width))
	for i, n := range width {
		rule[i] = strings.Repeat("-", n)
		if i >= left {
			rule[i] = strings.Repeat("-", n-1) + ":"
		}
	}
	b.WriteByte('\n')
	for _, row := range slices.Insert(slices.Clone(rows), 1, rule) {
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-len([]rune(cell)))
			if i < left {
				fmt.Fprintf(b, "| %s%s ", cell, pad)
			} else {
				fmt.Fprintf(b, "| %s%s ", pad, cell)
			}
		}
		b.WriteString("|\n")
	}
}

func decimal(v float64, places int) string {
	return strconv.FormatFloat(v, 'f', places, 64)
}

func span(values []float64, places int) string {
	if len(values) == 0 {
		return "–"
	}
	return decimal(slices.Min(values), places) + " … " + decimal(slices.Max(values), places)
}

// thousands writes a whole number with commas.
func thousands(v float64) string {
	s := strconv.FormatInt(int64(math.Round(v)), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
