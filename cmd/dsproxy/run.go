package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/dsproxy/dsproxy/cmd/internal/service"
	"github.com/dsproxy/dsproxy/proxy"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// run is the whole program: it parses, dispatches and returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	command := "run"
	switch {
	case len(args) == 1 && args[0] == "--version": // as other programs have it
		command = "version"
	case len(args) > 0 && len(args[0]) > 0 && args[0][0] != '-':
		command, args = args[0], args[1:]
	}
	switch command {
	case "run":
		return serve(ctx, args, getenv, stdout, stderr)
	case "demo":
		return runDemo(ctx, args, stdout, stderr)
	case "demo-node": // of the demo alone
		return runDemoNode(ctx, args, stderr)
	case "check":
		return check(args, getenv, stdout, stderr)
	case "healthcheck":
		return healthcheck(ctx, args, getenv, stdout, stderr)
	case "explain":
		return explain(ctx, args, getenv, stdout, stderr)
	case "version":
		fmt.Fprintln(stdout, "dsproxy", proxy.Version())
		return exitOK
	case "help":
		usage(stdout)
		return exitOK
	default:
		fmt.Fprintf(stderr, "dsproxy: unknown command %q; use run, demo, check, healthcheck, explain, version or help\n", command)
		return exitUsage
	}
}

// failLoad is fail for those commands that load the configuration, which --help asks
// about.
func failLoad(stdout, stderr io.Writer, err error) int {
	if errors.Is(err, flag.ErrHelp) {
		usage(stdout)
		return exitOK
	}
	return fail(stderr, err)
}

// fail reports an error the way every command does and picks the exit code.
func fail(stderr io.Writer, err error) int {
	fmt.Fprintln(stderr, "dsproxy:", err)
	var bad usageError
	if errors.As(err, &bad) {
		return exitUsage
	}
	return exitFailed
}

// serve runs the proxy until SIGTERM or SIGINT; SIGHUP reloads.
func serve(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	cfg, opts, err := load(args, getenv)
	if err != nil {
		return failLoad(stdout, stderr, err)
	}
	if opts.printConfig {
		return printConfig(cfg, stdout, stderr)
	}
	level := new(slog.LevelVar)
	log := newLogger(cfg.Log, level, stderr)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// From before anyone can see the proxy, for then it may be stopped.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer close(signals)
	defer signal.Stop(signals)
	p, err := proxy.New(cfg, log)
	if err != nil {
		return fail(stderr, err)
	}
	service.WarnOfFiles(log, cfg.Limits.Connections, 2) // its own connection and that to a backend
	manager := service.Notifier{Status: p.Status, Log: log}
	go func() {
		for sig := range signals {
			switch {
			case sig == syscall.SIGHUP:
				manager.Reload(func() { reload(p, args, getenv, log, level) })
			case ctx.Err() == nil:
				log.Info("stopping", "signal", sig.String())
				stop()
			default: // a second signal does not wait
				log.Info("stopping at once", "signal", sig.String())
				p.Cut()
			}
		}
	}()
	defer manager.Run(ctx.Done())()
	if err := p.Run(ctx); err != nil {
		return fail(stderr, err)
	}
	return exitOK
}

func reload(p *proxy.Proxy, args []string, getenv func(string) string, log *slog.Logger, level *slog.LevelVar) {
	cfg, _, err := load(args, getenv)
	if err == nil {
		err = p.Reload(cfg)
	}
	if err != nil {
		log.Error("configuration not reloaded, the old one stays in use", "err", err)
		return
	}
	setLevel(level, cfg.Log)
}

func newLogger(cfg proxy.Log, level *slog.LevelVar, w io.Writer) *slog.Logger {
	setLevel(level, cfg)
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

func setLevel(v *slog.LevelVar, cfg proxy.Log) {
	var l slog.Level
	if l.UnmarshalText([]byte(cfg.Level)) == nil {
		v.Set(l)
	}
}

func printConfig(cfg proxy.Config, stdout, stderr io.Writer) int {
	b, err := cfg.YAML()
	if err != nil {
		return fail(stderr, err)
	}
	stdout.Write(b)
	return exitOK
}

// check tells whether a configuration would be accepted.
func check(args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	cfg, opts, err := load(args, getenv)
	if err != nil {
		return failLoad(stdout, stderr, err)
	}
	if err := proxy.Check(cfg); err != nil {
		return fail(stderr, err)
	}
	if opts.printConfig {
		return printConfig(cfg, stdout, stderr)
	}
	fmt.Fprintln(stdout, "configuration is valid")
	return exitOK
}
