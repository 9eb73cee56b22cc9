package proxy

import (
	"fmt"
	"log/slog"

	"github.com/dsproxy/dsproxy/backend"
)

// poolConfig translates the configuration into the pool's.
func poolConfig(c Config) backend.Config {
	b := backend.Defaults()
	h := c.Health
	b.Path, b.Host = h.Path, h.Host
	b.Interval, b.Timeout, b.Rise, b.Fall = h.Interval, h.Timeout, h.Rise, h.Fall
	if h.Status != "" {
		b.Status = h.Status
	}
	b.EjectAfter, b.EjectFor, b.SlowStart = h.EjectAfter, h.EjectFor, h.SlowStart
	b.EjectMax, b.EjectPercent = h.EjectMax, h.EjectPercent
	b.MaxInFlight = c.Limits.RequestsPerBackend
	b.CAFile = c.Upstream.CA
	return b
}

// sourcesOf makes the sources that the configuration names, but for the gossip.
func sourcesOf(c Config, log *slog.Logger) ([]backend.Source, error) {
	list, err := backend.ParseList(c.Backends...)
	if err != nil {
		return nil, err
	}
	sources := list.Sources(backend.DNSConfig{Refresh: c.Health.DNSRefresh, Log: log})
	if len(sources) == 0 && !c.Gossip.on() {
		return nil, errNoBackends
	}
	return sources, nil
}

// sources are those that the configuration names and the gossip, which is always
// the same.
func (p *Proxy) sources(c Config) ([]backend.Source, error) {
	all, err := sourcesOf(c, p.log)
	if p.nodes != nil {
		all = append(all, p.nodes)
	}
	return all, err
}

func (p *Proxy) newPool() error {
	sources, err := p.sources(p.cfg)
	if err != nil {
		return err
	}
	p.pool, err = backend.NewPool(poolConfig(p.cfg), backend.Deps{
		Log:      p.log,
		Polling:  func(id string) int { return p.pins.Count(id) },
		OnChange: p.backendChanged,
	}, sources...)
	if err != nil {
		return fmt.Errorf("backends: %w", err)
	}
	return nil
}

// backendChanged drops what is kept for a backend that no source names any more.
func (p *Proxy) backendChanged(c backend.Change) {
	p.metrics.backendChanges.WithLabelValues(c.Backend.ID, c.To.String()).Inc()
	if c.To == backend.Gone {
		p.upstreams.drop(c.Backend.ID)
		p.pins.Drop(c.Backend.ID)
	}
}
