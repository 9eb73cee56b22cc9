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

// healthcheck asks the admin listener of the node that runs with the same
// configuration whether it is alive or, with --ready, ready for clients. It is for
// images, which have no curl.
func (p *program) healthcheck(ctx context.Context, args []string) error {
	path := "/healthz"
	if len(args) > 0 && args[0] == "--ready" {
		path, args = "/readyz", args[1:]
	}
	s, err := p.settings(args)
	if err != nil {
		return err
	}
	if s.Node.AdminAddr == "" {
		return usageError{errors.New("the admin listener is off; healthcheck needs --admin")}
	}
	return askHealth(ctx, "http://"+nearAddr(s.Node.AdminAddr)+path)
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
