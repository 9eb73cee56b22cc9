package main

import (
	"bytes"
	"flag"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/dsproxy/dsproxy/proxy"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The README's table of flags and the flags are the same.
func TestREADMENamesEveryFlag(t *testing.T) {
	readme := read(t, "../../README.md")
	_, section, ok := strings.Cut(readme, "\n### Flags\n")
	section, _, ok2 := strings.Cut(section, "\n### ")
	if !ok || !ok2 {
		t.Fatal("no section Flags in README.md")
	}
	cfg := proxy.Defaults()
	flags := newFlags(&cfg, &options{})
	for _, m := range regexp.MustCompile("(?m)^\\| `--([a-z-]+)").FindAllStringSubmatch(section, -1) {
		if flags.Lookup(m[1]) == nil {
			t.Errorf("README.md has --%s, the program has not", m[1])
		}
	}
	flags.VisitAll(func(f *flag.Flag) {
		row := "\n| `--" + f.Name
		i := strings.Index(section, row)
		if i < 0 {
			t.Errorf("README.md does not have --%s", f.Name)
			return
		}
		line, _, _ := strings.Cut(section[i+1:], "\n")
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && !strings.Contains(line, f.DefValue) {
			t.Errorf("README.md: --%s does not have its default %s: %s", f.Name, f.DefValue, line)
		}
	})
}

// Every metric the README lists exists, and every metric is listed.
func TestREADMENamesEveryMetric(t *testing.T) {
	readme := read(t, "../../README.md")
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(dsproxy_[a-z_]+)`").FindAllStringSubmatch(readme, -1) {
		listed[m[1]] = true
	}
	for _, name := range proxy.MetricNames() {
		if !listed[name] {
			t.Errorf("README.md does not list %s", name)
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("README.md lists %s, which does not exist", name)
	}
}

// The example configuration holds every setting with its default, and is accepted.
func TestExampleConfiguration(t *testing.T) {
	const path = "../../deploy/dsproxy.example.yaml"
	cfg := proxy.Defaults()
	cfg.Listen, cfg.Backends = nil, nil // a list in the file replaces the default
	if err := cfg.LoadFile(path); err != nil {
		t.Fatal(err)
	}
	if err := proxy.Check(cfg); err != nil {
		t.Error(err)
	}
	want := proxy.Defaults()
	want.Backends = cfg.Backends
	wantYAML, err := want.YAML()
	if err != nil {
		t.Fatal(err)
	}
	gotYAML, err := cfg.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(wantYAML, gotYAML) {
		t.Errorf("the example gives\n%s\nthe defaults are\n%s", gotYAML, wantYAML)
	}
	// Each key of the defaults stands in the example, set or explained.
	example := read(t, path)
	for _, m := range regexp.MustCompile(`(?m)^ *-? *([a-z_]+):`).FindAllStringSubmatch(string(wantYAML), -1) {
		if !strings.Contains(example, m[1]+":") {
			t.Errorf("the example does not have %s", m[1])
		}
	}
}

// CONTRIBUTING.md has a reason for each module that go.mod requires itself.
func TestCONTRIBUTINGNamesEveryDependency(t *testing.T) {
	_, table, _ := strings.Cut(read(t, "../../CONTRIBUTING.md"), "\n## Dependencies\n")
	table, _, _ = strings.Cut(table, "\n## ")
	modules := regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(read(t, "../../go.mod"), -1)
	for _, m := range modules {
		name := path.Base(regexp.MustCompile(`/v\d+$`).ReplaceAllString(m[1], ""))
		if !strings.Contains(table, name) {
			t.Errorf("CONTRIBUTING.md does not say what %s is for", m[1])
		}
	}
	if len(modules) < 20 {
		t.Errorf("found %d modules only", len(modules))
	}
}
