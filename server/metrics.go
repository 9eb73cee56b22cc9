package server

import (
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/store"
)

// metrics are read from what the layers count anyway, when somebody asks.
func (s *Server) metrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&sessionCollector{s.sessions}, s.stores.seconds, s.stores.errors)
	gauge := func(name, help string, f func() int) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help},
			func() float64 { return float64(f()) }))
	}
	counter := func(name, help string, c *atomic.Uint64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help},
			func() float64 { return float64(c.Load()) }))
	}
	r.MustRegister(limitCollector{s.sessions})
	s.clusterMetrics(r)
	gauge("clients", "Clients that are logged in.", s.sessions.LoggedIn)
	gauge("outbox_bytes", "Bytes that wait for clients.", s.sessions.Waiting)
	for name, g := range s.gauges {
		gauge(name, g.help, g.value)
	}
	st := s.sessions.Stats()
	counter("messages_received_total", "Messages of clients, those before the login too.", &st.Received)
	counter("sent_bytes_total", "Bytes of messages handed to connections.", &st.Sent)
	counter("logins_total", "Logins that were let in.", &st.Logins)
	counter("logins_refused_total", "Logins that were not let in.", &st.Refused)
	counter("slow_clients_total", "Clients closed because too much waited for them.", &st.Slow)
	counter("silent_clients_total", "Clients closed because they missed their heartbeats.", &st.Silent)
	counter("throttled_messages_total", "Messages that had to wait for the limit of their client's rate.", &st.Slowed)
	counter("locked_clients_total", "Clients closed after too many logins that failed.", &st.Locked)
	counter("overdue_clients_total", "Clients closed because they did not log in in time.", &st.Overdue)
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info",
		Help:        "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": Version(), "goversion": runtime.Version()}}, func() float64 { return 1 }))
	return r
}

const namespace = "deepstream"

// gauge is a number that a topic has.
type gauge struct {
	help  string
	value func() int
}

// sessionCollector shows the counts of the sessions that have labels.
type sessionCollector struct {
	sessions *session.Registry
}

var (
	connectionsDesc = prometheus.NewDesc(namespace+"_connections",
		"Connections of clients, logged in or not, by protocol.", []string{"protocol"}, nil)
	messagesDesc = prometheus.NewDesc(namespace+"_messages_total",
		"Messages of logged-in clients (in) and to clients (out), by topic and action.", []string{"direction", "topic", "action"}, nil)
	outcomesDesc = prometheus.NewDesc(namespace+"_rpc_outcomes_total",
		"How calls of clients of this node ended.", []string{"outcome"}, nil)
)

// limitCollector shows how often clients ran into limits.
type limitCollector struct {
	sessions *session.Registry
}

var limitsDesc = prometheus.NewDesc(namespace+"_limit_hits_total",
	"How often clients ran into a limit.", []string{"limit"}, nil)

// Describe implements prometheus.Collector.
func (c limitCollector) Describe(ch chan<- *prometheus.Desc) { ch <- limitsDesc }

// Collect implements prometheus.Collector.
func (c limitCollector) Collect(ch chan<- prometheus.Metric) {
	c.sessions.Hits(func(limit string, n uint64) {
		ch <- prometheus.MustNewConstMetric(limitsDesc, prometheus.CounterValue, float64(n), limit)
	})
}

// outcomes are the messages that end a call.
var outcomes = []message.Action{
	message.RPCResponse, message.RPCRequestError, message.RPCNoRPCProvider, message.RPCAcceptTimeout, message.RPCResponseTimeout,
}

// Describe implements prometheus.Collector.
func (c *sessionCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- connectionsDesc
	ch <- messagesDesc
	ch <- outcomesDesc
}

// Collect implements prometheus.Collector.
func (c *sessionCollector) Collect(ch chan<- prometheus.Metric) {
	c.sessions.Connections(func(protocol string, n int) {
		ch <- prometheus.MustNewConstMetric(connectionsDesc, prometheus.GaugeValue, float64(n), protocol)
	})
	st := c.sessions.Stats()
	for direction, actions := range map[string]*session.Actions{"in": &st.In, "out": &st.Out} {
		actions.Each(func(t message.Topic, name string, n uint64) {
			if name == "" {
				name = "unknown"
			}
			ch <- prometheus.MustNewConstMetric(messagesDesc, prometheus.CounterValue, float64(n),
				direction, strings.ToLower(t.String()), strings.ToLower(name))
		})
	}
	for _, a := range outcomes {
		ch <- prometheus.MustNewConstMetric(outcomesDesc, prometheus.CounterValue, float64(st.Out.Count(message.RPC, a)),
			strings.ToLower(message.ActionName(message.RPC, a)))
	}
}

// storeMetrics are about what records are kept in. A cache in memory is left out: it
// answers at once and cannot fail.
type storeMetrics struct {
	seconds *prometheus.HistogramVec
	errors  *prometheus.CounterVec
}

func newStoreMetrics() *storeMetrics {
	return &storeMetrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: "store_seconds",
			Help:    "How long the cache and the storage took to answer.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}}, []string{"tier", "op"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "store_errors_total",
			Help: "Calls that the cache or the storage answered with an error."}, []string{"tier", "op"}),
	}
}

func (m *storeMetrics) observer(tier string) store.Observer {
	return func(op string, took time.Duration, err error) {
		m.seconds.WithLabelValues(tier, op).Observe(took.Seconds())
		errors := m.errors.WithLabelValues(tier, op) // a rate has to see the first of them, too
		if err != nil {
			errors.Inc()
		}
	}
}

// observe has the stores of a node watched.
func (m *storeMetrics) observe(c store.Cache, s store.Storage) (store.Cache, store.Storage) {
	if _, memory := c.(*store.Memory); !memory {
		c = store.ObserveCache(c, m.observer("cache"))
	}
	if s != nil {
		s = store.ObserveStorage(s, m.observer("storage"))
	}
	return c, s
}
