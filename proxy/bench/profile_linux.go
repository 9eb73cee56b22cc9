package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"

	"github.com/dsproxy/dsproxy/proxy/bench/load"
)

// profileSeconds is how long a CPU profile is taken.
const profileSeconds = 5

// profiles writes a CPU profile of dsproxy at each work, in runs of their own
// so that profiling costs nothing in the figures. Idle WebSockets use no CPU.
func (b *bench) profiles(ctx context.Context) error {
	i := slices.IndexFunc(b.peers, func(p peer) bool { return p.name == "dsproxy" })
	for _, workload := range b.options.workloads {
		if workload == load.Idle {
			continue
		}
		if err := b.profile(ctx, b.peers[i], workload); err != nil {
			return fmt.Errorf("profile of dsproxy at %s: %w", workload, err)
		}
	}
	return nil
}

// profile repeats the measured operations until the profile has come.
func (b *bench) profile(ctx context.Context, p peer, workload string) error {
	s, err := b.setStage(ctx, p, workload)
	if err != nil {
		return err
	}
	defer s.close()
	file := b.options.profile + "-" + workload + ".pprof"
	fetched := make(chan error, 1)
	go func() { fetched <- fetchProfile(ctx, s.admin, file) }()
	for {
		select {
		case err := <-fetched:
			if err == nil {
				fmt.Fprintf(b.stderr, "%s: profile of dsproxy in %s\n", workload, file)
			}
			return err
		default:
		}
		if _, err := s.load.generate("run"); err != nil {
			return errors.Join(s.proxy.explain(err), <-fetched)
		}
	}
}

func fetchProfile(ctx context.Context, admin, file string) (err error) {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", admin, profileSeconds)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("its admin listener answers %s to %s; the user and system times in the table still tell whether its own code or the kernel is busy", resp.Status, req.URL.Path)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, resp.Body)
	return err
}
