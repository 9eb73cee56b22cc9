package main

import (
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/dsproxy/dsproxy/proxy/bench/load"
	"github.com/google/go-cmp/cmp"
)

func TestOptions(t *testing.T) {
	o, err := parseOptions(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(peerNames, o.only); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(load.Workloads, o.workloads); d != "" {
		t.Error(d)
	}
	if o.rounds != 5 || o.sids != 10000 || o.ops[load.Idle] != 10000 || o.conns[load.Small] != 64 || o.conns[load.Echo] != 256 {
		t.Errorf("%+v", o)
	}
	o, err = parseOptions(strings.Fields("-only httputil,nginx -workloads idle,small -rounds 3 -ops 7 -conns small=9,echo=1 -settle 2s"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"nginx", "httputil"}, o.only); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"small", "idle"}, o.workloads); d != "" {
		t.Error(d)
	}
	if o.ops.String() != "small=7,sticky=7,echo=7,connect=7,idle=7" || o.conns.String() != "small=9,sticky=64,echo=1,connect=64,idle=128" || o.settle != 2*time.Second {
		t.Errorf("%+v", o)
	}
	if defaultOps[load.Small] == 7 {
		t.Error("a flag changed the defaults of the next parse")
	}
}

func TestOptionsRefused(t *testing.T) {
	f := func(args, want string) {
		t.Helper()
		if _, err := parseOptions(strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", args, err, want)
		}
	}
	f("-only apache", `"apache" is none of dsproxy, nginx, haproxy, httputil`)
	f("-workloads large", `"large" is none of`)
	f("-ops small=0", "not a number above zero")
	f("-ops small=x", "not a number above zero")
	f("-conns big=1", `no workload is called "big"`)
	f("-rounds 0", "-rounds")
	f("-sids 0", "-sids")
	f("-backends 65", "-backends")
	f("-rate -1", "-rate")
	f("-settle -1s", "-settle")
	f("-only nginx -cpuprofile x", "-cpuprofile")
	f("now", `unknown argument "now"`)
}

func TestHelp(t *testing.T) {
	var out strings.Builder
	if _, err := parseOptions([]string{"-h"}, &out); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(out.String(), "-workloads") {
		t.Errorf("help is %q", out.String())
	}
}

func TestSources(t *testing.T) {
	f := func(workload string, conns, ops int, want ...string) {
		t.Helper()
		if d := cmp.Diff(want, sources(workload, conns, ops)); d != "" {
			t.Errorf("%s, %d connections, %d operations: %s", workload, conns, ops, d)
		}
	}
	f(load.Small, 64, 1000000, "127.0.0.1")
	f(load.Echo, 10001, 5, "127.0.0.1", "127.0.0.2")
	f(load.Connect, 64, 15000, "127.0.0.1", "127.0.0.2")
	f(load.Idle, 128, 29000, "127.0.0.1", "127.0.0.2", "127.0.0.3")
	if list := sources(load.Idle, 1, 5000000); list[249] != "127.0.0.250" || list[250] != "127.0.0.1" {
		t.Errorf("the addresses go on with %s, %s", list[249], list[250])
	}
}

func TestSpecOfAWork(t *testing.T) {
	o, err := parseOptions(strings.Fields("-ops 1000 -conns 50 -rate 10"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	f := func(workload string, warmup int) {
		t.Helper()
		want := load.Spec{
			Workload: workload, Target: "127.0.0.1:1", Sources: []string{"127.0.0.1"}, Conns: 50, Ops: 1000,
			Warmup: warmup, SIDs: 10000, Payload: 64, Rate: 10,
		}
		if d := cmp.Diff(want, o.spec(workload, "127.0.0.1:1")); d != "" {
			t.Errorf("%s: %s", workload, d)
		}
	}
	f(load.Small, 100)
	f(load.Connect, 100)
	f(load.Idle, 200)
}

func TestFiles(t *testing.T) {
	for _, tunnels := range []int{1, 9700, 10000} {
		if got := tunnelsWithin(filesNeeded(tunnels)); got != tunnels {
			t.Errorf("%d tunnels need files for %d", tunnels, got)
		}
	}
	if got := tunnelsWithin(100); got != 1 {
		t.Errorf("%d tunnels within 100 files", got)
	}
}
