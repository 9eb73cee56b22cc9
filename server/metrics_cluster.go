package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dsproxy/dsproxy/server/bus"
)

// busStatus is a bus that can be away.
type busStatus interface {
	Connected() bool
	Stats() bus.Stats
}

// busAway tells that the way to the other nodes is broken.
func (s *Server) busAway() bool { return s.bus != nil && !s.bus.Connected() }

// busMetrics registers what the bus counts, if there is one.
func (s *Server) busMetrics(r *prometheus.Registry) {
	b := s.bus
	if b == nil {
		return
	}
	gauge := func(name, help string, f func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Subsystem: "bus", Name: name, Help: help}, f))
	}
	counter := func(name, help string, of func(st *bus.Stats) uint64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: namespace, Subsystem: "bus", Name: name, Help: help},
			func() float64 {
				st := b.Stats()
				return float64(of(&st))
			}))
	}
	gauge("connected", "1 while the way to the other nodes works.", func() float64 {
		if b.Connected() {
			return 1
		}
		return 0
	})
	gauge("peers", "Other nodes that are heard.", func() float64 { return float64(b.Stats().Peers) })
	gauge("queued_bytes", "Bytes that wait to be sent to other nodes.", func() float64 { return float64(b.Stats().Queued) })
	counter("messages_sent_total", "Messages to other nodes; one to three nodes is three.", func(st *bus.Stats) uint64 { return st.MessagesSent })
	counter("messages_received_total", "Messages of other nodes.", func(st *bus.Stats) uint64 { return st.MessagesReceived })
	counter("sent_bytes_total", "Bytes sent to other nodes.", func(st *bus.Stats) uint64 { return st.BytesSent })
	counter("received_bytes_total", "Bytes received from other nodes.", func(st *bus.Stats) uint64 { return st.BytesReceived })
	counter("published_total", "Publications that messages were joined into.", func(st *bus.Stats) uint64 { return st.Published })
	counter("batches_total", "Round trips to Redis that the publications took.", func(st *bus.Stats) uint64 { return st.Batches })
	counter("dropped_total", "Messages that were not sent: too much was waiting, or they waited too long.", func(st *bus.Stats) uint64 { return st.Dropped })
	counter("gaps_total", "How often messages of another node were lost, and made good.", func(st *bus.Stats) uint64 { return st.Gaps })
	counter("reconnects_total", "How often the way to the other nodes came back.", func(st *bus.Stats) uint64 { return st.Reconnects })
	counter("malformed_total", "What came over the bus and is of no node.", func(st *bus.Stats) uint64 { return st.Malformed })
}
