package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/dsproxy/dsproxy/cmd/dsproxy/demo"
)

// runDemo shows a whole fleet on this machine.
func runDemo(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c demo.Config
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&c.Listen, "listen", "127.0.0.1:8080", "`address` of the page and of the balancer")
	fs.StringVar(&c.Redis, "redis", "", "Redis to use in place of an embedded one: `host:port` or URL, as dsproxy's")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	if fs.NArg() > 0 {
		return fail(stderr, usageError{fmt.Errorf("unexpected argument %q; demo has the flags --listen and --redis", fs.Arg(0))})
	}
	var err error
	if c.Program, err = os.Executable(); err != nil {
		return fail(stderr, fmt.Errorf("path of this program: %w", err))
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := demo.Run(ctx, c, stdout); err != nil {
		return fail(stderr, err)
	}
	return exitOK
}

// runDemoNode is a node of the demo, as a process of its own.
func runDemoNode(ctx context.Context, args []string, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := demo.Node(ctx, args, stderr); err != nil {
		return fail(stderr, err)
	}
	return exitOK
}
