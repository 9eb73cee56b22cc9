package proxy

import (
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A backend over TLS is verified against the CA that was named, and else refused.
func TestTLSBackend(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "secret") }))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	srv.StartTLS()
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	trusting := start(t, func(c *Config) { c.Upstream.CA = ca }, srv.URL)
	if status, body, _ := get(t, trusting.url("/")); status != 200 || body != "secret" {
		t.Errorf("answered %d %s", status, body)
	}
	strict := start(t, nil, srv.URL)
	if status, _, _ := get(t, strict.url("/")); status != 502 && status != 503 {
		t.Errorf("an unverified backend answered %d", status)
	}
}

// Rules of one's own come from the file, before the built-in ones or after
// them, and a reload takes changes over.
func TestOwnRules(t *testing.T) {
	parse := func(c *Config, file string) {
		t.Helper()
		if err := c.decode([]byte(file)); err != nil {
			t.Fatal(err)
		}
	}
	const room = `
affinity:
  rules:
    - name: room
      when: {path: /rooms/**}
      requests:
        - {name: any, key: {header: X-Room}, phase: claim}
  fallback:
    - name: by-address
      requests:
        - {name: any, key: {address: true}, phase: hashed}
`
	backends := []string{sessions(t, "a"), sessions(t, "b"), sessions(t, "c")}
	p := start(t, func(c *Config) { parse(c, room) }, backends...)
	ask := func(path, roomName string) string {
		req, _ := http.NewRequest("GET", p.url(path), nil)
		req.Header.Set("X-Room", roomName)
		resp, err := client(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	rooms := map[string]bool{}
	for i := range 20 {
		name := fmt.Sprint("room", i)
		first := ask("/rooms/x", name)
		rooms[first] = true
		for range 3 {
			if got := ask("/rooms/x", name); got != first {
				t.Fatalf("%s moved from %s to %s", name, first, got)
			}
		}
	}
	if len(rooms) != 3 {
		t.Errorf("20 rooms are on %v", rooms)
	}
	// What nothing else claims is bound to the address: all of ours to one backend.
	first := ask("/elsewhere", "")
	for range 10 {
		if got := ask("/elsewhere", ""); got != first {
			t.Fatalf("the fallback moved from %s to %s", first, got)
		}
	}
	// A request is counted when its answer has gone.
	eventually(t, "the fallback claims 11 requests", func() bool {
		return p.metric(t, "dsproxy_requests_total", "rule=by-address") == 11
	})
	cfg := p.state.Load().cfg
	cfg.Affinity.Fallback = RawYAML{}
	if err := p.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 40 {
		seen[ask("/elsewhere", "")] = true
	}
	if len(seen) < 2 {
		t.Errorf("after the fallback was removed requests go to %v", seen)
	}
	broken := cfg
	parse(&broken, strings.Replace(room, "phase: claim", "phase: sometimes", 1))
	if err := p.Reload(broken); err == nil || !strings.Contains(err.Error(), "line 7") {
		t.Errorf("a broken rule: %v", err)
	}
}
