//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dsproxy/dsproxy/server"
	"github.com/dsproxy/dsproxy/server/auth"
	"github.com/dsproxy/dsproxy/server/store"
)

// startNode runs a node on a free port and returns its URL.
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
	return "http://" + s.Addr().String()
}

// play runs the script with clients of the generations, each at its URL (the last
// serves those that have none), and returns what it printed. The script knows by
// itself what has to be seen.
func play(t *testing.T, generations, options string, urls ...string) string {
	t.Helper()
	return playWith(t, generations, options, "", urls...)
}

// playWith plays the script for nodes with a storage if stored is "stored".
func playWith(t *testing.T, generations, options, stored string, urls ...string) string {
	t.Helper()
	if _, err := os.Stat("node_modules"); err != nil {
		t.Fatal("clients are not installed: run npm ci --prefix server/e2e")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "script.js", strings.Join(urls, ","), generations, options, stored)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("script with clients %s: %v\n%s%s", generations, err, out, errs.String())
	}
	return string(out)
}

// scripted is the configuration that the script needs.
func scripted(c *server.Config) {
	c.Record.HotPathPrefixes = []string{"hot/"}
	c.Store.ExclusionPrefixes = []string{"volatile/"}
	c.RPC.ResponseTimeout = 1500 * time.Millisecond
	c.RPC.ProvideRequestorName, c.RPC.ProvideRequestorData = true, true
	c.Auth = players{}
}

// players lets everyone in, as a player.
type players struct{ auth.Open }

func (p players) Authenticate(ctx context.Context, c *auth.Connection, data string) (*auth.Result, error) {
	r, err := p.Open.Authenticate(ctx, c, data)
	if r != nil {
		r.ClientData = json.RawMessage(`{"role":"player"}`)
	}
	return r, err
}

// TestGenerations plays one script with pairs of client generations: the outcome
// is the same, whoever talks to whom.
func TestGenerations(t *testing.T) {
	for _, generations := range []string{"7,7", "2,2", "1,1", "7,2", "2,7", "1,7", "7,1", "1,2", "2,1", "7,1,2", "json,7", "1,json"} {
		t.Run(generations, func(t *testing.T) {
			t.Parallel()
			out := play(t, generations, `{"silentDeprecation":true}`, startNode(t, scripted))
			if generations == "7,7" && strings.Contains(out, "not in client") {
				t.Errorf("something was not tried with the client that can do all:\n%s", out)
			}
		})
	}
}

// TestStorage plays the script with a storage behind the cache, where writes wait for
// both.
func TestStorage(t *testing.T) {
	for _, generations := range []string{"7,7", "2,1", "1,7"} {
		t.Run(generations, func(t *testing.T) {
			t.Parallel()
			disk, err := store.OpenBolt(filepath.Join(t.TempDir(), "records"))
			if err != nil {
				t.Fatal(err)
			}
			playWith(t, generations, `{"silentDeprecation":true}`, "stored", startNode(t, func(c *server.Config) {
				scripted(c)
				c.Storage = disk
			}))
		})
	}
}

// TestTransports plays the script with client 1 on each of its transports alone.
func TestTransports(t *testing.T) {
	for _, transport := range []string{"polling", "websocket"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			play(t, "1,1", `{"transports":["`+transport+`"]}`, startNode(t, scripted))
		})
	}
}
