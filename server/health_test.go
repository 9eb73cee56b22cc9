package server

import (
	"io"
	"net/http"
	"testing"
)

func TestHealthCheck(t *testing.T) {
	s := startNode(t, func(c *Config) { c.HealthPath = "/health" })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, c := range []struct {
		method, path string
		code         int
	}{
		{"GET", "/health", 200},
		{"GET", "/health?from=alb", 200},
		{"GET", "/health/", 200},
		{"HEAD", "/health", 200},
		{"POST", "/health", 405},
		{"GET", "/healthy", 404},
		{"GET", "/health-check", 404},
	} {
		req, err := http.NewRequest(c.method, "http://"+s.Addr().String()+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", "http://page.example")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.code {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, resp.StatusCode, c.code)
		}
		if c.code != 200 {
			continue
		}
		if len(body) > 0 {
			t.Errorf("%s %s: body %q", c.method, c.path, body)
		}
		for key, want := range map[string]string{
			"Content-Type": "application/json; charset=utf-8", "Access-Control-Allow-Origin": "*",
		} {
			if got := resp.Header.Get(key); got != want {
				t.Errorf("%s %s: %s is %q, want %q", c.method, c.path, key, got, want)
			}
		}
	}
}
