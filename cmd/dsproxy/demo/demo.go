package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Config is what the demo is told.
type Config struct {
	// Listen is the host:port of the page and of the balancer.
	Listen string
	// Redis is the address of a Redis to use, as dsproxy's --redis; empty for one
	// of the demo's own.
	Redis string
	// Program is the path of dsproxy, of which nodes and proxies are started.
	Program string
}

// Run starts the fleet, says on stdout where it is, and returns when ctx is done
// and all processes have ended.
func Run(ctx context.Context, c Config, stdout io.Writer) (err error) {
	ln, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen for the page: %w; --listen chooses another address", err)
	}
	defer ln.Close()
	store, err := openRedis(ctx, c.Redis)
	if err != nil {
		return err
	}
	defer store.close()
	f := newFleet(c.Program, store)
	defer f.stop()
	fmt.Fprintln(stdout, "dsproxy demo: starting two nodes and two proxies")
	if err := f.start(ctx); err != nil {
		if ctx.Err() != nil {
			fmt.Fprintln(stdout, "stopped")
			return nil
		}
		return err
	}
	live, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { store.run(live) })
	running.Go(func() { f.watch(live) })
	defer running.Wait()
	defer cancel()

	web := newWeb(live, f)
	srv := web.server()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	fmt.Fprint(stdout, f.describe(ln.Addr()))
	select {
	case <-ctx.Done():
	case err = <-served:
		err = fmt.Errorf("serve the page: %w", err)
	}
	cancel()
	f.stop()
	err = errors.Join(err, srv.Close())
	web.wait()
	fmt.Fprintln(stdout, "stopped")
	return err
}
