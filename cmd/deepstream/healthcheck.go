package main

import (
	"context"
	"errors"
	"slices"

	"github.com/dsproxy/dsproxy/cmd/internal/service"
)

// healthcheck asks the admin listener of the node that runs with the same
// configuration whether it is alive or, with --ready, ready for clients. It is for
// images, which have no curl.
func (p *program) healthcheck(ctx context.Context, args []string) error {
	path := "/healthz"
	if i := slices.Index(args, "--ready"); i >= 0 {
		path, args = "/readyz", slices.Concat(args[:i], args[i+1:])
	}
	s, err := p.settings(args)
	if err != nil {
		return err
	}
	if s.Node.AdminAddr == "" {
		return usageError{errors.New("the admin listener is off; healthcheck needs --admin")}
	}
	return service.AskHealth(ctx, s.Node.AdminAddr, path)
}
