package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/dsproxy/dsproxy/proxy/bench/load"
	"github.com/dsproxy/dsproxy/proxy/bench/procfs"
	"github.com/dsproxy/dsproxy/proxy/bench/report"
	"github.com/dsproxy/dsproxy/proxy/bench/traffic"
)

// stage is the three processes of one turn, ready for the measured operations.
type stage struct {
	family        *family
	backend, load *worker
	proxy         *child
	listen, admin string
	dir           string
}

// close stops them. The two ends go before the proxy and reset their
// connections.
func (s *stage) close() {
	for _, w := range []*worker{s.load, s.backend} {
		if w != nil {
			s.family.dismiss(w)
		}
	}
	if s.proxy != nil {
		s.family.stop(s.proxy)
	}
	// What is left goes with the directory of the whole run.
	_ = os.RemoveAll(s.dir)
}

// setStage starts backend, proxy and load generator for one turn.
func (b *bench) setStage(ctx context.Context, p peer, workload string) (s *stage, err error) {
	s = &stage{family: b.family}
	defer func() {
		if err != nil {
			s.close()
			s = nil
		}
	}()
	if s.dir, err = os.MkdirTemp(b.family.dir, p.name+"-"); err != nil {
		return s, err
	}
	var backends []string
	if s.backend, backends, err = b.family.startBackend(b.options.backends); err != nil {
		return s, err
	}
	conf := setup{backends: backends, sticky: workload == load.Sticky, tunnels: spareTunnels + b.options.conns[workload], dir: s.dir}
	if workload == load.Idle {
		conf.tunnels = b.options.ops[load.Idle]
	}
	if err := b.startProxy(ctx, s, p, conf); err != nil {
		return s, err
	}
	if s.load, err = b.family.startLoad(b.options.spec(workload, s.listen)); err != nil {
		return s, s.proxy.explain(err)
	}
	return s, nil
}

// spareTunnels are for connections that are closing while others open.
const spareTunnels = 512

// startTries is how often a proxy is started before its failure is believed: a
// port that was free may have been taken.
const startTries = 3

// startProxy starts p on a free port and waits until it forwards a request.
func (b *bench) startProxy(ctx context.Context, s *stage, p peer, conf setup) error {
	var err error
	for range startTries {
		ports, portErr := freePorts(2)
		if portErr != nil {
			return portErr
		}
		conf.listen, conf.admin = ports[0], ports[1]
		args, argsErr := p.args(conf)
		if argsErr != nil {
			return argsErr
		}
		cmd := exec.Command(p.binary, args...)
		cmd.Env = plainEnviron()
		proxy, startErr := b.family.start(p.name, cmd, p.orphaned)
		if startErr != nil {
			return startErr
		}
		if err = ready(ctx, proxy, conf.listen); err == nil {
			s.proxy = proxy
			s.listen, s.admin = conf.listen, conf.admin
			return nil
		}
		b.family.stop(proxy)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return err
}

// plainEnviron is the environment without settings meant for a dsproxy of the
// user's.
func plainEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "DSPROXY_") })
}

// freePorts finds n different free ports of 127.0.0.1.
func freePorts(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

const (
	readyWithin = 10 * time.Second
	readyEvery  = 20 * time.Millisecond
)

// ready waits until the proxy forwards a request.
func ready(ctx context.Context, proxy *child, listen string) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ticker := time.NewTicker(readyEvery)
	defer ticker.Stop()
	last := errors.New("no answer")
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listen+traffic.SmallPath, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("it answers %s", resp.Status)
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ticker.C:
		case <-proxy.exited:
			return proxy.explain(fmt.Errorf("start %s", proxy.name))
		case <-ctx.Done():
			return proxy.explain(fmt.Errorf("%s does not forward requests: %w", proxy.name, last))
		}
	}
}

// turn measures one proxy at one work once.
func (b *bench) turn(ctx context.Context, p peer, workload string) (report.Sample, error) {
	s, err := b.setStage(ctx, p, workload)
	if err != nil {
		return report.Sample{}, err
	}
	defer s.close()
	before, err := s.read()
	if err != nil {
		return report.Sample{}, err
	}
	result, err := s.load.generate("run")
	if err != nil {
		return report.Sample{}, s.proxy.explain(err)
	}
	if workload == load.Idle {
		select {
		case <-time.After(b.options.settle):
		case <-ctx.Done():
			return report.Sample{}, ctx.Err()
		}
	}
	after, err := s.read()
	if err != nil {
		return report.Sample{}, err
	}
	return report.Sample{
		Ops: result.Ops, Errors: result.Errors, Error: result.Error,
		Misroutes: after.misroutes - before.misroutes,
		User:      after.proxy.User - before.proxy.User, System: after.proxy.System - before.proxy.System,
		LoadCPU: after.load.CPU() - before.load.CPU(), BackendCPU: after.backend.CPU() - before.backend.CPU(),
		Elapsed: result.Elapsed, P50: result.P50, P99: result.P99,
		Before: report.Memory(before.proxy.Memory), After: report.Memory(after.proxy.Memory),
		Processes: after.proxy.Processes, Threads: after.proxy.Threads,
	}, nil
}

// reading is what all processes of a stage have used at one moment.
type reading struct {
	proxy, load, backend procfs.Usage
	misroutes            int64
}

func (s *stage) read() (r reading, err error) {
	proc := os.DirFS("/proc")
	for _, of := range []struct {
		child *child
		usage *procfs.Usage
	}{{s.proxy, &r.proxy}, {s.load.child, &r.load}, {s.backend.child, &r.backend}} {
		if *of.usage, err = procfs.ReadTree(proc, of.child.pid()); err != nil {
			return r, of.child.explain(err)
		}
	}
	seen, err := s.backend.counts()
	if err != nil {
		return r, err
	}
	if seen.Unknown > 0 || seen.Failed > 0 {
		return r, fmt.Errorf("the backend met %d unknown requests and %d broken connections", seen.Unknown, seen.Failed)
	}
	r.misroutes = seen.Misroutes
	return r, nil
}
