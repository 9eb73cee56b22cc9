package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// state is the fleet as the page shows it, from what its parts say of themselves.
type state struct {
	Requests uint64      `json:"requests"` // that the balancer has passed to proxies
	Proxies  []proxyView `json:"proxies"`
	Nodes    []nodeView  `json:"nodes"`
	Redis    redisView   `json:"redis"`
}

// proxyView is a proxy by its /readyz and /sessions.
type proxyView struct {
	Name     string `json:"name"`
	State    string `json:"state"` // up, starting, stopping, not ready, down
	Why      string `json:"why,omitempty"`
	Addr     string `json:"addr"`
	Tunnels  int    `json:"tunnels"`
	Sessions int    `json:"sessions"`

	reasons  []string // of which Why is made
	backends []backendView
}

type backendView struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
	Tunnels int    `json:"tunnels"`
}

// nodeView is a node by its /metrics, and by /backends of the proxies.
type nodeView struct {
	Name        string            `json:"name"`
	State       string            `json:"state"` // up, draining, starting, stopping, down
	Addr        string            `json:"addr"`
	Connections int               `json:"connections"`
	Users       int               `json:"users"`
	Tunnels     int               `json:"tunnels"`
	Seen        map[string]string `json:"seen"` // state by proxy
}

type redisView struct {
	State string `json:"state"`
	Addr  string `json:"addr"`
	Own   bool   `json:"own"`
}

// watchPeriod is the time between two looks, and that of the balancer's health
// checks.
const watchPeriod = 250 * time.Millisecond

// adminClient asks nodes and proxies, which are restarted at their addresses: it
// keeps no connections.
var adminClient = &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// watch looks at the fleet until ctx is done.
func (f *fleet) watch(ctx context.Context) {
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	for {
		f.look(ctx)
		f.keepDrained(ctx, f.state.Load())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look asks all members how they are and gives the balancers their targets.
func (f *fleet) look(ctx context.Context) {
	s := &state{Requests: f.through.next.Load(), Proxies: make([]proxyView, len(f.proxies)), Nodes: make([]nodeView, len(f.nodes))}
	var asked sync.WaitGroup
	for i, m := range f.proxies {
		asked.Go(func() { s.Proxies[i] = lookAtProxy(ctx, m) })
	}
	for i, m := range f.nodes {
		asked.Go(func() { s.Nodes[i] = lookAtNode(ctx, m) })
	}
	s.Redis = redisView{State: "down", Addr: f.redis.label(), Own: f.redis.own != nil}
	if f.redis.running(ctx) {
		s.Redis.State = "up"
	}
	asked.Wait()
	if ctx.Err() != nil {
		return
	}
	for i := range s.Nodes {
		s.Nodes[i].see(s.Proxies)
	}
	f.through.set(healthy(s.Proxies, func(p proxyView) (target, bool) { return target{p.Name, p.Addr}, p.State == "up" }))
	f.plain.set(healthy(s.Nodes, func(n nodeView) (target, bool) {
		return target{n.Name, n.Addr}, n.State == "up" || n.State == "draining"
	}))
	f.compare(f.state.Swap(s), s)
}

// whole reports whether every node is up, and every proxy with all of them.
func (s *state) whole() bool {
	for _, p := range s.Proxies {
		if p.State != "up" {
			return false
		}
	}
	for _, n := range s.Nodes {
		if n.State != "up" || len(n.Seen) != len(s.Proxies) {
			return false
		}
	}
	return len(s.Nodes) > 0 // or nobody has looked yet
}

func healthy[T any](views []T, of func(T) (target, bool)) []target {
	var targets []target
	for _, v := range views {
		if t, ok := of(v); ok {
			targets = append(targets, t)
		}
	}
	return targets
}

// see adds what the proxies know of a node.
func (n *nodeView) see(proxies []proxyView) {
	n.Seen = make(map[string]string)
	for _, p := range proxies {
		for _, b := range p.backends {
			if b.ID != n.Name {
				continue
			}
			n.Seen[p.Name] = b.State
			n.Tunnels += b.Tunnels
			if n.State == "up" && b.State == "draining" {
				n.State = "draining"
			}
		}
	}
}

// compare writes into the journal what changed by itself.
func (f *fleet) compare(was, is *state) {
	for i, n := range is.Nodes {
		if i >= len(was.Nodes) {
			return
		}
		for _, p := range is.Proxies {
			before, now := was.Nodes[i].Seen[p.Name], n.Seen[p.Name]
			if before != now && before != "" && now != "" {
				f.log(false, "%s sees %s %s", p.Name, n.Name, now)
			}
		}
	}
	for i, p := range is.Proxies {
		for _, reason := range p.reasons {
			if !slices.ContainsFunc(was.Proxies[i].reasons, func(before string) bool { return sameButNumbers(before, reason) }) {
				f.log(false, "%s: %s", p.Name, reason)
			}
		}
	}
	if was.Redis.State != "" && was.Redis.State != is.Redis.State && !is.Redis.Own {
		f.log(false, "the Redis of --redis is %s", is.Redis.State)
	}
	for _, m := range f.members() {
		m.mu.Lock()
		if m.run != nil && !m.run.alive() && !m.expected && m.doing == "" {
			m.expected = true
			f.log(false, "%s ended by itself: %s", m.name, m.run.why())
		}
		m.mu.Unlock()
	}
}

var numbers = regexp.MustCompile(`\d+`)

// sameButNumbers reports whether two reasons differ at most in what they count.
func sameButNumbers(a, b string) bool {
	return numbers.ReplaceAllLiteralString(a, "0") == numbers.ReplaceAllLiteralString(b, "0")
}

// stateOf is what is known of a member without asking it; "" if it is to be asked.
func (m *member) stateOf() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.doing != "":
		return m.doing
	case m.run == nil || !m.run.alive():
		return "down"
	}
	return ""
}

func lookAtProxy(ctx context.Context, m *member) proxyView {
	at := m.where()
	v := proxyView{Name: m.name, State: m.stateOf(), Addr: at.clients}
	if v.State != "" {
		return v
	}
	var ready struct {
		Ready             bool
		Reasons, Warnings []string
	}
	var sessions struct{ Known, Tunnels int }
	var backends struct{ Backends []backendView }
	if ask(ctx, at.admin, "/readyz", &ready) != nil || ask(ctx, at.admin, "/sessions?limit=1", &sessions) != nil ||
		ask(ctx, at.admin, "/backends", &backends) != nil {
		v.State = "down"
		return v
	}
	v.reasons = append(ready.Reasons, ready.Warnings...)
	v.State, v.Why = "up", strings.Join(v.reasons, "; ")
	if !ready.Ready {
		v.State = "not ready"
	}
	v.Sessions, v.Tunnels, v.backends = sessions.Known, sessions.Tunnels, backends.Backends
	return v
}

func lookAtNode(ctx context.Context, m *member) nodeView {
	at := m.where()
	v := nodeView{Name: m.name, State: m.stateOf(), Addr: at.clients}
	if v.State != "" {
		return v
	}
	v.State = "up"
	resp, err := get(ctx, at.admin, "/metrics")
	if err != nil {
		v.State = "down"
		return v
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.Atoi(value)
		switch {
		case err != nil:
		case name == "deepstream_users":
			v.Users = n
		case strings.HasPrefix(name, "deepstream_connections{"):
			v.Connections += n
		}
	}
	return v
}

func get(ctx context.Context, admin, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+path, nil)
	if err != nil {
		return nil, err
	}
	return adminClient.Do(req)
}

// ask reads an answer in JSON, whatever its status.
func ask(ctx context.Context, admin, path string, answer any) error {
	resp, err := get(ctx, admin, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(answer); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}
