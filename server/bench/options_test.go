package main

import (
	"errors"
	"flag"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseOptions(t *testing.T) {
	o, err := parseOptions(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.works, workNames(false)) || !slices.Equal(o.only, servers) || o.rounds != 3 {
		t.Errorf("by default %+v", o)
	}
	// The order is that of the table, whatever was asked for first.
	o, err = parseOptions(strings.Fields("-only original,node -works cluster-alone,pairs,saturated -rounds 1 -duration 2s"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{saturated, pairs, clusterAlone}; !slices.Equal(o.works, want) || !slices.Equal(o.only, servers) || o.duration != 2*time.Second {
		t.Errorf("chosen were %v of %v for %s, want %v", o.works, o.only, o.duration, want)
	}
	f := func(args, want string) {
		t.Helper()
		if _, err := parseOptions(strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", args, err, want)
		}
	}
	f("-works pears", `-works: "pears" is none of saturated, `)
	f("-only nginx", `-only: "nginx" is none of node, original`)
	f("-works=", `"" is none of`)
	f("more", `unknown argument "more"`)
	f("-rounds 0", "must be above zero")
	f("-duration 0s", "must be above zero")
	f("-settle -1s", "not below")
	var help strings.Builder
	if _, err := parseOptions([]string{"-h"}, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), clusterSaturated) {
		t.Errorf("help is %v: %s", err, help.String())
	}
}
