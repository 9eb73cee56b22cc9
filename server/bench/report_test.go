package main

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const msec = time.Millisecond

func TestPercentile(t *testing.T) {
	f := func(n int, q float64, want time.Duration) {
		t.Helper()
		list := make([]time.Duration, n)
		for i := range list {
			list[i] = time.Duration(n - i) // from n down to 1
		}
		if got := percentile(list, q); got != want {
			t.Errorf("percentile %g of 1 to %d is %d, want %d", q, n, got, want)
		}
	}
	f(0, 0.99, 0)
	f(1, 0.5, 1)
	f(1, 0.99, 1)
	f(2, 0.5, 1)
	f(3, 0.5, 2)
	f(100, 0.99, 99)
	f(101, 0.99, 100)
	f(1000, 0.5, 500)
	f(10, 0, 1)
	f(10, 1, 10)
}

func TestThousands(t *testing.T) {
	f := func(v float64, want string) {
		t.Helper()
		if got := thousands(v); got != want {
			t.Errorf("%g is written %s, want %s", v, got, want)
		}
	}
	f(0, "0")
	f(999.4, "999")
	f(999.5, "1,000")
	f(123456, "123,456")
	f(1234567.8, "1,234,568")
}

// rowOf is a row of a work with one figure a sample.
func rowOf(name string, ours, theirs []float64) *row {
	r := &row{samples: map[string][]sample{}}
	r.work = works[slices.IndexFunc(works, func(w work) bool { return w.name == name })]
	for _, v := range ours {
		r.samples[node] = append(r.samples[node], sample{cost: v, rate: 10 * v, p50: time.Duration(v) * msec, p99: 2 * time.Duration(v) * msec})
	}
	for _, v := range theirs {
		r.samples[original] = append(r.samples[original], sample{cost: v, rate: 10 * v, p50: time.Duration(v) * msec, p99: 2 * time.Duration(v) * msec})
	}
	return r
}

// TestMedian: each figure has its own.
func TestMedian(t *testing.T) {
	r := &row{samples: map[string][]sample{node: {
		{cost: 3, rate: 10, p50: 1 * msec, p99: 9 * msec},
		{cost: 1, rate: 30, p50: 2 * msec, p99: 8 * msec},
		{cost: 2, rate: 20, p50: 3 * msec, p99: 7 * msec},
	}}}
	want := sample{cost: 2, rate: 20, p50: 2 * msec, p99: 8 * msec}
	if got, ok := r.median(node); !ok || got != want {
		t.Errorf("median is %v, want %v", got, want)
	}
	if first := r.samples[node][0]; first.cost != 3 {
		t.Error("the samples are not in the order of the rounds any more")
	}
	if _, ok := r.median(original); ok {
		t.Error("there is a median of nothing")
	}
	if got, _ := rowOf(pairs, []float64{1, 2, 4, 9}, nil).median(node); got.cost != 3 {
		t.Errorf("median of an even number is %g, want 3", got.cost)
	}
}

// TestRatio is of the medians; the extremes are those within a round, in which the
// machine was the same for both.
func TestRatio(t *testing.T) {
	median, low, high, ok := rowOf(pairs, []float64{2, 8, 4}, []float64{10, 10, 40}).ratio()
	if !ok || median != 0.4 || low != 0.1 || high != 0.8 {
		t.Errorf("ratio is %g (%g … %g), %v; want 0.4 (0.1 … 0.8)", median, low, high, ok)
	}
	for _, r := range []*row{rowOf(pairs, []float64{1}, nil), rowOf(pairs, nil, []float64{1}), rowOf(pairs, []float64{1}, []float64{0})} {
		if q, _, _, ok := r.ratio(); ok {
			t.Errorf("there is a ratio without both: %g", q)
		}
	}
}

func TestMet(t *testing.T) {
	f := func(name string, ours, theirs float64, want string) {
		t.Helper()
		var other []float64
		if !math.IsNaN(theirs) {
			other = []float64{theirs}
		}
		if got := rowOf(name, []float64{ours}, other).met(); got != want {
			t.Errorf("%s, %g to %g: %s, want %s", name, ours, theirs, got, want)
		}
	}
	none := math.NaN()
	f(pairs, 4, 10, "yes")
	f(pairs, 4.1, 10, "no")
	f(pairs, 4, none, "–")
	f(fixed, 6, 10, "yes") // and its latencies are lower, too
	f(idle, 8192, none, "yes")
	f(idle, 8193, 100000, "no") // bytes, whatever the original takes
	f(clusterAlone, 0.001, 1, "yes")
	f(clusterAlone, 1, 1000, "no")
	late := rowOf(fixed, []float64{6}, []float64{10})
	late.samples[node][0].p99 = late.samples[original][0].p99
	if got := late.met(); got != "no" {
		t.Errorf("a p99 that is not lower: %s", got)
	}
}

// TestMarkdown is the table of works of each kind, in rounds that differ.
func TestMarkdown(t *testing.T) {
	memory := rowOf(idle, []float64{2048, 1024, 3072}, []float64{8192, 8192, 8192})
	memory.title += ", 10,000 of them"
	r := report{
		command: "go run ./server/bench", machine: "a machine", rounds: 3,
		rows: []row{
			*rowOf(fixed, []float64{5, 6, 7}, []float64{10, 10, 10}),
			*rowOf(pairs, []float64{5, 5, 5}, []float64{10, 10, 10}),
			*memory,
			*rowOf(clusterAlone, []float64{0, 0, 0}, []float64{1, 1, 1}),
			*rowOf(calls, []float64{1234, 1234, 1234}, nil),
		},
		notes: []string{"A note."},
	}
	var got strings.Builder
	if err := r.markdown(&got); err != nil {
		t.Fatal(err)
	}
	const want = "`go run ./server/bench`" + `

a machine; medians of 3 rounds.

| work                                               | figure          | node      | original   | ratio (extremes in a round) | goal         | reached |
| ---                                                | ---             | ---:      | ---:       | ---:                        | ---:         | ---     |
| event to 1,000 subscribers, 10,000 deliveries/s    | CPU µs/delivery | 6.00      | 10.00      | 0.600 (0.500 … 0.700)       | 0.650        | yes     |
|                                                    | deliveries/s    | 60        | 100        |                             |              |         |
|                                                    | p50, p99 ms     | 6.0, 12.0 | 10.0, 20.0 |                             | lower p99    |         |
| 500 pairs, one event under way in each             | CPU µs/event    | 5.00      | 10.00      | 0.500 (0.500 … 0.500)       | 0.400        | no      |
|                                                    | events/s        | 50        | 100        |                             |              |         |
| memory of an idle logged-in client, 10,000 of them | KB resident     | 2.0       | 8.0        | 0.250 (0.125 … 0.375)       | at most 8 KB | yes     |
| event that no other node wants                     | PUBLISH/event   | 0.0000    | 1.0000     |                             | 0            | yes     |
| rpc, 64 at a time                                  | CPU µs/call     | 1234.00   | –          | –                           | 0.400        | –       |
|                                                    | calls/s         | 12,340    | –          |                             |              |         |

- A note.
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
