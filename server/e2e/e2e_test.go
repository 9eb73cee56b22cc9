//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dsproxy/dsproxy/server"
)

// startNode runs a node on a free port and returns where it listens.
func startNode(t *testing.T, change func(c *server.Config)) string {
	t.Helper()
	c := server.Defaults()
	c.Addr, c.AdminAddr = "127.0.0.1:0", ""
	c.Log = slog.New(slog.DiscardHandler)
	if change != nil {
		change(&c)
	}
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("node ended: %v", err)
		}
	})
	return s.Addr().String()
}

// play runs the script and returns its lines.
func play(t *testing.T, args ...string) string {
	t.Helper()
	if _, err := os.Stat("node_modules"); err != nil {
		t.Fatal("clients are not installed: run npm ci --prefix server/e2e")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{"script.js"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var lines []string
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "[") { // not the advertisement of client 2
			lines = append(lines, line)
		}
	}
	got := strings.Join(lines, "")
	if err != nil {
		t.Fatalf("script %s: %v\n%s%s", strings.Join(args, " "), err, got, errs.String())
	}
	return got
}

// want is what every pair of clients has to see; lines that a generation has no
// feature for are left out.
func want(t *testing.T, without ...string) string {
	t.Helper()
	golden, err := os.ReadFile("testdata/script.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
lines:
	for line := range strings.Lines(string(golden)) {
		for _, w := range without {
			if strings.HasPrefix(line, `["`+w+`"`) {
				continue lines
			}
		}
		b.WriteString(line)
	}
	return b.String()
}

// TestGenerations plays one script with every pair of client generations: the
// outcome is the same, whoever talks to whom.
func TestGenerations(t *testing.T) {
	pairs := []struct {
		a, b    string
		without []string
	}{
		{"7", "7", nil},
		{"2", "2", nil},
		{"1", "1", []string{"upserted", "present", "presence"}},
		{"7", "2", nil},
		{"2", "7", nil},
		{"1", "7", []string{"upserted", "present", "presence"}},
		{"7", "1", []string{"present", "presence"}},
		{"1", "2", []string{"upserted", "present", "presence"}},
	}
	for _, p := range pairs {
		t.Run(p.a+" and "+p.b, func(t *testing.T) {
			addr := startNode(t, nil)
			got := play(t, "http://"+addr, p.a, p.b)
			if diff := cmp.Diff(want(t, p.without...), got); diff != "" {
				t.Errorf("clients %s and %s saw something else (-want +got):\n%s", p.a, p.b, diff)
			}
		})
	}
}

// TestTransports plays the script with client 1 on each of its transports alone.
func TestTransports(t *testing.T) {
	for _, transports := range []string{`["polling"]`, `["websocket"]`} {
		t.Run(transports, func(t *testing.T) {
			addr := startNode(t, nil)
			got := play(t, "http://"+addr, "1", "1", `{"transports":`+transports+`}`)
			if diff := cmp.Diff(want(t, "upserted", "present", "presence"), got); diff != "" {
				t.Errorf("over %s (-want +got):\n%s", transports, diff)
			}
		})
	}
}
