package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
)

// DialError says that no connection to the backend could be made; no byte of a
// request was sent, so another backend may be tried whatever the method.
type DialError struct {
	Addr string
	Err  error
}

// Error reads like "dial backend 10.0.0.1:80: connection refused".
func (e *DialError) Error() string { return "dial backend " + e.Addr + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *DialError) Unwrap() error { return e.Err }

// Timeout reports whether the dial took longer than its limit.
func (e *DialError) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// dialer builds the function that makes one connection, TLS included.
func (cfg *PoolConfig) dialer() func(context.Context) (net.Conn, error) {
	timeout, addr := cfg.DialTimeout, cfg.Addr
	tcp := cfg.Dial
	if tcp == nil {
		// An IP literal skips the resolver in here. Dialer.DialTCP would save
		// the parsing but binds a local port first, of which a host has far
		// fewer than connections. What a plain socket and connect cost less is
		// under 10 us of the 50 that the kernel takes.
		// Keep-alive probes would be four more calls for a connection whose
		// every use has a time-out.
		d := net.Dialer{KeepAlive: -1, Control: limitSilence(cfg.MaxSilence)}
		tcp = func(ctx context.Context, addr string) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	secure := clientTLS(cfg.TLS, addr)
	return func(ctx context.Context) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		nc, err := tcp(ctx, addr)
		if err != nil || secure == nil {
			return nc, err
		}
		t := tls.Client(nc, secure)
		if err := t.HandshakeContext(ctx); err != nil {
			nc.Close()
			return nil, err
		}
		return t, nil
	}
}

// clientTLS completes cfg for a backend at addr: its host as the name to
// verify, HTTP/1.1 by ALPN, and resumption.
func clientTLS(cfg *tls.Config, addr string) *tls.Config {
	if cfg == nil {
		return nil
	}
	cfg = cfg.Clone()
	if cfg.ServerName == "" {
		if host, _, err := net.SplitHostPort(addr); err == nil {
			cfg.ServerName = host
		}
	}
	if cfg.NextProtos == nil {
		cfg.NextProtos = []string{"http/1.1"}
	}
	if cfg.ClientSessionCache == nil {
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	return cfg
}
