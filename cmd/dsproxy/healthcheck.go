package main

import (
	"context"
	"errors"
	"io"

	"github.com/dsproxy/dsproxy/cmd/internal/service"
)

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
	if err := service.AskHealth(ctx, cfg.Admin, path); err != nil {
		return fail(stderr, err)
	}
	return exitOK
}
