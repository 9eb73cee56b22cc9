package main

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/dsproxy/dsproxy/cmd/internal/service"
)

// healthcheck asks the admin listener of the proxy that runs with the same
// configuration whether it is alive or, with --ready, ready for traffic. It is for
// images, which have no curl.
func healthcheck(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	path := "/healthz"
	if i := slices.Index(args, "--ready"); i >= 0 {
		path, args = "/readyz", slices.Concat(args[:i], args[i+1:])
	}
	cfg, _, err := load(args, getenv)
	if err != nil {
		return failLoad(stdout, stderr, err)
	}
	if cfg.Admin == "" {
		return fail(stderr, usageError{errors.New("the admin listener is off; healthcheck needs --admin")})
	}
	if err := service.AskHealth(ctx, cfg.Admin, path); err != nil {
		return fail(stderr, err)
	}
	return exitOK
}
