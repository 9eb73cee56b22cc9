package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// role is what a member of the fleet is.
type role string

const (
	nodeRole  role = "node"
	proxyRole role = "proxy"
)

// member is a node or a proxy, running or not. It keeps its addresses from one run
// to the next.
type member struct {
	name string
	role role

	acting sync.Mutex // held while it is being started or ended

	mu       sync.Mutex
	run      *child // guarded by mu: nil before the first start
	at       places // guarded by mu
	doing    string // guarded by mu: starting, stopping, or nothing
	drained  bool   // guarded by mu: proxies were told to give it no new sessions, whatever run of it
	expected bool   // guarded by mu: its end was asked for
}

// places are where a member listens.
type places struct{ clients, admin, gossip string }

var (
	errIsUp  = errors.New("it runs already")
	errNotUp = errors.New("it does not run")
)

const startTime = 20 * time.Second

func (m *member) where() places {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

func (m *member) alive() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.run != nil && m.run.alive()
}

func (m *member) isDrained() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.drained
}

func (m *member) pid() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.run.cmd.Process.Pid
}

func (m *member) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// arguments are those of its program.
func (m *member) arguments(join string) []string {
	at := m.where()
	or := func(addr string) string {
		if addr == "" {
			return "127.0.0.1:0"
		}
		return addr
	}
	args := []string{"--listen", or(at.clients), "--admin", or(at.admin), "--bind", or(at.gossip)}
	if join != "" {
		args = append(args, "--join", join)
	}
	if m.role == nodeRole {
		return append([]string{"demo-node", "--name", m.name}, args...)
	}
	return append([]string{"run", "--cluster", cluster, "--trust", "127.0.0.1", "--log-format", "json",
		"--drain-delay", "0s", "--drain-timeout", "1s"}, args...)
}

// start starts it and returns when it listens.
func (m *member) start(ctx context.Context, program, redis, join string) error {
	m.acting.Lock()
	defer m.acting.Unlock()
	if m.alive() {
		return errIsUp
	}
	c, err := spawn(program, redis, m.arguments(join)...)
	if err != nil {
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	m.set(func() { m.run, m.doing, m.expected = c, "starting", false })
	defer m.set(func() { m.doing = "" })
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	var at places
	for at.clients == "" || at.admin == "" || at.gossip == "" {
		select {
		case line := <-c.said:
			at.hear(line)
		case <-c.ended:
			return fmt.Errorf("%s has ended instead of starting: %s", m.name, c.why())
		case <-ctx.Done():
			m.set(func() { m.expected = true })
			c.kill()
			return fmt.Errorf("%s does not start: %w", m.name, ctx.Err())
		}
	}
	m.set(func() { m.at = at })
	return nil
}

// hear takes an address from the log of a node or a proxy.
func (p *places) hear(line logLine) {
	switch {
	case line.Msg == "node is ready", line.Msg == "listening" && line.Name == "http":
		p.clients = line.Addr
	case line.Msg == "administration", line.Msg == "listening" && line.Name == "admin":
		p.admin = line.Addr
	case line.Msg == "gossip is open":
		p.gossip = line.Addr
	}
}

// end ends it, with SIGKILL or with SIGTERM.
func (m *member) end(kill bool) error {
	m.acting.Lock()
	defer m.acting.Unlock()
	if !m.alive() {
		return errNotUp
	}
	m.set(func() { m.doing, m.expected = "stopping", true })
	if kill {
		m.run.kill()
	} else {
		m.run.stop()
	}
	m.set(func() { m.doing = "" })
	return nil
}
