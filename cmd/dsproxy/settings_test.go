package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	f(exitFailed, "line 2: field dail not found", nil, conf("timeouts:\n  dail: 1s\n")...)
	f(exitFailed, "timeouts.dial: 0s is not a time-out", nil, conf("timeouts: {dial: 0s}")...)
	f(exitFailed, "limits.head_lines: 0 is too small", nil, conf("limits: {head_lines: 0}")...)
	f(exitFailed, "line 4", nil, conf("affinity:\n  rules:\n    - name: mine\n      frobnicate: true\n")...)
	f(exitFailed, "no such file", nil, "check", "--config", "/nowhere/dsproxy.yaml")
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
	f("--tunnel-idle-timeout", "help")
	f("--tunnel-idle-timeout", "--help")
	f("configuration is valid", "check", "--backends", "a:1,b:2;w=3")
	f("redis://user:xxxxx@r:6379", "--print-config", "--redis", "redis://user:secret@r:6379")
	_, out, errs := program(nil, "--print-config", "--redis", "redis://user:secret@r:6379")
	if strings.Contains(out+errs, "secret") {
		t.Error("the password is shown")
	}
}
