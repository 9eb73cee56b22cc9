package report

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMedian(t *testing.T) {
	f := func(want float64, values ...float64) {
		t.Helper()
		before := append([]float64(nil), values...)
		if got := Median(values); got != want {
			t.Errorf("Median(%v) is %v, want %v", values, got, want)
		}
		if !cmp.Equal(before, values) {
			t.Errorf("Median reordered %v to %v", before, values)
		}
	}
	f(0)
	f(3, 3)
	f(2, 1, 3)
	f(2, 9, 1, 2)
	f(2.5, 3, 100, 1, 2)
	f(5, 5, 5, 5, 1, 900)
}

func TestFigures(t *testing.T) {
	s := Sample{
		Ops: 1000, Misroutes: 25, User: 10 * time.Millisecond, System: 20 * time.Millisecond,
		LoadCPU: 5 * time.Millisecond, BackendCPU: 4 * time.Millisecond,
		Elapsed: 50 * time.Millisecond, P50: 1500 * time.Microsecond, P99: 3 * time.Millisecond,
		Before: Memory{RSS: 1 << 20, PSS: 1 << 19}, After: Memory{RSS: 3 << 20, PSS: 3 << 19},
	}
	want := Figures{
		CPU: 30, User: 10, System: 20, LoadCPU: 5, BackendCPU: 4, Rate: 20000, P50: 1.5, P99: 3,
		RSS: 3, PSS: 1.5, BeforeRSS: 1, TunnelRSS: 2.048, TunnelPSS: 1.024, MisroutePct: 2.5,
	}
	if d := cmp.Diff(want, s.Figures()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(Figures{}, Sample{Elapsed: 1}.Figures()); d != "" {
		t.Errorf("without operations: %s", d)
	}
}

// Every figure has its own median: no round need have had all of them.
func TestMediansAreOfEachFigure(t *testing.T) {
	s := Series{Samples: []Sample{
		sample(10, 3*time.Millisecond), sample(30, 1*time.Millisecond), sample(20, 2*time.Millisecond),
	}}
	m := s.Medians()
	if m.CPU != 20 || m.P50 != 2 || m.P99 != 4 || m.RSS != 20 {
		t.Errorf("%+v", m)
	}
}

// sample has 1000 operations of us microseconds of CPU and twice as many MiB.
func sample(us int, p50 time.Duration) Sample {
	return Sample{
		Ops: 1000, User: time.Duration(us) * 250 * time.Microsecond, System: time.Duration(us) * 750 * time.Microsecond,
		LoadCPU: 7 * time.Millisecond, BackendCPU: 6 * time.Millisecond,
		Elapsed: 25 * time.Millisecond, P50: p50, P99: 2 * p50,
		Before: Memory{RSS: 10 << 20, PSS: 5 << 20}, After: Memory{RSS: int64(us) << 20, PSS: int64(us) << 19},
	}
}

func series(proxy, label string, us ...int) Series {
	s := Series{Proxy: proxy, Label: label}
	for _, n := range us {
		s.Samples = append(s.Samples, sample(n, time.Millisecond))
	}
	return s
}

func TestRatio(t *testing.T) {
	w := Work{Series: []Series{series("a", "A", 10, 20, 30), series("b", "B", 20, 25, 30), series("z", "Z", 0, 0)}}
	f := func(proxy, other string, want Ratio, ok bool) {
		t.Helper()
		got, gotOK := w.Ratio(proxy, other)
		if gotOK != ok || math.Abs(got.Medians-want.Medians)+math.Abs(got.Min-want.Min)+math.Abs(got.Max-want.Max) > 1e-9 {
			t.Errorf("%s to %s: %+v, %v", proxy, other, got, gotOK)
		}
	}
	f("a", "b", Ratio{Medians: 0.8, Min: 0.5, Max: 1}, true)
	f("b", "a", Ratio{Medians: 1.25, Min: 1, Max: 2}, true)
	f("a", "none", Ratio{}, false)
	f("none", "a", Ratio{}, false)
	f("a", "z", Ratio{}, false)
	// Idle works compare the memory per tunnel: 20-10 MiB against 25-10.
	w.Idle = true
	f("a", "b", Ratio{Medians: 10.0 / 15, Min: 0, Max: 1}, true)
}

func full() *Report {
	return &Report{
		Command: "go run ./proxy/bench", Machine: "2 × CPU, Linux 6.1", Rounds: 3,
		Works: []Work{
			{Name: "small", Title: "small requests", Series: []Series{
				series("dsproxy", "dsproxy", 30, 31, 33), series("nginx", "nginx", 28, 29, 30),
				series("haproxy", "HAProxy", 36, 37, 38), series("httputil", "httputil", 160, 163, 170),
			}},
			{Name: "sticky", Title: "sticky polls", Sticky: true, Series: []Series{
				series("dsproxy", "dsproxy", 35, 35, 35), series("nginx", "nginx", 30, 30, 30),
			}},
			{Name: "idle", Title: "idle WebSockets", Idle: true, Series: []Series{
				series("dsproxy", "dsproxy", 11, 11, 11), series("nginx", "nginx", 28, 28, 28),
			}},
		},
		Notes: []string{"A note."},
	}
}

func TestMarkdown(t *testing.T) {
	r := full()
	r.Works[1].Series[1].Samples[0].Errors = 2
	for i := range r.Works[1].Series[1].Samples {
		r.Works[1].Series[1].Samples[i].Misroutes = 499
	}
	var b bytes.Buffer
	if err := r.Markdown(&b); err != nil {
		t.Fatal(err)
	}
	want := "`go run ./proxy/bench`" + `

2 × CPU, Linux 6.1; median of 3 rounds, of each column on its own.

| work           | proxy    | CPU µs/op | user + system |     min … max |  ops/s | p50 ms | p99 ms | RSS MiB | PSS MiB | misrouted | errors |
| -------------- | -------- | --------: | ------------: | ------------: | -----: | -----: | -----: | ------: | ------: | --------: | -----: |
| small requests | dsproxy  |      31.0 |    7.8 + 23.2 |   30.0 … 33.0 | 40,000 |   1.00 |   2.00 |    31.0 |    15.5 |         – |      0 |
|                | nginx    |      29.0 |    7.2 + 21.8 |   28.0 … 30.0 | 40,000 |   1.00 |   2.00 |    29.0 |    14.5 |         – |      0 |
|                | HAProxy  |      37.0 |    9.2 + 27.8 |   36.0 … 38.0 | 40,000 |   1.00 |   2.00 |    37.0 |    18.5 |         – |      0 |
|                | httputil |     163.0 |  40.8 + 122.2 | 160.0 … 170.0 | 40,000 |   1.00 |   2.00 |   163.0 |    81.5 |         – |      0 |
| sticky polls   | dsproxy  |      35.0 |    8.8 + 26.2 |   35.0 … 35.0 | 40,000 |   1.00 |   2.00 |    35.0 |    17.5 |     0.0 % |      0 |
|                | nginx    |      30.0 |    7.5 + 22.5 |   30.0 … 30.0 | 40,000 |   1.00 |   2.00 |    30.0 |    15.0 |    49.9 % |      2 |

| work            | proxy   | KiB per tunnel (RSS) |     min … max | KiB per tunnel (PSS) | RSS MiB before | RSS MiB after | errors |
| --------------- | ------- | -------------------: | ------------: | -------------------: | -------------: | ------------: | -----: |
| idle WebSockets | dsproxy |                 1.02 |   1.02 … 1.02 |                 0.51 |           10.0 |          11.0 |      0 |
|                 | nginx   |                18.43 | 18.43 … 18.43 |                 9.22 |           10.0 |          28.0 |      0 |

| ratio (min … max within a round) |    dsproxy / nginx |  dsproxy / HAProxy | dsproxy / httputil | dsproxy / better of nginx and HAProxy |
| -------------------------------- | -----------------: | -----------------: | -----------------: | ------------------------------------: |
| small requests                   | 1.07 (1.07 … 1.10) | 0.84 (0.83 … 0.87) | 0.19 (0.19 … 0.19) |                                  1.07 |
| sticky polls                     | 1.17 (1.17 … 1.17) |                  – |                  – |                                     – |
| idle WebSockets                  | 0.06 (0.06 … 0.06) |                  – |                  – |                                     – |

- A note.
- CPU µs/op of load generator + backend, not part of the figures above: small 7.0 + 6.0, sticky 7.0 + 6.0.
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

// Without dsproxy there is nothing to compare, without idle works no table of them.
func TestMarkdownOfSome(t *testing.T) {
	r := &Report{Command: "c", Machine: "m", Rounds: 1, Works: []Work{
		{Name: "small", Title: "small", Series: []Series{series("nginx", "nginx", 1)}},
	}}
	var b bytes.Buffer
	if err := r.Markdown(&b); err != nil {
		t.Fatal(err)
	}
	want := "`c`" + `

m; median of 1 round, of each column on its own.

| work  | proxy | CPU µs/op | user + system | min … max |  ops/s | p50 ms | p99 ms | RSS MiB | PSS MiB | misrouted | errors |
| ----- | ----- | --------: | ------------: | --------: | -----: | -----: | -----: | ------: | ------: | --------: | -----: |
| small | nginx |       1.0 |     0.2 + 0.8 | 1.0 … 1.0 | 40,000 |   1.00 |   2.00 |     1.0 |     0.5 |         – |      0 |

- CPU µs/op of load generator + backend, not part of the figures above: small 7.0 + 6.0.
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := full().JSON(&b); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	s := back.Works[0].Series[0]
	if len(s.Samples) != 3 || s.Samples[2].User != 8250*time.Microsecond || s.Median.CPU != 31 {
		t.Errorf("%+v", s)
	}
}

func TestThousands(t *testing.T) {
	f := func(v float64, want string) {
		t.Helper()
		if got := thousands(v); got != want {
			t.Errorf("thousands(%v) is %q, want %q", v, got, want)
		}
	}
	f(0, "0")
	f(999.6, "1,000")
	f(999, "999")
	f(12345678, "12,345,678")
	f(-123456, "-123,456")
}
