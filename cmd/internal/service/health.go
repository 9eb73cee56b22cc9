package service

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// healthTime bounds a health check.
const healthTime = 3 * time.Second

// AskHealth asks the admin listener at an address, as the configuration has it, for a
// page; an error says that it does not answer 200.
func AskHealth(ctx context.Context, listen, page string) error {
	url := "http://" + nearAddr(listen) + page
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
