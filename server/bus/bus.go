// Package bus carries bytes between the nodes of a cluster. What the bytes mean is
// the business of the topics; which nodes need them is known to package interest.
package bus

import "context"

// Bus is a node's end of the way to the other nodes.
type Bus interface {
	// Send brings payload to each of the named nodes, once and in the order of
	// the calls. It does not wait for them: a node that is gone gets nothing,
	// which is no error.
	Send(nodes []string, payload []byte) error
	// Run calls deliver with what other nodes sent, one message at a time and in
	// the order of each sender, until ctx ends. deliver may not keep payload.
	Run(ctx context.Context, deliver func(from string, payload []byte)) error
}
