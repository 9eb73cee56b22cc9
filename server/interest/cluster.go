package interest

import "context"

// Cluster is the Registry of nodes that are joined by a bus. Each node tells the
// others what it wants: all of it when it is first heard or was not heard for a
// while, then what changes.
type Cluster struct {
	*Node
	send func(nodes []string, payload []byte) error
}

// NewCluster makes the registry of the node self; send queues a frame for other
// nodes, and must not block.
func NewCluster(self string, send func(nodes []string, payload []byte) error) *Cluster {
	return &Cluster{Node: NewMemory().Node(self), send: send}
}

// Run sends what changes until ctx ends.
func (c *Cluster) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Deliver takes a frame of another node.
func (c *Cluster) Deliver(node string, payload []byte) {}

// Gap says that what is known of a node is in doubt.
func (c *Cluster) Gap(node string) {}

// Left says that a node is gone.
func (c *Cluster) Left(node string) {}
