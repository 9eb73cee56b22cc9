package proxy

import (
	"github.com/dsproxy/dsproxy/affinity"
	"github.com/dsproxy/dsproxy/backend"
	"github.com/prometheus/client_golang/prometheus"
)

// registerGauges registers what is read from its owner when it is asked for.
func (p *Proxy) registerGauges() {
	m := p.metrics
	m.gauge("connections_open", "Client connections that are open, tunnels included.", func() float64 { return float64(p.conns.open.Load()) })
	m.gauge("tunnels_open", "Tunnels that are open.", func() float64 { return float64(p.relay.Open()) })
	m.gauge("tunnel_bytes_held", "Bytes read from one side of a tunnel and not yet taken by the other.", func() float64 { return float64(p.relay.Totals().Held) })
	m.gauge("draining", "1 while the proxy stops.", func() float64 {
		if p.draining.Load() {
			return 1
		}
		return 0
	})
	const bytesHelp = "Bytes that went through tunnels, by direction."
	m.counterFunc("tunnel_bytes_total", bytesHelp, prometheus.Labels{"direction": "to_backend"}, func() float64 { return float64(p.relay.Totals().ToBackend) })
	m.counterFunc("tunnel_bytes_total", bytesHelp, prometheus.Labels{"direction": "to_client"}, func() float64 { return float64(p.relay.Totals().ToClient) })
	m.registry.MustRegister(pinCollector{p.pins}, backendCollector{p.pool}, gossipCollector{p.fleet})
}

// pinCollector shows the counters of the table's front.
type pinCollector struct{ pins *affinity.Pins }

type pinMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*affinity.Stats) float64
}

var pinMetrics = func() (list []pinMetric) {
	add := func(name, help string, kind prometheus.ValueType, value func(*affinity.Stats) float64) {
		list = append(list, pinMetric{prometheus.NewDesc("dsproxy_"+name, help, nil, nil), kind, value})
	}
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	open := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	add("pins", "Sessions this replica knows.", gauge, func(s *affinity.Stats) float64 { return float64(s.Entries) })
	add("pins_limit", "Bound of dsproxy_pins.", gauge, func(s *affinity.Stats) float64 { return float64(s.MaxEntries) })
	add("pins_bytes", "Memory taken by dsproxy_pins.", gauge, func(s *affinity.Stats) float64 { return float64(s.Bytes) })
	add("pins_held", "Sessions with an open tunnel, stream or poll.", gauge, func(s *affinity.Stats) float64 { return float64(s.Held) })
	add("pins_unpublished", "Pins that the table does not have yet.", gauge, func(s *affinity.Stats) float64 { return float64(s.Unpublished) })
	add("pins_evicted_total", "Pins thrown out of the full front.", counter, func(s *affinity.Stats) float64 { return float64(s.Evicted) })
	add("pins_evicted_unshared_total", "Of the evicted pins, those that only this replica had, or that were held.", counter, func(s *affinity.Stats) float64 { return float64(s.EvictedUnshared) })
	add("pins_unprotected_total", "Pins beyond the bound of those that eviction spares until they are published.", counter, func(s *affinity.Stats) float64 { return float64(s.Unprotected) })
	add("pins_republished_total", "Pins written to the table again or late.", counter, func(s *affinity.Stats) float64 { return float64(s.Republished) })
	add("pins_conflicts_total", "Pins given up because another replica had pinned the session elsewhere.", counter, func(s *affinity.Stats) float64 { return float64(s.Conflicts) })
	add("pins_renewals_delayed_total", "Renewals put off because the queue was full.", counter, func(s *affinity.Stats) float64 { return float64(s.QueueFull) })
	add("table_breaker_open", "1 while the affinity table is not asked because it fails.", gauge, func(s *affinity.Stats) float64 { return open(s.Open) })
	add("table_refusing_writes", "1 while the affinity table answers but takes no writes.", gauge, func(s *affinity.Stats) float64 { return open(s.Refusing) })
	add("table_breaker_opened_total", "Times the breaker of the affinity table opened.", counter, func(s *affinity.Stats) float64 { return float64(s.BreakerOpened) })
	add("table_losses_total", "Times the affinity table was found to have lost its contents.", counter, func(s *affinity.Stats) float64 { return float64(s.Losses) })
	return list
}()

func (c pinCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range pinMetrics {
		ch <- m.desc
	}
}

func (c pinCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.pins.Stats()
	for _, m := range pinMetrics {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&s))
	}
}

// backendCollector shows the backends that there are now.
type backendCollector struct{ pool *backend.Pool }

var (
	backendState     = prometheus.NewDesc("dsproxy_backend_state", "1 for the state a backend is in, 0 for the others.", []string{"backend", "state"}, nil)
	backendSessions  = prometheus.NewDesc("dsproxy_backend_sessions", "Tunnels and polling sessions of a backend that this replica knows.", []string{"backend"}, nil)
	backendInFlight  = prometheus.NewDesc("dsproxy_backend_requests_in_flight", "Requests at a backend.", []string{"backend"}, nil)
	backendWeight    = prometheus.NewDesc("dsproxy_backend_weight", "Weight of a backend.", []string{"backend"}, nil)
	backendEjections = prometheus.NewDesc("dsproxy_backend_ejections_total", "Times a backend was ejected.", []string{"backend"}, nil)
	backendOverflows = prometheus.NewDesc("dsproxy_backend_overflows_total", "Requests a backend did not get because it had limits.requests_per_backend.", []string{"backend"}, nil)
)

var backendStates = [...]backend.State{backend.Up, backend.Draining, backend.Down, backend.Ejected}

func (c backendCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{backendState, backendSessions, backendInFlight, backendWeight, backendEjections, backendOverflows} {
		ch <- d
	}
}

func (c backendCollector) Collect(ch chan<- prometheus.Metric) {
	for _, b := range c.pool.Snapshot() {
		emit := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, kind, v, append([]string{b.ID}, labels...)...)
		}
		for _, s := range backendStates {
			is := 0.0
			if s == b.State {
				is = 1
			}
			emit(backendState, prometheus.GaugeValue, is, s.String())
		}
		emit(backendSessions, prometheus.GaugeValue, float64(b.Sessions))
		emit(backendInFlight, prometheus.GaugeValue, float64(b.InFlight))
		emit(backendWeight, prometheus.GaugeValue, float64(b.Weight))
		emit(backendEjections, prometheus.CounterValue, float64(b.Ejections))
		emit(backendOverflows, prometheus.CounterValue, float64(b.Overflows))
	}
}
