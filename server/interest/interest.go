// Package interest knows which nodes of a cluster want which names: events and
// records that are subscribed to, procedures that are provided, users that are
// present. It holds sets of nodes, not counts, so nothing can drift; a node that
// leaves takes its entries with it.
//
// Cluster is the Registry of nodes that are joined by a bus. It keeps one table of
// names for each Kind, in shards, and in it for each name the set of nodes that want
// it. Sets are immutable and shared by all names that the same nodes want, so a name
// costs its string and a pointer, and asking for its nodes copies nothing. What goes
// over the bus is described in frame.go, what this node tells the others is in
// tell.go, and what it hears of them in hear.go. Memory is a Registry for nodes of
// one process, in tests.
//
// Lock order, of Cluster: the locks of the topics that call Add, Remove and Settle,
// and those of the bus that calls Deliver, Gap and Left; then shard.change, held
// while a name changes and the watchers are told; then the locks that watchers take;
// and last, none of them held with another, shard.mu, sets.mu and Cluster.mu. Others,
// Has, Names and Nodes take no lock but shard.mu, for reading.
package interest

// Kind is what a name is the name of.
type Kind uint8

// The kinds.
const (
	Events Kind = iota
	Records
	Procedures
	Users
	// Patterns that clients listen to.
	EventPatterns
	RecordPatterns
	// Names that a listener provides for.
	EventProviders
	RecordProviders

	kinds
)

var kindNames = [kinds]string{"events", "records", "procedures", "users", "event_patterns", "record_patterns",
	"event_providers", "record_providers"}

// String is the kind as metrics and logs name it.
func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return "unknown"
}

// Registry is a node's view. Its methods are safe for concurrent use and do not
// wait for other nodes; Add and Remove may be called under the locks of a topic.
type Registry interface {
	// Self is the name of this node.
	Self() string
	// Add says that this node wants a name, Remove that it no longer does.
	Add(k Kind, name string)
	Remove(k Kind, name string)
	// Others returns the other nodes that want a name. The slice may be shared
	// and must not be changed.
	Others(k Kind, name string) []string
	// Has reports whether any node wants a name.
	Has(k Kind, name string) bool
	// Names returns all names that any node wants.
	Names(k Kind) []string
	// Watch has f called whenever a name is wanted by a first node or no longer
	// by any, in the order in which that happens, this node's own included. It
	// is called before the first Add; f may not call the registry.
	Watch(k Kind, f func(name string, wanted bool))
	// WatchOthers has f called whenever one more of the other nodes wants a name. It
	// is called before the first Add; f may not call the registry.
	WatchOthers(k Kind, f func(name string))
	// Nodes returns all nodes, this one included, sorted. The slice may be
	// shared and must not be changed.
	Nodes() []string
	// WatchNodes has f called whenever another node joined, with all that it
	// wants being known, or left, with all that it wanted being removed. It is
	// called before the first Add; f may not call the registry.
	WatchNodes(f func(node string, joined bool))
	// WatchKnown has f called whenever all that another node wants has become
	// known: when it joined, and after what it said was lost. Until then this node
	// may have passed it over. It is called before the first Add; f may not call
	// the registry.
	WatchKnown(f func(node string))
	// Settle calls f once, not before Settle returns, when each of the other nodes
	// knows all that was added before the call, or has left.
	Settle(f func())
}
