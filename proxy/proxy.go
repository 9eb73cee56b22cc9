package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/dsproxy/dsproxy/affinity"
	"github.com/dsproxy/dsproxy/backend"
	"github.com/dsproxy/dsproxy/backend/gossip"
	"github.com/dsproxy/dsproxy/proxy/http1"
	"github.com/dsproxy/dsproxy/proxy/tunnel"
)

// Proxy is one replica of the edge. Make it with New, run it with Run.
type Proxy struct {
	// Set before Run.
	cfg       Config // of the start: what a reload cannot change
	log       *slog.Logger
	metrics   *metrics
	table     sharedTable
	pins      *affinity.Pins
	pool      *backend.Pool
	fleet     *gossip.Fleet  // nil without gossip
	nodes     *gossip.Source // the backends by it; nil without
	upstreams *upstreams
	relay     *tunnel.Relay
	conns     *connections
	workers   workers
	listeners []*listener
	admin     *admin
	h2        *h2Server

	state      atomic.Pointer[state]
	cookies    atomic.Pointer[cookieSet]
	draining   atomic.Bool
	stopping   chan struct{} // closed when the proxy begins to stop
	cut        chan struct{} // closed when it must not wait any more
	cutOnce    sync.Once
	refusalLog refusalLog

	serving   sync.WaitGroup // goroutines of HTTP/1 connections and accept loops
	tunneling sync.WaitGroup // open tunnels
}

// state is what a reload replaces as a whole. A request keeps the one it began with.
type state struct {
	cfg    Config
	trust  trustList
	rules  ruleSets                // nil: affinity is off
	stats  map[string]*ruleMetrics // by rule name
	none   *ruleMetrics
	cookie *affinity.Cookie // nil: off
	wire   http1.Limits
}

// New builds a proxy and opens its listeners, so that a port that is taken is
// known at once. Nothing is served before Run.
func New(cfg Config, log *slog.Logger) (*Proxy, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	p := &Proxy{
		cfg: cfg, log: log, metrics: newMetrics(), conns: newConnections(), workers: workers{next: make(chan newcomer)},
		stopping: make(chan struct{}), cut: make(chan struct{}),
	}
	if err := p.build(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *Proxy) build() (err error) {
	if p.table, err = newTable(p.cfg, p.log); err != nil {
		return err
	}
	p.pins = affinity.NewPins(p.table, affinity.PinsConfig{
		MaxEntries: p.cfg.Affinity.MaxLocalPins, Budget: p.cfg.RedisTimeout, Observer: tableObserver{p.metrics}, Log: p.log,
	})
	st, err := p.newState(p.cfg)
	if err != nil {
		return err
	}
	p.state.Store(st)
	p.upstreams = &upstreams{cfg: p.cfg}
	if err = p.openGossip(); err != nil {
		return err
	}
	if err = p.newPool(); err != nil {
		return err
	}
	if p.relay, err = tunnel.NewRelay(tunnel.Config{}); err != nil {
		return fmt.Errorf("tunnel relay: %w", err)
	}
	p.conns.files, p.conns.tunnels = clientFiles(), p.relay.Open
	p.h2 = newH2Server(p)
	p.registerGauges()
	if err = p.open(); err != nil {
		return err
	}
	p.admin, err = newAdmin(p)
	return err
}

// newState compiles what a reload may change.
func (p *Proxy) newState(cfg Config) (*state, error) {
	st := &state{
		cfg: cfg, trust: trustList(cfg.Trust), none: p.metrics.rule("none"), stats: map[string]*ruleMetrics{},
		wire: http1.DefaultLimits(),
	}
	st.wire.HeadBytes, st.wire.Lines, st.wire.HeadTimeout = cfg.Limits.HeadBytes, cfg.Limits.HeadLines, cfg.Timeouts.Header
	if !cfg.Affinity.Enabled {
		return st, nil
	}
	rules, err := compileRules(cfg.Affinity)
	if err != nil {
		return nil, err
	}
	st.rules = rules
	for _, set := range rules {
		for _, name := range set.Names() {
			st.stats[name] = p.metrics.rule(name)
		}
	}
	if st.cookie, err = p.newCookie(cfg.Affinity.Cookie); err != nil {
		return nil, err
	}
	return st, nil
}

// Run serves until ctx is done, then drains (see Drain) and returns.
func (p *Proxy) Run(ctx context.Context) error {
	defer p.close()
	// The machinery outlives ctx: what drains still needs it.
	live, stop := context.WithCancel(context.WithoutCancel(ctx))
	var machinery sync.WaitGroup
	failed := make(chan error, 4)
	start := func(name string, run func(context.Context) error) {
		machinery.Go(func() {
			if err := run(live); err != nil && live.Err() == nil {
				failed <- fmt.Errorf("%s: %w", name, err)
			}
		})
	}
	p.tunneling.Add(1) // until no request can become a tunnel any more
	start("backends", p.pool.Run)
	if p.fleet != nil {
		start("gossip", p.fleet.Run)
	}
	start("affinity table", p.pins.Run)
	start("client watch", func(ctx context.Context) error { p.watchClients(ctx); return nil })
	start("HTTP/2", func(context.Context) error { return p.h2.run() })
	start("admin", func(context.Context) error { return p.admin.run() })
	for _, l := range p.listeners {
		if l.cert != nil {
			start("certificate", func(ctx context.Context) error { l.cert.watch(ctx); return nil })
		}
		p.serving.Go(func() { p.accept(l) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		p.log.Error("stopping", "err", err)
	}
	p.announceStop()
	p.drain()
	p.h2.close()
	p.admin.close()
	stop()
	machinery.Wait()
	return err
}

// close gives back what New took and Run did not.
func (p *Proxy) close() {
	p.closeListeners()
	if p.admin != nil {
		p.admin.close()
	}
	if p.fleet != nil {
		p.fleet.Close()
	}
	if p.relay != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		p.relay.Close(ctx)
	}
	if p.upstreams != nil {
		p.upstreams.close()
	}
	closeTable(p.table)
}

// Reload takes over what may change while traffic flows: backends, rules,
// limits, time-outs, trust and logging. Nothing open is dropped. If anything
// is wrong with cfg, the proxy goes on as before.
func (p *Proxy) Reload(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	st, err := p.newState(cfg)
	if err != nil {
		return err
	}
	if err := p.cfg.Gossip.changed(&cfg.Gossip); err != nil {
		return err
	}
	sources, err := p.sources(cfg)
	if err != nil {
		return err
	}
	if fixed := p.fixedChanges(cfg); len(fixed) > 0 {
		p.log.Warn("changed settings need a restart", "settings", fixed)
	}
	if err := p.pool.Reload(poolConfig(cfg), sources...); err != nil {
		return err
	}
	if p.fleet != nil {
		if err := p.fleet.SetJoin(cfg.Gossip.Join); err != nil {
			return err
		}
	}
	p.state.Store(st)
	p.log.Info("configuration reloaded")
	return nil
}

// Cut ends a drain at once: what is still open is closed.
func (p *Proxy) Cut() { p.cutOnce.Do(func() { close(p.cut) }) }

var errNoBackends = errors.New("backends: none given; name them with --backends host:port,host:port, or a member of the nodes' gossip with --join host:port")

// fixedChanges names the settings that differ from those the proxy started
// with and that only a restart changes.
func (p *Proxy) fixedChanges(cfg Config) (names []string) {
	changed := func(name string, is bool) {
		if is {
			names = append(names, name)
		}
	}
	changed("listen", !reflect.DeepEqual(cfg.Listen, p.cfg.Listen))
	changed("admin", cfg.Admin != p.cfg.Admin)
	changed("redis", cfg.Redis != p.cfg.Redis || cfg.RedisPrefix != p.cfg.RedisPrefix || cfg.RedisCA != p.cfg.RedisCA || cfg.RedisTimeout != p.cfg.RedisTimeout)
	changed("upstream", cfg.Upstream != p.cfg.Upstream)
	changed("timeouts.dial", cfg.Timeouts.Dial != p.cfg.Timeouts.Dial)
	changed("affinity.max_pins", cfg.Affinity.MaxPins != p.cfg.Affinity.MaxPins || cfg.Affinity.MaxLocalPins != p.cfg.Affinity.MaxLocalPins)
	changed("limits.streams_per_connection", cfg.Limits.StreamsPerConnection != p.cfg.Limits.StreamsPerConnection)
	changed("limits.head_bytes for HTTP/2", cfg.Limits.HeadBytes != p.cfg.Limits.HeadBytes)
	changed("timeouts.header for HTTP/2", cfg.Timeouts.Header != p.cfg.Timeouts.Header)
	changed("timeouts.idle for HTTP/2", cfg.Timeouts.Idle != p.cfg.Timeouts.Idle)
	changed("log.format", cfg.Log.Format != p.cfg.Log.Format)
	return names
}
