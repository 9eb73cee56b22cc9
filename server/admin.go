package server

import (
	"net"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// AdminAddr is where the operators connect, once Listen returned; nil where that
// is off.
func (s *Server) AdminAddr() net.Addr {
	if s.admin == nil {
		return nil
	}
	return s.admin.Addr()
}

// adminRoutes is the port of the operators.
func (s *Server) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !s.ready.Load() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics(), promhttp.HandlerOpts{}))
	return mux
}

// metrics are read from what the layers count anyway, when somebody asks.
func (s *Server) metrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	gauge := func(name, help string, f func() int) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "deepstream", Name: name, Help: help},
			func() float64 { return float64(f()) }))
	}
	counter := func(name, help string, c *atomic.Uint64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "deepstream", Name: name, Help: help},
			func() float64 { return float64(c.Load()) }))
	}
	gauge("connections", "Connections of clients, logged in or not.", s.sessions.Len)
	gauge("clients", "Clients that are logged in.", s.sessions.LoggedIn)
	for name, g := range s.gauges {
		gauge(name, g.help, g.value)
	}
	st := s.sessions.Stats()
	counter("messages_received_total", "Messages of clients.", &st.Received)
	counter("sent_bytes_total", "Bytes of messages handed to connections.", &st.Sent)
	counter("logins_total", "Logins that were let in.", &st.Logins)
	counter("logins_refused_total", "Logins that were not let in.", &st.Refused)
	counter("slow_clients_total", "Clients closed because too much waited for them.", &st.Slow)
	counter("silent_clients_total", "Clients closed because they missed their heartbeats.", &st.Silent)
	return r
}

// gauge is a number that a topic has.
type gauge struct {
	help  string
	value func() int
}
