package affinity

import (
	"context"
	"errors"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// RedisConfig says where the shared table is.
type RedisConfig struct {
	// URL is what --redis takes: host:port, redis://, rediss:// (TLS),
	// redis+sentinel://host,host/db?master=name or redis+cluster://host,host,
	// the last two also as rediss+...://.
	URL string
	// Prefix starts each key; default "dsproxy:pin:".
	Prefix string
	// CAFile holds the PEM certificates to verify the server with, in place of
	// the system's; ServerName the name to verify, in place of the URL's host.
	// Both can also be given as options of the URL: ca=, server_name=.
	CAFile, ServerName string
	// Log takes what the Redis client has to say, at debug level; nil for none.
	Log *slog.Logger
}

// Redis is a Table in Redis, Valkey or what else speaks their protocol.
type Redis struct {
	client redis.UniversalClient
	Table
}

// NewRedis returns the table at c.URL. It does not connect yet: an error means
// a configuration that cannot work. Close it at the end.
func NewRedis(c RedisConfig) (*Redis, error) { return nil, errors.New("not connected") }

// SharedSecret returns 32 random bytes that all replicas with the same prefix
// share; the first one to ask makes them.
func (r *Redis) SharedSecret(ctx context.Context) ([]byte, error) { return nil, errors.New("no") }

// Close closes the connections.
func (r *Redis) Close() error { return r.client.Close() }
