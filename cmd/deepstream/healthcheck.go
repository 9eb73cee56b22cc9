package main

import (
	"context"
	"errors"

	"github.com/dsproxy/dsproxy/cmd/internal/service"
)

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
	return service.AskHealth(ctx, s.Node.AdminAddr, path)
}
