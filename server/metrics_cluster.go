package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dsproxy/dsproxy/server/bus"
	"github.com/dsproxy/dsproxy/server/interest"
)

// busStatus is a bus that can be away.
type busStatus interface {
	Connected() bool
	Stats() bus.Stats
}

// busAway tells that the way to the other nodes is broken.
func (s *Server) busAway() bool { return s.bus != nil && !s.bus.Connected() }

// interestCollector shows what the registry of the cluster counts.
type interestCollector struct {
	cluster *interest.Cluster
}

func interestDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_interest_"+name, help, labels, nil)
}

var (
	interestNames     = interestDesc("names", "Names that any node wants, by kind.", "kind")
	interestNodes     = interestDesc("nodes", "Nodes of the cluster, this one included.")
	interestUnsettled = interestDesc("unsettled", "What waits until all nodes know of it.")
	interestSnapshots = interestDesc("snapshots_total", "All names of a node at once, sent and received.", "direction")
	interestChanges   = interestDesc("changes_total", "Names that nodes began or ceased to want, sent and received.", "direction")
	interestMalformed = interestDesc("malformed_total", "What another node sent and cannot be understood.")
	interestExpired   = interestDesc("expired_total", "What did not wait longer until all nodes knew of it.")
	interestTooLong   = interestDesc("too_long_total", "Names that are too long for other nodes to be told of.")
)

// Describe implements prometheus.Collector.
func (c interestCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{interestNames, interestNodes, interestUnsettled, interestSnapshots,
		interestChanges, interestMalformed, interestExpired, interestTooLong} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c interestCollector) Collect(ch chan<- prometheus.Metric) {
	st := c.cluster.Stats()
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for k, n := range st.Names {
		gauge(interestNames, n, interest.Kind(k).String())
	}
	gauge(interestNodes, st.Nodes)
	gauge(interestUnsettled, st.Unsettled)
	counter(interestSnapshots, st.SnapshotsSent, "out")
	counter(interestSnapshots, st.SnapshotsReceived, "in")
	counter(interestChanges, st.ChangesSent, "out")
	counter(interestChanges, st.ChangesReceived, "in")
	counter(interestMalformed, st.Malformed)
	counter(interestExpired, st.Expired)
	counter(interestTooLong, st.TooLong)
}

// clusterMetrics registers what the bus and the registry count, if there is a cluster.
func (s *Server) clusterMetrics(r *prometheus.Registry) {
	if c := s.peers.interest; c != nil {
		r.MustRegister(interestCollector{c})
	}
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
