package interest

import "sync/atomic"

// Stats is what a Cluster counted.
type Stats struct {
	// Names has how many names there are of each kind, of all nodes.
	Names [kinds]int
	// Sets is how many different sets of nodes want them.
	Sets int
	// Nodes is how many there are, this one included.
	Nodes int
	// Unsettled is how many calls of Settle wait for other nodes.
	Unsettled int

	// Snapshots are all names of a node at once; one to three nodes is three.
	SnapshotsSent, SnapshotsReceived uint64
	// Deltas are frames of changes, sent to all nodes at once.
	DeltasSent, DeltasReceived uint64
	// Changes are the names in deltas.
	ChangesSent, ChangesReceived uint64
	// Requests are how often a node was asked for all its names.
	RequestsSent uint64
	// Malformed is what another node sent that cannot be understood, or that does
	// not follow what it sent before.
	Malformed uint64
	// Expired is how many calls of Settle were given up.
	Expired uint64
	// TooLong is how many names other nodes were not told of.
	TooLong uint64
}

type counters struct {
	snapshotsSent, snapshotsReceived, deltasSent, deltasReceived, changesSent, changesReceived,
	requestsSent, malformed, expired, tooLong atomic.Uint64
}

// Stats returns what was counted.
func (c *Cluster) Stats() Stats {
	n := &c.count
	s := Stats{
		Sets: c.sets.len(), Nodes: len(c.Nodes()),
		SnapshotsSent: n.snapshotsSent.Load(), SnapshotsReceived: n.snapshotsReceived.Load(),
		DeltasSent: n.deltasSent.Load(), DeltasReceived: n.deltasReceived.Load(),
		ChangesSent: n.changesSent.Load(), ChangesReceived: n.changesReceived.Load(),
		RequestsSent: n.requestsSent.Load(), Malformed: n.malformed.Load(),
		Expired: n.expired.Load(), TooLong: n.tooLong.Load(),
	}
	for k := range c.tables {
		s.Names[k] = c.tables[k].len()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Unsettled = len(c.unsent)
	for i := range c.rounds {
		s.Unsettled += len(c.rounds[i].calls)
	}
	return s
}
