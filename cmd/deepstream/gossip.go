package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/dsproxy/dsproxy/backend/gossip"
	"github.com/dsproxy/dsproxy/server"
	"github.com/dsproxy/dsproxy/server/config"
)

// membership is the node's part in the gossip; nil where there is none.
type membership struct {
	fleet  *gossip.Fleet
	public string // as configured
	log    *slog.Logger

	stop context.CancelFunc
	done chan struct{}

	mu   sync.Mutex // guards tell
	tell gossip.Announcement
}

// memberConfig translates the settings of a node that gossips.
func memberConfig(s *config.Settings, log *slog.Logger) gossip.Config {
	c := &s.Cluster
	return gossip.Config{
		Name: s.Node.Name, Role: gossip.Node, Cluster: c.Name,
		Bind: c.Bind, Advertise: c.Advertise, Join: c.Join, Key: c.Key, Log: log,
		Announcement: gossip.Announcement{Zone: c.Zone, Weight: c.Weight, TLS: s.Node.TLS != nil, Version: server.Version()},
	}
}

var errGossipOff = errors.New("gossip is off; turn it on with --join, or with --bind for a first member")

// checkMember reports what of the settings cannot work.
func checkMember(s *config.Settings) error {
	c := &s.Cluster
	if !c.On() {
		if c.Advertise != "" || c.Key != "" || c.Address != "" {
			return errGossipOff
		}
		return nil
	}
	m := memberConfig(s, nil)
	m.Announcement.Addr = c.Address
	if err := m.Validate(); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	return nil
}

// join makes the node a member, without an address yet. The bus, if it cares, is
// told which nodes are there and which are gone. A nil network is that of the machine.
func join(s *config.Settings, network gossip.Network, bus any, log *slog.Logger) (*membership, error) {
	if !s.Cluster.On() {
		return nil, nil
	}
	c := memberConfig(s, log)
	c.Network = network
	fleet, err := gossip.New(c)
	if err != nil {
		return nil, err
	}
	if j, ok := bus.(judge); ok {
		fleet.Watch(func(m gossip.Member) {
			if m.Role == gossip.Node {
				j.Verdict(m.Name, m.State == gossip.Alive)
			}
		})
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &membership{
		fleet: fleet, public: s.Cluster.Address, log: log, stop: stop, done: make(chan struct{}), tell: c.Announcement,
	}
	go func() {
		defer close(m.done)
		if err := fleet.Run(ctx); err != nil {
			log.Error("gossip has ended", "err", err)
		}
	}()
	return m, nil
}

// judge is a bus that is helped by knowing which nodes are alive.
type judge interface {
	Verdict(node string, alive bool)
}

// open announces where clients are served.
func (m *membership) open(node *server.Server) {
	if m == nil {
		return
	}
	addr := m.public
	if addr == "" {
		addr = publicAddr(m.fleet.Addr(), node.Addr())
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // the node need not wait until it is known
	m.announce(ctx, func(a *gossip.Announcement) { a.Addr = addr })
	m.log.Info("announced to dsproxy", "addr", addr)
}

// publicAddr is where proxies reach a node: where it listens, or by the address of
// its gossip where it listens everywhere.
func publicAddr(member string, listen net.Addr) string {
	on, err := netip.ParseAddrPort(listen.String())
	if err != nil || !on.Addr().IsUnspecified() {
		return listen.String()
	}
	of, err := netip.ParseAddrPort(member)
	if err != nil {
		return listen.String()
	}
	return netip.AddrPortFrom(of.Addr(), on.Port()).String()
}

// spreadTime bounds how long a stop waits for proxies to be told of it.
const spreadTime = 500 * time.Millisecond

// drain has proxies send new sessions elsewhere, and returns when they were told.
func (m *membership) drain(within time.Duration) {
	if m == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(spreadTime, within))
	defer cancel()
	m.announce(ctx, func(a *gossip.Announcement) { a.Draining = true })
	m.log.Info("announced that the node drains")
}

func (m *membership) announce(ctx context.Context, change func(*gossip.Announcement)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.tell)
	if err := m.fleet.Announce(ctx, m.tell); err != nil {
		m.log.Warn("not announced", "err", err)
	}
}

// leave ends the membership with a word to the others.
func (m *membership) leave() {
	if m == nil {
		return
	}
	m.stop()
	<-m.done
}

// cut ends it without one.
func (m *membership) cut() {
	if m != nil {
		m.fleet.Close()
		m.leave()
	}
}
