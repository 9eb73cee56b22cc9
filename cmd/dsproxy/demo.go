package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dsproxy/dsproxy/proxy"
)

// demo runs everything a person needs to see what the proxy is for: two
// backends that keep sessions, the proxy in front of them, and beside it a
// plain round robin in the role of a balancer without affinity.
func demo(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	fs.SetOutput(stderr)
	listen := fs.String("listen", "127.0.0.1:8080", "`address` of the proxy and its page")
	admin := fs.String("admin", proxy.Defaults().Admin, "`address` of the admin listener")
	if err := fs.Parse(args); err != nil {
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	var listeners [3]net.Listener // of the backends A and B, and of the plain round robin
	for i := range listeners {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fail(stderr, fmt.Errorf("demo listener: %w", err))
		}
		listeners[i] = ln
	}
	plain := listeners[2].Addr().String()
	var backends []string
	for i, name := range []string{"A", "B"} {
		backends = append(backends, listeners[i].Addr().String())
		serveDemo(ctx, listeners[i], newDemoBackend(name, plain))
	}
	serveDemo(ctx, listeners[2], roundRobin(backends))

	cfg := proxy.Defaults()
	cfg.Listen = []proxy.Listener{{Address: *listen}}
	cfg.Admin = *admin
	cfg.Backends = backends
	cfg.Drain = proxy.Drain{Delay: 0, Timeout: time.Second}
	cfg.Log.Level = "warn"
	p, err := proxy.New(cfg, newLogger(cfg.Log, new(slog.LevelVar), stderr))
	if err != nil {
		return fail(stderr, fmt.Errorf("%w (dsproxy demo --listen and --admin choose other addresses)", err))
	}
	fmt.Fprintf(stdout, `dsproxy demo
  backend A            %s
  backend B            %s
  proxy and page       http://%s/
  plain round robin    http://%s/   (what a balancer without affinity does)
  admin                http://%s/metrics  /backends  /sessions

Open the page. Ctrl-C stops.
`, backends[0], backends[1], p.Addr(), plain, p.AdminAddr())
	if err := p.Run(ctx); err != nil {
		return fail(stderr, err)
	}
	fmt.Fprintln(stdout, "stopped")
	return exitOK
}

// serveDemo serves h until ctx is done.
func serveDemo(ctx context.Context, ln net.Listener, h http.Handler) {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { srv.Close() })
	go srv.Serve(ln)
}

// roundRobin sends each request to the next backend.
func roundRobin(backends []string) http.Handler {
	var next atomic.Uint64
	return &httputil.ReverseProxy{
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: backends[next.Add(1)%uint64(len(backends))]})
			r.Out.Host = r.In.Host
		},
	}
}
