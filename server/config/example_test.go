package config

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestExample: the example says what the defaults are.
func TestExample(t *testing.T) {
	got := outcome("example.yml", Options{Getenv: func(string) string { return "" }})
	if want := "AdminGiven = true\n"; got != want {
		t.Errorf("the example differs from the defaults:\n%s", got)
	}
}

// TestExampleAlternatives: what the example shows in comments is accepted too.
func TestExampleAlternatives(t *testing.T) {
	b, err := os.ReadFile("example.yml")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile(`(?m)^# (cache|storage|clusterNode):\n(#   .*\n)+`).FindAllString(string(b), -1)
	if len(blocks) != 3 {
		t.Fatalf("found %d sections in comments: %q", len(blocks), blocks)
	}
	for _, block := range blocks {
		yaml := regexp.MustCompile(`(?m)^# `).ReplaceAllString(block, "")
		path := filepath.Join(t.TempDir(), "config.yml")
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, Options{Getenv: func(string) string { return "" }}); err != nil {
			t.Errorf("%v in\n%s", err, yaml)
		}
	}
}
