package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

var errUnknown = errors.New("no such part or act; parts are node-1, node-2, proxy-1, proxy-2 and redis")

// act does what a button of the page asks for.
func (f *fleet) act(ctx context.Context, part, what string) error {
	if part == "redis" {
		return f.actRedis(what)
	}
	for _, m := range f.members() {
		if m.name == part {
			return f.actMember(ctx, m, what)
		}
	}
	return errUnknown
}

func (f *fleet) actRedis(what string) error {
	if f.redis.own == nil {
		return errors.New("the Redis was given with --redis, the demo does not stop or start it")
	}
	switch what {
	case "stop":
		if err := f.redis.stop(); err != nil {
			return err
		}
		f.log(true, "Redis stopped: no table, no record cache, no bus")
	case "start":
		if err := f.redis.start(); err != nil {
			return err
		}
		f.log(true, "Redis started again, with what it held")
	default:
		return errUnknown
	}
	return nil
}

func (f *fleet) actMember(ctx context.Context, m *member, what string) error {
	node := m.role == nodeRole
	switch {
	case what == "kill":
		if !m.alive() {
			return errNotUp
		}
		f.log(true, "%s killed: SIGKILL to process %d", m.name, m.pid())
		return m.end(true)
	case what == "stop" && node:
		if !m.alive() {
			return errNotUp
		}
		f.log(true, "%s stops: it tells the proxies, then its clients", m.name)
		began := time.Now()
		err := m.end(false)
		f.log(false, "%s has stopped after %d ms", m.name, time.Since(began).Milliseconds())
		return err
	case what == "start":
		return f.restart(ctx, m)
	case what == "drain" && node, what == "undrain" && node:
		return f.drain(ctx, m, what)
	}
	return errUnknown
}

func (f *fleet) restart(ctx context.Context, m *member) error {
	began := time.Now()
	if err := f.startMember(ctx, m); err != nil {
		return err
	}
	f.log(true, "%s started in %d ms: process %d", m.name, time.Since(began).Milliseconds(), m.pid())
	if m.isDrained() {
		f.log(false, "%s is drained as before: undrain lets it have new sessions", m.name)
	}
	return nil
}

// drain tells the proxies, as an operator would, to give a node no new sessions, or
// to do so again.
func (f *fleet) drain(ctx context.Context, n *member, what string) error {
	f.drains.Lock()
	defer f.drains.Unlock()
	if !n.alive() {
		return errNotUp
	}
	told := 0
	for _, p := range f.proxies {
		if !p.alive() {
			continue
		}
		if err := tell(ctx, drainAddress(p, n, what)); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		told++
	}
	if told == 0 {
		return errors.New("no proxy runs that could be told")
	}
	n.set(func() { n.drained = what == "drain" })
	if what == "drain" {
		f.log(true, "%s drains: new sessions go elsewhere, those it has stay", n.name)
	} else {
		f.log(true, "%s takes new sessions again", n.name)
	}
	return nil
}

// keepDrained tells proxies that have been started since which nodes are drained.
func (f *fleet) keepDrained(ctx context.Context, s *state) {
	f.drains.Lock()
	defer f.drains.Unlock()
	for i, n := range f.nodes {
		if !n.isDrained() {
			continue
		}
		for _, p := range f.proxies {
			if s.Nodes[i].Seen[p.name] != "up" {
				continue
			}
			if err := tell(ctx, drainAddress(p, n, "drain")); err != nil && ctx.Err() == nil {
				f.log(false, "%s is not told that %s is drained: %v", p.name, n.name, err)
			}
		}
	}
}

// drainAddress is where a proxy is told to drain a node, or to undrain it.
func drainAddress(p, n *member, what string) string {
	return "http://" + p.where().admin + "/backends/" + url.PathEscape(n.name) + "/" + what
}

func tell(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
	if err != nil {
		return err
	}
	resp, err := adminClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("POST %s: %s", address, resp.Status)
	}
	return nil
}
