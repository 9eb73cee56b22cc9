package bus

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisConfig is what a node needs to know of its cluster.
type RedisConfig struct {
	// Cluster is the name of the cluster. Clusters with different names do not
	// hear each other, though they share a Redis; those of one name do, whatever
	// the number of the database is.
	Cluster string
	// Node is the name of this node, of at most 255 bytes.
	Node string
	// Lease is how long a node may be silent before it is gone; 0 is DefaultLease.
	Lease time.Duration
	// Log is told when the bus goes away and when it is back; nil for nobody.
	Log *slog.Logger
}

// Redis is a Bus over the pub/sub of Redis. Every node subscribes to two channels,
//
//	deepstream:<cluster>:node:<name>
//	deepstream:<cluster>:all
//
// its own, for what is sent to it alone, and that of all, for announcements. Names
// are escaped, so that no two pairs of names make one channel.
//
// In a Redis Cluster these are plain channels, which every server of it knows, not
// sharded ones: a node can then hear both of its channels over one connection to any
// server, and Redis before 7 will do. The price is that each message goes to all
// servers of the cluster, which sharded channels would save; with messages joined as
// they are here and a handful of shards it is small. The messages of a node's channel
// are published at the server that has the slot of the channel's name, and heard
// there, so that they keep their order.
type Redis struct{ *member }

// NewRedis makes the bus of a node. The client remains the caller's, who closes it
// when Run has returned. Its timeouts bound how long Run needs to end while Redis
// hangs.
func NewRedis(client redis.UniversalClient, c RedisConfig) *Redis {
	if c.Lease == 0 {
		c.Lease = DefaultLease
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Redis{newMember(c.Node, &pubsub{client: client, prefix: "deepstream:" + escape(c.Cluster) + ":"}, c.Lease, c.Log)}
}

// pubsub is the transport.
type pubsub struct {
	client redis.UniversalClient
	prefix string
}

func (t *pubsub) address(node string) string {
	if node == "" {
		return t.prefix + "all"
	}
	return t.prefix + "node:" + escape(node)
}

// escape writes a name without colons, or what else is not plain in a channel's name.
func escape(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func (t *pubsub) publish(ctx context.Context, batch []parcel) error {
	if len(batch) == 1 {
		cmd := publication(ctx, &batch[0])
		if err := t.client.Process(ctx, cmd); err != nil {
			return fmt.Errorf("publish to redis: %w", err)
		}
		return nil
	}
	pipe := t.client.Pipeline()
	for i := range batch {
		_ = pipe.Process(ctx, publication(ctx, &batch[i])) // errors come with Exec
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("publish to redis: %w", err)
	}
	return nil
}

// publication is the command for a message. Without the position of a key a client of
// a Redis Cluster would take turns with the servers, and mix up the order.
func publication(ctx context.Context, p *parcel) *redis.IntCmd {
	cmd := redis.NewIntCmd(ctx, "publish", p.to, p.data)
	cmd.SetFirstKeyPos(1)
	return cmd
}

func (t *pubsub) listen(ctx context.Context, node string, ready func(), hear func(data []byte)) error {
	// The first channel decides which server of a Redis Cluster is asked.
	subscription := t.client.Subscribe(ctx, t.address(node))
	defer subscription.Close()
	stop := context.AfterFunc(ctx, func() { _ = subscription.Close() })
	defer stop()
	if err := subscription.Subscribe(ctx, t.address("")); err != nil {
		return fmt.Errorf("subscribe at redis: %w", err)
	}
	missing := 2
	var data []byte
	for {
		received, err := subscription.Receive(ctx)
		if err != nil {
			return fmt.Errorf("subscription at redis: %w", err)
		}
		switch received := received.(type) {
		case *redis.Subscription:
			if missing--; missing == 0 {
				ready()
			}
		case *redis.Message:
			data = append(data[:0], received.Payload...)
			hear(data)
			if cap(data) > maxJoined {
				data = nil
			}
		}
	}
}
