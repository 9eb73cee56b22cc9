package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// healthTime bounds a health check.
const healthTime = 3 * time.Second

// healthcheck asks the admin listener of the proxy that runs with the same
// configuration whether it is alive or, with --ready, ready for traffic. It is for
// images, which have no curl.
func healthcheck(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) int {
	path := "/healthz"
	if len(args) > 0 && args[0] == "--ready" {
		path, args = "/readyz", args[1:]
	}
	cfg, _, err := load(args, getenv)
	if err != nil {
		return fail(stderr, err)
	}
	if cfg.Admin == "" {
		return fail(stderr, usageError{errors.New("the admin listener is off; healthcheck needs --admin")})
	}
	if err := askHealth(ctx, "http://"+nearAddr(cfg.Admin)+path); err != nil {
		return fail(stderr, err)
	}
	return exitOK
}

func askHealth(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // and no HTTP_PROXY
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 1024)) // what there is
		return fmt.Errorf("health: %s answers %s: %s", url, resp.Status, b)
	}
	return nil
}

// nearAddr is where this machine reaches a listener: one on all addresses is on
// loopback too.
func nearAddr(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip, err := netip.ParseAddr(host); host != "" && (err != nil || !ip.IsUnspecified()) {
		return listen
	}
	return net.JoinHostPort("127.0.0.1", port)
}
