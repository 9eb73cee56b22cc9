package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	good := writeFile(t, "config.yml", "storage: { name: bbolt, options: { path: file(nowhere/records.db) } }\nredisUnused: 1\n")
	warned := writeFile(t, "config.yml", "storage: { name: bbolt, options: { path: file(nowhere/records.db) } }\nconnectionEndpoints:\n  - type: ws-binary\n  - type: mqtt\n")
	f := func(args string, wantCode int, wantOut, wantErr string) {
		t.Helper()
		out, errs, code := call("", nil, strings.Fields("check "+args)...)
		if code != wantCode || !strings.Contains(out, wantOut) || !strings.Contains(errs, wantErr) || wantErr == "" && errs != "" {
			t.Errorf("check %s: exit code %d, out %q, err %q; want %d, %q, %q", args, code, out, errs, wantCode, wantOut, wantErr)
		}
	}
	f("-c "+warned, exitOK, "configuration is valid: "+warned, "")
	f("-c "+warned, exitOK, "warning: "+warned+":4: ", "")
	f("-c "+good, exitFailed, "", `config.yml:2: unknown key "redisUnused"`)
	f("-c "+warned+" --port sixty", exitUsage, "", "--port must be a number")
	f("-c "+warned+" --advertise 10.0.0.1", exitFailed, "", "gossip is off")
	cached := writeFile(t, "config.yml", "cache: { name: redis }\n")
	f("-c "+cached+" --cluster deepstream", exitOK, "records lie in Redis behind deepstream:cluster:deepstream:; cache.options.prefix", "")
	if out, _, _ := call("", nil, "check", "-c", cached); strings.Contains(out, "records lie") {
		t.Errorf("check of a node on its own says %q", out)
	}
	f("-c /nowhere/config.yml", exitFailed, "", "configuration file not found")
	if made, _ := filepath.Glob(filepath.Join(filepath.Dir(warned), "nowhere")); made != nil {
		t.Errorf("a check made %v", made)
	}
}

func TestHealthcheck(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
	})
	admin := httptest.NewServer(mux)
	defer admin.Close()
	addr := admin.Listener.Addr().String()
	empty := writeFile(t, "config.yml", "")
	f := func(wantCode int, wantErr, address, args string) {
		t.Helper()
		env := map[string]string{"DEEPSTREAM_ADMIN": address}
		_, errs, code := call("", env, strings.Fields("healthcheck "+args+" -c "+empty)...)
		if code != wantCode || !strings.Contains(errs, wantErr) || wantErr == "" && errs != "" {
			t.Errorf("healthcheck %s of %s: exit code %d, err %q; want %d, %q", args, address, code, errs, wantCode, wantErr)
		}
	}
	f(exitOK, "", addr, "")
	f(exitOK, "", ":"+addr[strings.LastIndex(addr, ":")+1:], "")
	f(exitFailed, "503 Service Unavailable: not ready", addr, "--ready")
	f(exitFailed, "503 Service Unavailable: not ready", addr, "--port 0 --ready")
	f(exitUsage, "the admin listener is off", "off", "")
	admin.Close()
	f(exitFailed, "connection refused", addr, "")
}
