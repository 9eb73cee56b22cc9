package proxy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dsproxy/dsproxy/backend/gossip"
)

// Gossip is the membership by which nodes are found. It is on when Join or Bind
// is given.
type Gossip struct {
	// Join names members, each a host[:port] or a DNS name for all its addresses.
	Join []string `yaml:"join,omitempty"`
	// Bind is the IP:port to listen on, by TCP and UDP; empty means gossip.DefaultBind.
	Bind string `yaml:"bind"`
	// Advertise is the host[:port] that members use for this one; empty means a private address of the machine.
	Advertise string `yaml:"advertise,omitempty"`
	// Cluster must be that of the nodes.
	Cluster string `yaml:"cluster"`
	// Key, or the contents of KeyFile, encrypts: base64 of 16, 24 or 32 bytes.
	Key     string `yaml:"key,omitempty"`
	KeyFile string `yaml:"key_file,omitempty"`
}

// on reports whether the proxy is to be a member.
func (g *Gossip) on() bool { return len(g.Join) > 0 || g.Bind != "" }

// member translates the settings; it reads the key file.
func (g *Gossip) member(log *slog.Logger) (gossip.Config, error) {
	c := gossip.Config{
		Name: "dsproxy", Role: gossip.Proxy, Cluster: g.Cluster, Bind: g.Bind, Advertise: g.Advertise, Join: g.Join, Key: g.Key,
		Log: log, Announcement: gossip.Announcement{Version: Version()},
	}
	switch {
	case g.KeyFile != "" && g.Key != "":
		return c, errors.New("gossip.key_file: gossip.key is given too; give one of them")
	case g.KeyFile != "":
		b, err := os.ReadFile(g.KeyFile)
		if err != nil {
			return c, fmt.Errorf("gossip.key_file: %w", err)
		}
		c.Key = strings.TrimSpace(string(b))
		if c.Key == "" {
			return c, fmt.Errorf("gossip.key_file: %s is empty", g.KeyFile)
		}
	}
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("gossip: %w", err)
	}
	return c, nil
}

// validate reports what cannot work.
func (g *Gossip) validate() error {
	if !g.on() && (g.Advertise != "" || g.Key != "" || g.KeyFile != "") {
		return errors.New("gossip: it is off; turn it on with --join, or with --bind for a first member")
	}
	_, err := g.member(nil)
	return err
}

// changed names the settings that differ and that only a restart changes; the join
// list may change, but for turning the membership on or off.
func (g *Gossip) changed(to *Gossip) error {
	var names []string
	for _, s := range []struct {
		name    string
		changed bool
	}{
		{"gossip.join", g.on() != to.on() && !slices.Equal(g.Join, to.Join)},
		{"gossip.bind", g.Bind != to.Bind}, {"gossip.advertise", g.Advertise != to.Advertise},
		{"gossip.cluster", g.Cluster != to.Cluster}, {"gossip.key", g.Key != to.Key}, {"gossip.key_file", g.KeyFile != to.KeyFile},
	} {
		if s.changed {
			names = append(names, s.name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%s: cannot be changed by a reload; restart the proxy", strings.Join(names, ", "))
}

// openGossip opens the membership if it is on; Run runs it.
func (p *Proxy) openGossip() error {
	if !p.cfg.Gossip.on() {
		return nil
	}
	c, err := p.cfg.Gossip.member(p.log)
	if err != nil {
		return err
	}
	c.Name = memberName()
	if p.fleet, err = gossip.New(c); err != nil {
		return err
	}
	p.nodes = p.fleet.Source()
	return nil
}

// memberName is another one with each start: a proxy has no state that would be
// found again by its name.
func memberName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	random := make([]byte, 4)
	rand.Read(random)
	return fmt.Sprintf("dsproxy-%.64s-%s", strings.ToValidUTF8(host, ""), hex.EncodeToString(random))
}

// announceStop tells the fleet that this proxy is about to go.
func (p *Proxy) announceStop() {
	if p.fleet == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // it is not waited for: clients do not learn from it
	if err := p.fleet.Announce(ctx, gossip.Announcement{Version: Version(), Draining: true}); err != nil {
		p.log.Warn("stop not announced", "err", err)
	}
}

// gossipCollector shows the members; nothing while there is no membership.
type gossipCollector struct{ fleet *gossip.Fleet }

var (
	gossipMembers = prometheus.NewDesc("dsproxy_gossip_members", "Members of the gossip, this proxy among them, by role and state.", []string{"role", "state"}, nil)
	gossipJoins   = prometheus.NewDesc("dsproxy_gossip_joins_total", "Calls to members to join them, by result.", []string{"result"}, nil)
	gossipRefused = prometheus.NewDesc("dsproxy_gossip_refused_total", "Connections to the gossip that were refused because too many were open.", nil, nil)
)

func (c gossipCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- gossipMembers
	ch <- gossipJoins
	ch <- gossipRefused
}

func (c gossipCollector) Collect(ch chan<- prometheus.Metric) {
	if c.fleet == nil {
		return
	}
	type kind struct {
		role  gossip.Role
		state gossip.State
	}
	count := map[kind]int{}
	for _, m := range c.fleet.Members() {
		count[kind{m.Role, m.State}]++
	}
	for _, role := range []gossip.Role{gossip.Node, gossip.Proxy} {
		for _, state := range []gossip.State{gossip.Alive, gossip.Left, gossip.Dead} {
			ch <- prometheus.MustNewConstMetric(gossipMembers, prometheus.GaugeValue,
				float64(count[kind{role, state}]), string(role), state.String())
		}
	}
	s := c.fleet.Stats()
	ch <- prometheus.MustNewConstMetric(gossipJoins, prometheus.CounterValue, float64(s.Joins), "joined")
	ch <- prometheus.MustNewConstMetric(gossipJoins, prometheus.CounterValue, float64(s.JoinsFailed), "failed")
	ch <- prometheus.MustNewConstMetric(gossipRefused, prometheus.CounterValue, float64(s.Refused))
}
