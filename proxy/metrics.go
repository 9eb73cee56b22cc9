package proxy

import (
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/dsproxy/dsproxy/affinity"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Names of limits, as the label "limit" of dsproxy_limit_hits_total shows them.
const (
	limitConnections = "connections"
	limitPerAddress  = "connections_per_address"
	limitHead        = "head"
	limitBodyBytes   = "body_bytes"
	limitHeaderTime  = "header_timeout"
	limitIdleTime    = "idle_timeout"
	limitBackend     = "requests_per_backend"
	limitDialTime    = "dial_timeout"
	limitAnswerTime  = "response_timeout"
	limitUpgradeTime = "upgrade_timeout"
	limitTunnelIdle  = "tunnel_idle_timeout"
	limitBody        = "inspected_body"
	limitSockets     = "sockets" // files, ports or memory of this machine
)

var limitNames = [...]string{
	limitConnections, limitPerAddress, limitHead, limitBodyBytes, limitHeaderTime, limitIdleTime, limitBackend,
	limitDialTime, limitAnswerTime, limitUpgradeTime, limitTunnelIdle, limitBody, limitSockets,
}

// metrics are the counters of one proxy, in a registry of their own so that
// several proxies can live in one process.
type metrics struct {
	registry *prometheus.Registry

	requests       *prometheus.CounterVec   // rule, code
	durations      *prometheus.HistogramVec // rule
	sessions       *prometheus.CounterVec   // rule, result
	transports     *prometheus.CounterVec   // rule, transport
	upgrades       *prometheus.CounterVec   // rule, result
	stuck          *prometheus.CounterVec   // rule
	retries        *prometheus.CounterVec   // reason
	errors         *prometheus.CounterVec   // cause
	limits         *prometheus.CounterVec   // limit
	connections    *prometheus.CounterVec   // listener
	tunnelEnds     *prometheus.CounterVec   // reason
	backendChanges *prometheus.CounterVec   // backend, state

	tableOps    *prometheus.HistogramVec // op
	tableErrors *prometheus.CounterVec   // op, class

	mu    sync.Mutex
	rules map[string]*ruleMetrics // guarded by mu; one for each rule name ever used
}

// ruleMetrics are the hot counters of one rule, resolved once so that a
// request pays an atomic add and not a label look-up.
type ruleMetrics struct {
	code     [6]prometheus.Counter // by hundreds; 0 is "no answer"
	duration prometheus.Observer
	learned, hit, miss, lost, unlearned, ended,
	upgraded, refused, stuck prometheus.Counter
	transport [5]prometheus.Counter // by affinity.Transport
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), rules: map[string]*ruleMetrics{}}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "dsproxy_" + name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "dsproxy_" + name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(v)
		return v
	}
	m.requests = counter("requests_total", "Requests answered, by affinity rule and class of status.", "rule", "code")
	m.durations = histogram("request_duration_seconds", "Time from the request head to the end of the answer; long polls last as long as the backend holds them.",
		[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 15, 30, 60, 120}, "rule")
	m.sessions = counter("sessions_total", "What became of session keys: learned (pinned from a handshake or claim), hit (found), miss (unknown), lost (its backend is gone), unlearned (a handshake without a readable key), ended (by the protocol).", "rule", "result")
	m.transports = counter("session_requests_total", "Requests of sessions by transport.", "rule", "transport")
	m.upgrades = counter("upgrades_total", "Upgrade requests by result: ok, or failed when the backend did not answer 101.", "rule", "result")
	m.stuck = counter("sessions_stuck_on_polling_total", "Upgrades of pinned polling sessions that failed; such clients stay on polling.", "rule")
	m.retries = counter("retries_total", "Requests sent to a second connection or backend, by reason.", "reason")
	m.errors = counter("errors_total", "Answers made by the proxy itself, by cause.", "cause")
	m.limits = counter("limit_hits_total", "Limits and time-outs that were hit.", "limit")
	for _, name := range limitNames {
		m.limits.WithLabelValues(name) // a rate has to see the first hit, too
	}
	m.connections = counter("connections_total", "Connections accepted, by listener.", "listener")
	m.tunnelEnds = counter("tunnels_closed_total", "Tunnels closed, by reason.", "reason")
	m.tableOps = histogram("table_operation_seconds", "Time of operations on the affinity table.",
		[]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1}, "op")
	m.tableErrors = counter("table_errors_total", "Operations on the affinity table that failed, by class: timeout, refused, unavailable.", "op", "class")
	for _, op := range [...]string{"get", "put", "delete", "check"} { // see affinity.Observer
		for _, class := range [...]string{"timeout", "refused", "unavailable"} {
			m.tableErrors.WithLabelValues(op, class)
		}
	}
	m.backendChanges = counter("backend_changes_total", "Changes of a backend's state, by the new state.", "backend", "state")
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "dsproxy_build_info", Help: "Always 1; the labels say what is running."}, []string{"version", "goversion"})
	build.WithLabelValues(Version(), runtime.Version()).Set(1)
	m.registry.MustRegister(build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// gauge registers a value that is read when it is asked for.
func (m *metrics) gauge(name, help string, f func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "dsproxy_" + name, Help: help}, f))
}

func (m *metrics) counterFunc(name, help string, labels prometheus.Labels, f func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "dsproxy_" + name, Help: help, ConstLabels: labels}, f))
}

// rule returns the counters of a rule; "none" is what no rule claims.
func (m *metrics) rule(name string) *ruleMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := m.rules[name]; ok {
		return r
	}
	r := &ruleMetrics{
		duration:  m.durations.WithLabelValues(name),
		learned:   m.sessions.WithLabelValues(name, "learned"),
		hit:       m.sessions.WithLabelValues(name, "hit"),
		miss:      m.sessions.WithLabelValues(name, "miss"),
		lost:      m.sessions.WithLabelValues(name, "lost"),
		unlearned: m.sessions.WithLabelValues(name, "unlearned"),
		ended:     m.sessions.WithLabelValues(name, "ended"),
		upgraded:  m.upgrades.WithLabelValues(name, "ok"),
		refused:   m.upgrades.WithLabelValues(name, "failed"),
		stuck:     m.stuck.WithLabelValues(name),
	}
	for t := range r.transport {
		r.transport[t] = m.transports.WithLabelValues(name, affinity.Transport(t).String())
	}
	for i, class := range []string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"} {
		r.code[i] = m.requests.WithLabelValues(name, class)
	}
	m.rules[name] = r
	return r
}

func (r *ruleMetrics) answered(status int, took time.Duration) {
	r.code[min(max(status/100, 0), 5)].Inc()
	r.duration.Observe(took.Seconds())
}

// version is set by the linker where the Go tool cannot tell it, as in images.
var version string

// Version is the module's version as the linker was told or the Go tool recorded
// it, or "devel".
func Version() string {
	if version != "" {
		return version
	}
	if bi, ok := debug.ReadBuildInfo(); ok && bi.Main.Version != "" && bi.Main.Version != "(devel)" {
		return bi.Main.Version
	}
	return "devel"
}

// MetricNames lists the proxy's own metrics, for the documents.
func MetricNames() []string {
	var names []string
	ch := make(chan *prometheus.Desc)
	go func() {
		p := &Proxy{metrics: newMetrics(), conns: newConnections()}
		p.registerGauges()
		p.metrics.registry.Describe(ch)
		close(ch)
	}()
	for d := range ch {
		// A Desc shows its name in its text only.
		if m := descName.FindStringSubmatch(d.String()); m != nil && !slices.Contains(names, m[1]) {
			names = append(names, m[1])
		}
	}
	slices.Sort(names)
	return names
}

var descName = regexp.MustCompile(`fqName: "(dsproxy_[a-z_]+)"`)
