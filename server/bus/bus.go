package bus

import "context"

// Bus is a node's end of the way to the other nodes.
type Bus interface {
	// Send brings payload to each of the named nodes, once and in the order of
	// the calls. It keeps no reference to payload, does not block, and does not
	// wait for the nodes: what does not reach one is a gap to it, and a node
	// that is gone gets nothing, which is no error.
	Send(nodes []string, payload []byte) error
	// Run brings what other nodes send to r until ctx ends, and tells them then
	// that this node leaves. The calls to r come one at a time.
	Run(ctx context.Context, r Receiver) error
}

// Receiver hears the other nodes. Its methods may call Send, and must not wait for
// anything that takes long.
type Receiver interface {
	// Deliver takes a message; payload may not be kept.
	Deliver(node string, payload []byte)
	// Gap says that a node is heard for the first time, or that messages of it
	// were lost: what it said earlier is in doubt. The messages that follow are
	// whole again.
	Gap(node string)
	// Left says that a node is gone: it said so, or it is known to be dead.
	// After Left, the next that is heard of it begins with a Gap.
	Left(node string)
}
