package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain makes this program do as dsproxy where the demo has started it for a
// node or a proxy.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "run" || os.Args[1] == "demo-node") {
		os.Exit(run(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// program runs a command and returns its exit code and output.
func program(env map[string]string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(context.Background(), args, func(k string) string { return env[k] }, &out, &errs)
	return code, out.String(), errs.String()
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dsproxy.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A flag wins over its variable, that over the file, and the file over the default.
func TestPrecedence(t *testing.T) {
	path := file(t, "timeouts: {dial: 3s, header: 4s}\nlisten: [{address: ':1'}]\nbackends: [a:1, b:2]\ntrust: [10.0.0.0/8]\n")
	env := map[string]string{"DSPROXY_CONFIG": path, "DSPROXY_DIAL_TIMEOUT": "5s", "DSPROXY_BACKENDS": "c:3", "DSPROXY_MAX_CONNS": "7"}
	cfg, _, err := load([]string{"--dial-timeout", "6s", "--listen", ":2", "--listen", ":3"}, func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Timeouts.Dial != 6*time.Second || cfg.Timeouts.Header != 4*time.Second || cfg.Timeouts.Idle != 75*time.Second {
		t.Errorf("time-outs %+v", cfg.Timeouts)
	}
	if len(cfg.Listen) != 2 || cfg.Listen[0].Address != ":2" || cfg.Listen[1].Address != ":3" {
		t.Errorf("listeners %+v", cfg.Listen)
	}
	if strings.Join(cfg.Backends, " ") != "c:3" || cfg.Limits.Connections != 7 || len(cfg.Trust) != 1 {
		t.Errorf("backends %v, connections %d, trust %v", cfg.Backends, cfg.Limits.Connections, cfg.Trust)
	}
}

// The flags of the gossip win over the section of the file.
func TestGossipSettings(t *testing.T) {
	path := file(t, "gossip: {join: [a, b], cluster: games, bind: '10.0.0.1:7000'}\n")
	env := map[string]string{"DSPROXY_CONFIG": path, "DSPROXY_ADVERTISE": "192.0.2.1"}
	cfg, _, err := load([]string{"--join", "c,d:1", "--join", "e"}, func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	g := cfg.Gossip
	if strings.Join(g.Join, " ") != "c d:1 e" || g.Cluster != "games" || g.Bind != "10.0.0.1:7000" || g.Advertise != "192.0.2.1" {
		t.Errorf("gossip %+v", g)
	}
}

// What is wrong is told by the name of the flag, variable or key, and what would be right.
func TestErrors(t *testing.T) {
	f := func(code int, want string, env map[string]string, args ...string) {
		t.Helper()
		got, _, errs := program(env, args...)
		if got != code || !strings.Contains(errs, want) {
			t.Errorf("%v: exit %d, want %d; stderr %q, want %q in it", args, got, code, errs, want)
		}
	}
	conf := func(content string) []string {
		return []string{"check", "--backends", "a:1", "--config", file(t, content)}
	}
	f(exitUsage, `unknown command "serve"; use run, demo`, nil, "serve")
	f(exitUsage, "-colour", nil, "--colour")
	f(exitUsage, `unexpected argument "x"`, nil, "run", "x")
	f(exitUsage, `DSPROXY_DIAL_TIMEOUT="soon"`, map[string]string{"DSPROXY_DIAL_TIMEOUT": "soon"}, "check")
	f(exitUsage, "--tls-listen :443 needs --tls-cert and --tls-key", nil, "check", "--tls-listen", ":443")
	f(exitUsage, `"10.0.0.0/99" is not a network`, nil, "check", "--trust", "10.0.0.0/99")
	f(exitFailed, "--backends host:port,host:port", nil, "check")
	f(exitFailed, "--backends", nil, "check", "--backends", "http://a/path")
	f(exitFailed, "--redis", nil, "check", "--backends", "a:1", "--redis", "http://x")
	f(exitFailed, `log.level: "loud" is unknown; use debug, info, warn or error`, nil, "check", "--backends", "a:1", "--log-level", "loud")
	f(exitFailed, "listen[0].proxy_protocol: only trusted networks", nil, "check", "--backends", "a:1", "--proxy-protocol")
	f(exitUsage, `--idle-timeout: "5": not a duration; write it like 10s`, nil, "check", "--idle-timeout", "5")
	f(exitUsage, `DSPROXY_MAX_CONNS="x": not a whole number`, map[string]string{"DSPROXY_MAX_CONNS": "x"}, "check")
	f(exitUsage, `--access-log: "maybe": neither true nor false`, nil, "check", "--access-log=maybe")
	f(exitFailed, `listen[0]: ":99999" is not an address`, nil, "check", "--backends", "a:1", "--listen", ":99999")
	f(exitFailed, `admin: "a:" is not an address`, nil, "check", "--backends", "a:1", "--admin", "a:")
	f(exitFailed, `"a b" is no name of a cookie`, nil, "check", "--backends", "a:1", "--cookie", "a b")
	f(exitFailed, "--backends", nil, "check", "--print-config", "--backends", "http://a/path")
	f(exitFailed, "secret_file: open /nowhere/secret", nil, conf("affinity: {cookie: {name: a, secret_file: /nowhere/secret}}")...)
	f(exitFailed, "line 2: 5 is not a duration; write it like 10s", nil, conf("timeouts:\n  dial: 5\n")...)
	f(exitFailed, `line 1: a:1 is not a list; write it like [a, b]`, nil, conf("backends: a:1")...)
	f(exitFailed, `trust: "x" is not a network`, nil, conf("trust: [x]")...)
	f(exitFailed, `line 2: unknown key "dail"`, nil, conf("timeouts:\n  dail: 1s\n")...)
	f(exitFailed, "timeouts.dial: 0s is not a time-out", nil, conf("timeouts: {dial: 0s}")...)
	f(exitFailed, "limits.head_lines: 0 is too small", nil, conf("limits: {head_lines: 0}")...)
	f(exitFailed, "line 4", nil, conf("affinity:\n  rules:\n    - name: mine\n      frobnicate: true\n")...)
	f(exitFailed, "no such file", nil, "check", "--config", "/nowhere/dsproxy.yaml")
	f(exitFailed, `--join: "a:b:c" is not an address`, nil, "check", "--join", "a:b:c")
	f(exitFailed, `--bind: "localhost" is not an address to listen on`, nil, "check", "--bind", "localhost")
	f(exitFailed, "--gossip-key: must be base64 of 16, 24 or 32 bytes", map[string]string{"DSPROXY_GOSSIP_KEY": "secret"}, "check", "--join", "a")
	f(exitFailed, `--cluster: "a b" is not a name`, nil, "check", "--join", "a", "--cluster", "a b")
	f(exitFailed, "gossip: it is off; turn it on with --join", nil, "check", "--backends", "a:1", "--advertise", "b")
	f(exitFailed, "gossip.key_file: open /nowhere/key", nil, conf("gossip: {join: [a], key_file: /nowhere/key}")...)
	f(exitFailed, "gossip.key_file: gossip.key is given too", nil, conf("gossip: {join: [a], key_file: /nowhere/key, key: x}")...)
	f(exitFailed, "TLS certificate", nil, "check", "--backends", "a:1", "--tls-listen", ":443", "--tls-cert", "/nowhere.pem", "--tls-key", "/nowhere.key")
}

func TestCommands(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		code, out, errs := program(nil, args...)
		if code != exitOK || !strings.Contains(out+errs, want) {
			t.Errorf("%v: exit %d, output %q, want %q in it", args, code, out+errs, want)
		}
	}
	f("dsproxy ", "version")
	f("dsproxy ", "--version")
	f("--tunnel-idle-timeout", "help")
	f("--tunnel-idle-timeout", "--help")
	f("Usage of explain", "explain", "--help")
	f("configuration is valid", "check", "--backends", "a:1,b:2;w=3")
	f("configuration is valid", "check", "--join", "node.example,10.0.0.1:7000", "--join", "[fd00::1]")
	f("configuration is valid", "check", "--bind", "0.0.0.0:7946")
	f("redis://user:xxxxx@r:6379", "--print-config", "--redis", "redis://user:secret@r:6379")
	_, out, errs := program(nil, "--print-config", "--redis", "redis://user:secret@r:6379")
	if strings.Contains(out+errs, "secret") {
		t.Error("the password is shown")
	}
	for _, addr := range []string{"redis://secret@r:1", "redis://:secret/secret@r:1", "secret@r", "redis://a:secret%@r:1,b:2", "redis+sentinel://r:1?master=m&sentinel_password=secret"} {
		if _, out, _ := program(nil, "--print-config", "--redis", addr); strings.Contains(out, "secret") || !strings.Contains(out, "xxxxx") {
			t.Errorf("of %s the password is shown: %s", addr, out)
		}
	}
	for _, args := range [][]string{{"help"}, {"--help"}, {"check", "-h"}, {"healthcheck", "--help"}} {
		if _, out, errs := program(nil, args...); !strings.Contains(out, "--tunnel-idle-timeout") || errs != "" {
			t.Errorf("%v prints %q to standard output, %q to the other", args, out, errs)
		}
	}
	const key = "MDEyMzQ1Njc4OWFiY2RlZg=="
	_, out, errs = program(nil, "--print-config", "--join", "a", "--gossip-key", key)
	if strings.Contains(out+errs, key) || !strings.Contains(out, "key: xxxxx") {
		t.Errorf("the key is shown, or not that there is one:\n%s", out)
	}
}

// A health check finds the proxy by the same flags as the proxy itself, and tells
// alive from ready.
func TestHealthcheck(t *testing.T) {
	p := http.NewServeMux()
	p.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	p.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no backend takes new sessions", http.StatusServiceUnavailable)
	})
	admin := httptest.NewServer(p)
	defer admin.Close()
	addr := admin.Listener.Addr().String()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	f := func(wantCode int, wantErr string, env map[string]string, args ...string) {
		t.Helper()
		code, _, stderr := program(env, append([]string{"healthcheck"}, args...)...)
		if code != wantCode || !strings.Contains(stderr, wantErr) || wantErr == "" && stderr != "" {
			t.Errorf("healthcheck %v: exit code %d, %q; want %d, %q", args, code, stderr, wantCode, wantErr)
		}
	}
	f(exitOK, "", nil, "--admin", addr)
	f(exitOK, "", map[string]string{"DSPROXY_ADMIN": ":" + port})
	f(exitOK, "", map[string]string{"DSPROXY_ADMIN": "0.0.0.0:" + port})
	f(exitOK, "", map[string]string{"DSPROXY_CONFIG": file(t, "admin: '[::]:"+port+"'\n")})
	f(exitFailed, "503 Service Unavailable: no backend takes new sessions", nil, "--ready", "--admin", addr)
	f(exitFailed, "503 Service Unavailable", nil, "--admin", addr, "--ready")
	f(exitUsage, "the admin listener is off", map[string]string{"DSPROXY_CONFIG": file(t, "admin: ''\n")})
	admin.Close()
	f(exitFailed, "connection refused", nil, "--admin", addr)
}
