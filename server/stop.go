package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// ErrStuck is returned by Run when something did not end in time.
var ErrStuck = errors.New("node did not stop in time")

// parts are what a node is doing, by name, so that it can say what keeps it from
// ending.
type parts struct {
	group *errgroup.Group

	mu    sync.Mutex
	under []string // guarded by mu: names of what is under way
}

// newParts returns a context that ends with the first part that fails.
func newParts(ctx context.Context) (*parts, context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	return &parts{group: g}, ctx
}

// run has f run at the side.
func (p *parts) run(name string, f func() error) {
	p.group.Go(func() error { return p.do(name, f) })
}

// do runs f.
func (p *parts) do(name string, f func() error) error {
	p.mu.Lock()
	p.under = append(p.under, name)
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		i := slices.Index(p.under, name)
		p.under = slices.Delete(p.under, i, i+1)
	}()
	return f()
}

// giveUp ends a stop that takes too long.
func (s *Server) giveUp(p *parts) error {
	p.mu.Lock()
	names := slices.Clone(p.under)
	p.mu.Unlock()
	s.config.Log.Error("node did not stop in time and leaves what hangs", "given_up", names, "unwritten", s.store.Unwritten())
	return fmt.Errorf("%w: given up after %s: %s", ErrStuck, s.config.DrainTimeout+s.config.Overtime, strings.Join(names, ", "))
}
