//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// backend is one server process of a protocol.
type backend struct {
	*process
	name string
	addr string
}

// startBackends starts servers named a, b, c and so on: `node node/servers/x.js
// NAME args...`.
func startBackends(t testing.TB, server string, n int) []*backend {
	t.Helper()
	script, args, _ := strings.Cut(server, " ")
	backends := make([]*backend, n)
	ready := make([]chan int, n)
	for i := range backends {
		b := &backend{name: string(rune('a' + i))}
		ready[i] = make(chan int, 1)
		cmd := exec.Command("node", append([]string{filepath.Join("node", "servers", script+".js"), b.name}, strings.Fields(args)...)...)
		b.process = start(t, script+" "+b.name, cmd, func(line string) bool {
			var announced struct{ Port int }
			if json.Unmarshal([]byte(line), &announced) == nil && announced.Port != 0 {
				ready[i] <- announced.Port
			}
			return false
		})
		backends[i] = b
	}
	for i, b := range backends {
		port := waitReady(t, b.process, ready[i])
		b.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	return backends
}

// replica is one running dsproxy.
type replica struct {
	*process
	client *http.Client // for the admin listener
	http   string       // address of the public listener
	admin  string       // address of the admin listener
}

// get returns the body of a page of the admin listener.
func (r *replica) get(path string) (string, error) {
	page, err := get(r.client, "http://"+r.admin+path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", r.name, err)
	}
	return page, nil
}

func get(c *http.Client, url string) (string, error) {
	res, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: status %d: %s", url, res.StatusCode, body)
	}
	return string(body), nil
}

func (r *replica) ready() error {
	_, err := r.get("/readyz")
	return err
}

// warnings gives what a ready replica says is wrong.
func (r *replica) warnings() ([]string, error) {
	page, err := r.get("/readyz")
	if err != nil {
		return nil, err
	}
	var state struct{ Warnings []string }
	if err := json.Unmarshal([]byte(page), &state); err != nil {
		return nil, fmt.Errorf("/readyz of %s: %w", r.name, err)
	}
	return state.Warnings, nil
}

// counts gives what the replica has counted, without buckets and zeros.
func (r *replica) counts() []string {
	page, err := r.get("/metrics")
	if err != nil {
		return []string{err.Error()}
	}
	return slices.DeleteFunc(strings.Split(page, "\n"), func(line string) bool {
		return !strings.HasPrefix(line, "dsproxy_") || strings.Contains(line, "_bucket{") || strings.HasSuffix(line, " 0")
	})
}

// startReplica starts dsproxy and returns when it is ready.
func startReplica(t testing.TB, name string, flags ...string) *replica {
	t.Helper()
	return startReplicaAt(t, here, name, flags...)
}

func startReplicaAt(t testing.TB, at *place, name string, flags ...string) *replica {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	flags = append([]string{
		"--listen", at.ip + ":0", "--admin", "127.0.0.1:0", "--trust", at.trust, "--log-format", "json",
	}, flags...)
	r := &replica{client: at.client()}
	type listening struct{ Msg, Name, Addr string }
	ready := make(chan listening, 8)
	r.process = start(t, name, at.command(path, flags...), func(line string) bool {
		var entry listening
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "listening" {
			ready <- entry
		}
		return false
	})
	for r.http == "" || r.admin == "" {
		switch l := waitReady(t, r.process, ready); l.Name {
		case "http":
			r.http = l.Addr
		case "admin":
			r.admin = l.Addr
		}
	}
	await(t, startLimit, name+" is ready", r.ready)
	return r
}

// edge is some replicas of dsproxy with a splitter before them.
type edge struct {
	*splitter
	replicas []*replica
}

// startEdge starts two replicas that share a table in Redis, or two that have
// affinity off.
func startEdge(t testing.TB, backends []*backend, redis *redisServer, affinity bool, flags ...string) *edge {
	t.Helper()
	addrs := make([]string, len(backends))
	for i, b := range backends {
		addrs[i] = b.addr
	}
	flags = append([]string{
		"--backends", strings.Join(addrs, ","), "--redis", redis.addr, "--drain-delay", "0s", "--drain-timeout", "2s",
	}, flags...)
	name := "dsproxy"
	if !affinity {
		name = "dsproxy without affinity"
		flags = append(flags, "--config", writeConfig(t, "affinity: {enabled: false}\n"))
	}
	e := &edge{}
	var targets []string
	for i := range 2 {
		r := startReplica(t, fmt.Sprintf("%s %d", name, i+1), flags...)
		e.replicas = append(e.replicas, r)
		targets = append(targets, r.http)
	}
	e.splitter = startSplitter(t, targets...)
	t.Cleanup(func() { e.stop(t) })
	return e
}

func writeConfig(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dsproxy.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// stop asks the replicas that still run to end, and they must do so in peace.
func (e *edge) stop(t testing.TB) {
	t.Helper()
	if t.Failed() {
		for _, r := range e.replicas {
			t.Logf("metrics of %s:\n%s", r.name, strings.Join(r.counts(), "\n"))
		}
	}
	for _, r := range e.replicas {
		r.cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, r := range e.replicas {
		if err := r.waitEnd(stopLimit); err != nil {
			t.Errorf("%s after SIGTERM: %v", r.name, err)
		}
	}
}
