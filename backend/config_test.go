package backend

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestConfigErrors(t *testing.T) {
	f := func(change func(*Config), want string) {
		t.Helper()
		c := Defaults()
		change(&c)
		err := c.Validate()
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if _, err2 := NewPool(c, Deps{}); (err2 == nil) != (err == nil) {
			t.Errorf("NewPool says %v", err2)
		}
	}
	f(func(*Config) {}, "")
	f(func(c *Config) { c.Path = "/health?x=1" }, "")
	f(func(c *Config) { c.Path = "health" }, `health.path: "health" is not a path; write it like /health`)
	f(func(c *Config) { c.Path = "/a b" }, `health.path: "/a b" is not a path; write it like /health`)
	f(func(c *Config) { c.Path = "/\r\nHost: x" }, `health.path: "/\r\nHost: x" is not a path; write it like /health`)
	f(func(c *Config) { c.Host = "a\r\nb" }, `health.host: "a\r\nb" is not a host; write it like node.example.com`)
	f(func(c *Config) { c.Status = "ok" }, `health.status: "ok" is not a status; write 200, 200-399 or a list of such, from 200 to 599`)
	f(func(c *Config) { c.Status = "200,399-300" }, `health.status: "399-300" is not a status; write 200, 200-399 or a list of such, from 200 to 599`)
	f(func(c *Config) { c.Status = "100" }, `health.status: "100" is not a status; write 200, 200-399 or a list of such, from 200 to 599`)
	f(func(c *Config) { c.Status = "" }, `health.status: "" is not a status; write 200, 200-399 or a list of such, from 200 to 599`)
	f(func(c *Config) { c.Status = "200, 204 ,300-399" }, "")
	f(func(c *Config) { c.Interval = 0 }, "health.interval: 0s is too short; use 10ms or more")
	f(func(c *Config) { c.Timeout = -time.Second }, "health.timeout: -1s is too short; use 1ms or more")
	f(func(c *Config) { c.Rise, c.Fall, c.Parallel = 0, 0, 0 }, "health.rise: 0 is too small; use 1 or more\nhealth.fall: 0 is too small; use 1 or more\nhealth.parallel: 0 is too small; use 1 or more")
	f(func(c *Config) { c.EjectAfter = -1 }, "health.eject_after: -1 is too small; use 0 or more")
	f(func(c *Config) { c.EjectFor = 0 }, "health.eject_for: 0s is too short; use 1ms or more")
	f(func(c *Config) { c.EjectMax = time.Second }, "health.eject_max: 1s is too short; use 10s or more")
	f(func(c *Config) { c.EjectPercent = 101 }, "health.eject_percent: 101 is too much; use 0 to 100")
	f(func(c *Config) { c.EjectPercent = -1 }, "health.eject_percent: -1 is too small; use 0 or more")
	f(func(c *Config) { c.SlowStart = -1 }, "health.slow_start: -1ns is too short; use 0s or more")
	f(func(c *Config) { c.MaxInFlight = -1 }, "limits.requests_per_backend: -1 is too small; use 0 or more")
	dir := t.TempDir()
	missing, empty := filepath.Join(dir, "none.pem"), filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	f(func(c *Config) { c.CAFile = missing }, "upstream.ca: open "+missing+": no such file or directory")
	f(func(c *Config) { c.CAFile = empty }, "upstream.ca: "+empty+" holds no certificate; it must be in PEM form")
}

func TestInsecureIsWarnedOf(t *testing.T) {
	var log strings.Builder
	c := Defaults()
	if _, err := NewPool(c, Deps{Log: textLog(&log)}); err != nil || log.Len() > 0 {
		t.Fatalf("%v, log %s", err, &log)
	}
	c.InsecureSkipVerify = true
	if _, err := NewPool(c, Deps{Log: textLog(&log)}); err != nil || !strings.Contains(log.String(), "level=WARN msg=\"certificates of backends are not verified") {
		t.Fatalf("%v, log %s", err, &log)
	}
}

func TestTLSConfig(t *testing.T) {
	p, err := NewPool(Defaults(), Deps{}, NewStatic([]Backend{
		{Addr: "10.0.0.1:80"}, {Addr: "10.0.0.1:443", TLS: true}, {Addr: "n.example.com:443", TLS: true, ServerName: "x.org"},
	}))
	if err != nil {
		t.Fatal(err)
	}
	f := func(id, name string) {
		t.Helper()
		m, ok := p.Set().Get(id)
		if !ok {
			t.Fatalf("no %s", id)
		}
		c := m.TLSConfig()
		if name == "" {
			if c != nil {
				t.Errorf("%s: TLS for a plain backend", id)
			}
			return
		}
		if c == nil || c.ServerName != name || c.InsecureSkipVerify || c.MinVersion < 0x303 || len(c.NextProtos) != 1 {
			t.Errorf("%s: %+v", id, c)
		}
	}
	f("10.0.0.1:80", "")
	f("10.0.0.1:443", "10.0.0.1")
	f("n.example.com:443", "x.org")
	one, _ := p.Set().Get("10.0.0.1:443")
	if err := p.Drain("10.0.0.1:80"); err != nil {
		t.Fatal(err)
	}
	if again, _ := p.Set().Get("10.0.0.1:443"); again.TLSConfig() != one.TLSConfig() {
		t.Error("another Set has another configuration: resumption of TLS sessions is lost")
	}
}
