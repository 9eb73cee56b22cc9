package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dsproxy/dsproxy/proxy/bench/load"
	"github.com/dsproxy/dsproxy/proxy/bench/report"
	"go.uber.org/goleak"
)

// TestMain lets the benchmark under test start this binary again as its load
// generator and backend.
func TestMain(m *testing.M) {
	if ok, err := runWorker(os.Args[1:], os.Stdin, os.Stdout); ok {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// A process built with -race would sleep a second before it ends.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	goleak.VerifyTestMain(m)
}

// The whole program with the one proxy that needs no package.
func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "figures.json")
	var stdout, stderr bytes.Buffer
	args := strings.Fields("-only httputil -rounds 2 -ops 50 -conns 4 -sids 20 -settle 0s -json " + file)
	if code := run(context.Background(), args, strings.NewReader(""), &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr.String())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Works) != len(load.Workloads) {
		t.Fatalf("%d works", len(r.Works))
	}
	for i, w := range r.Works {
		if w.Name != load.Workloads[i] || len(w.Series) != 1 || len(w.Series[0].Samples) != 2 {
			t.Fatalf("work %d: %+v", i, w)
		}
		for _, s := range w.Series[0].Samples {
			if s.Ops != 50 || s.Errors != 0 || s.Before.RSS <= 0 || s.After.PSS <= 0 || s.Processes != 1 || s.Threads < 1 || s.Elapsed <= 0 {
				t.Errorf("%s: %+v", w.Name, s)
			}
		}
		if m := w.Series[0].Samples[1].Misroutes; (m > 0) != (w.Name == load.Sticky) || m > 50 {
			t.Errorf("%s: %d misroutes", w.Name, m) // the peer hashes, so it misses about half
		}
		if !strings.Contains(stdout.String(), "| "+w.Title) {
			t.Errorf("no row for %q in\n%s", w.Title, stdout.String())
		}
	}
}

func TestRunRefusesArguments(t *testing.T) {
	var stderr bytes.Buffer
	if code := run(context.Background(), []string{"-rounds", "0"}, nil, io.Discard, &stderr); code != 2 || !strings.Contains(stderr.String(), "-rounds") {
		t.Errorf("exit code %d, %s", code, stderr.String())
	}
}

func TestRunIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("told to stop"))
	_, err := (&bench{family: newFamily(ctx, t.TempDir()), options: options{rounds: 1, backends: 1}, peers: []peer{{name: "x"}}, stderr: io.Discard}).work(ctx, load.Small)
	if err == nil || err.Error() != "told to stop" {
		t.Errorf("error %v", err)
	}
}

// What is started must be gone after the context ends, its children too.
func TestFamilyEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	f := newFamily(ctx, t.TempDir())
	w, addrs, err := f.startBackend(2)
	if err != nil {
		t.Fatal(err)
	}
	if len(addrs) != 2 {
		t.Errorf("addresses %v", addrs)
	}
	if c, err := w.counts(); err != nil || c.Requests != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	cancel()
	<-w.exited
	if _, err := w.counts(); err == nil || !strings.Contains(err.Error(), "backend has ended: signal: killed") {
		t.Errorf("asking a dead process: %v", err)
	}
	if _, _, err := f.startBackend(1); !errors.Is(err, context.Canceled) {
		t.Errorf("starting after the end: %v", err)
	}
}

func TestWorkerSaysWhatIsWrong(t *testing.T) {
	f := newFamily(context.Background(), t.TempDir())
	defer f.end()
	if _, _, err := f.startBackend(0); err == nil || !strings.Contains(err.Error(), "0 backends, want 1 to 64") {
		t.Errorf("error %v", err)
	}
	if _, err := f.startLoad(load.Spec{Workload: "x"}); err == nil || !strings.Contains(err.Error(), `unknown workload "x"`) {
		t.Errorf("error %v", err)
	}
}

func TestMissingPackages(t *testing.T) {
	err := missingError([]string{"nginx", "haproxy"}, peerNames)
	for _, want := range []string{"apt-get install -y nginx haproxy\n", "-only dsproxy,httputil"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %q", want, err)
		}
	}
	if err := missingError([]string{"nginx"}, []string{"nginx"}); strings.Contains(err.Error(), "-only") {
		t.Errorf("nothing is left, but %q", err)
	}
}

func TestVerdict(t *testing.T) {
	with := func(proxy string, s report.Sample) *report.Report {
		return &report.Report{Works: []report.Work{{Name: "sticky", Series: []report.Series{{Proxy: proxy, Label: proxy, Samples: []report.Sample{{Ops: 9}, s}}}}}}
	}
	f := func(r *report.Report, want string) {
		t.Helper()
		err := verdict(r)
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f(with("nginx", report.Sample{Ops: 10, Misroutes: 5}), "")
	f(with("dsproxy", report.Sample{Ops: 10}), "")
	f(with("dsproxy", report.Sample{Ops: 10, Misroutes: 1}), "sticky, dsproxy, round 2: 1 of 10 polls reached a backend that does not own the session")
	f(with("nginx", report.Sample{Ops: 10, Errors: 2, Error: "broken"}), "sticky, nginx, round 2: 2 operations failed, the first: broken")
}

func TestCPUModel(t *testing.T) {
	if got := cpuModel([]byte("processor\t: 0\nmodel\t\t: 2\nmodel name\t: AMD EPYC 9B14\n")); got != "AMD EPYC 9B14" {
		t.Errorf("got %q", got)
	}
	if got := cpuModel([]byte("processor\t: 0\nBogoMIPS\t: 50.00\n")); !strings.HasSuffix(got, " core") {
		t.Errorf("got %q", got)
	}
}

func TestVersionNumber(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := versionNumber.FindString(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	f("nginx version: nginx/1.22.1", "1.22.1")
	f("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", "2.6.12-1+deb12u4")
	f("dsproxy v0.1.0-rc1 (abc)", "0.1.0-rc1")
	f("devel", "")
}
