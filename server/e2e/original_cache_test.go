//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dsproxy/dsproxy/server"
	"github.com/dsproxy/dsproxy/server/config"
)

// TestRecordsOfTheOriginal has a node of a cluster share records in Redis with the cache
// of the original, whose own connector reads and writes them: a node with the layout of
// the original, and an original with the key prefix of the cluster. Without either, they
// see nothing of each other.
func TestRecordsOfTheOriginal(t *testing.T) {
	const shared = `{"theirs":{"by":"deepstream.io"},"ours":[1,{"by":"the node"}]}`
	const apart = `{"theirs":null,"ours":[-1,null]}`
	for name, c := range map[string]struct{ node, original, want string }{
		"the node has no prefix":              {node: `, prefix: ""`, want: shared},
		"the original has that of the node":   {original: "deepstream:cluster:deepstream:", want: shared},
		"both have one":                       {node: `, keyPrefix: "games:"`, original: "games:", want: shared},
		"the node has that of its cluster":    {want: apart},
		"the original has one of its own too": {original: "games:", want: apart},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, _ := startRedis(t, t.TempDir(), "")
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				t.Fatal(err)
			}
			url := startConfigured(t, "cache: { name: redis, options: { port: "+port+c.node+" } }\n"+
				"clusterNode: { name: redis, options: { port: "+port+" } }\n")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "node", "original_cache.js", url, port, c.original)
			var errs bytes.Buffer
			cmd.Stderr = &errs
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s%s", err, out, errs.String())
			}
			if got := strings.TrimSpace(string(out)); got != c.want {
				t.Errorf("read %s, want %s", got, c.want)
			}
		})
	}
}

// startConfigured runs a node with a configuration file and returns its URL.
func startConfigured(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := config.Load(path, config.Options{Getenv: os.Getenv})
	if err != nil {
		t.Fatal(err)
	}
	return startNode(t, func(c *server.Config) {
		addr, admin := c.Addr, c.AdminAddr
		if *c, err = s.Open(slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		c.Addr, c.AdminAddr = addr, admin
	})
}
