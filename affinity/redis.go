package affinity

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Redis is a Table in Redis 2.6.12 or newer, Valkey, or what else speaks their
// protocol and runs scripts. A pin is one key, the prefix and the Key in
// hexadecimal, with the value "<life in ms> <backend>" and always with a time
// to live. Each operation is one command or one script, so all of it works in a
// cluster.
type Redis struct {
	client redis.UniversalClient
	prefix string
}

// RedisConfig says where the shared table is.
type RedisConfig struct {
	// URL is what --redis takes; see RedisForms.
	URL string
	// Prefix starts each key; default "dsproxy:pin:".
	Prefix string
	// CAFile holds the PEM certificates to verify the server with, in place of
	// the system's; ServerName the name to verify, in place of the URL's host.
	// Both can also be given as options of the URL, which win: ca=, server_name=.
	CAFile, ServerName string
	// Log takes what the Redis client has to say, at debug level; nil for none.
	// The client has one log for all the process: the last one set is used.
	Log *slog.Logger
}

const (
	defaultPrefix = "dsproxy:pin:"
	// nameLife outlives any pause of a whole fleet that its pins outlive.
	nameLife = MaxLife
)

// script is sent by its digest, and whole only to a server that lacks it.
type script struct{ text, digest string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text))
	return script{text, hex.EncodeToString(sum[:])}
}

var (
	//go:embed lua/put.lua
	putLua string
	//go:embed lua/delete.lua
	deleteLua string
	//go:embed lua/check.lua
	checkLua string

	putScript    = newScript(putLua)
	deleteScript = newScript(deleteLua)
	checkScript  = newScript(checkLua)
)

// NewRedis returns the table at c.URL. It does not connect yet, so an error
// means a configuration that cannot work. Close it at the end.
func NewRedis(c RedisConfig) (*Redis, error) {
	target, err := parseRedisURL(c.URL)
	if err != nil {
		return nil, err
	}
	if target.ca == "" {
		target.ca = c.CAFile
	}
	if target.serverName == "" {
		target.serverName = c.ServerName
	}
	o, err := target.options()
	if err != nil {
		return nil, err
	}
	// The caller's budget is what counts: operations end with their context, a
	// broken connection is tried again once, at once, and there are few of
	// them, for no operation takes longer than a round trip.
	o.ContextTimeoutEnabled = true
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = time.Second, time.Second, time.Second
	o.DialTimeout, o.DialerRetries = time.Second, 1
	o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff = 1, time.Millisecond, 4*time.Millisecond
	o.PoolSize = 32
	o.ReadBufferSize, o.WriteBufferSize = 4<<10, 4<<10
	o.PipelinePoolSize, o.PipelineReadBufferSize, o.PipelineWriteBufferSize = 2, 16<<10, 32<<10
	o.ConnMaxIdleTime = 5 * time.Minute
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}

	redis.SetLogger(clientLog{c.Log})
	prefix := c.Prefix
	if prefix == "" {
		prefix = defaultPrefix
	}
	return &Redis{client: newClient(o), prefix: prefix}, nil
}

// clusterReload is how old what is known of a Redis Cluster may become, as long as
// anything is asked of it: when a server has died, nothing else tells who has its place.
const clusterReload = 2 * time.Second

func newClient(o *redis.UniversalOptions) redis.UniversalClient {
	if !o.IsClusterMode {
		return redis.NewUniversalClient(o)
	}
	c := o.Cluster()
	c.ClusterStateReloadInterval = clusterReload
	return redis.NewClusterClient(c)
}

// Close closes the connections.
func (r *Redis) Close() error { return r.client.Close() }

// Get implements Table. A value that is no pin counts as none.
func (r *Redis) Get(ctx context.Context, key Key) (Pin, error) {
	value, err := r.client.Get(ctx, r.key(key)).Result()
	if errors.Is(err, redis.Nil) {
		return Pin{}, ErrNotFound
	}
	if err != nil {
		return Pin{}, redisError("read a pin", err)
	}
	life, backend, _ := strings.Cut(value, " ")
	ms, err := strconv.ParseInt(life, 10, 64)
	pin := Pin{Key: key, Backend: backend, Life: time.Duration(ms) * time.Millisecond}
	if err != nil || ms > MaxLife.Milliseconds() || pin.validate() != nil {
		return Pin{}, ErrNotFound
	}
	return pin, nil
}

// Put implements Table.
func (r *Redis) Put(ctx context.Context, pins []Pin) ([]string, error) {
	var (
		calls = make([]call, 0, len(pins))
		at    = make([]int, 0, len(pins)) // index in pins of each call
		kept  = make([]string, len(pins))
		errs  []error
	)
	for i := range pins {
		p := &pins[i]
		if err := p.validate(); err != nil {
			errs = append(errs, err)
			continue
		}
		calls = append(calls, call{key: r.key(p.Key), args: []any{p.Backend, p.Life.Milliseconds(), p.From}})
		at = append(at, i)
	}
	r.run(ctx, putScript, calls)
	for i := range calls {
		backend, err := calls[i].cmd.Text()
		if err != nil {
			errs = append(errs, redisError("write a pin", err))
			continue
		}
		kept[at[i]] = backend
	}
	return kept, firstOf(errs)
}

// Delete implements Table.
func (r *Redis) Delete(ctx context.Context, pins []Pin) error {
	calls := make([]call, len(pins))
	for i := range pins {
		calls[i] = call{key: r.key(pins[i].Key), args: []any{pins[i].Backend}}
	}
	r.run(ctx, deleteScript, calls)
	var errs []error
	for i := range calls {
		if err := calls[i].cmd.Err(); err != nil {
			errs = append(errs, redisError("delete a pin", err))
		}
	}
	return firstOf(errs)
}

// Check implements Table. In a cluster it speaks for the node that has the
// generation's key.
func (r *Redis) Check(ctx context.Context) (string, error) {
	// A new name each time: the one who named what was lost may be the first to
	// come back.
	name := hex.EncodeToString(newSecret()[:16])
	calls := []call{{key: r.prefix + "generation", args: []any{name, nameLife.Milliseconds()}}}
	r.run(ctx, checkScript, calls)
	generation, err := calls[0].cmd.Text()
	if err != nil {
		return "", redisError("check the table", err)
	}
	return generation, nil
}

// SharedSecret returns 32 random bytes that all replicas with the same prefix
// share; the first one to ask makes them. It fails while Redis cannot be
// written, and a Redis that loses its contents loses them.
func (r *Redis) SharedSecret(ctx context.Context) ([]byte, error) {
	key := r.prefix + "secret"
	// No time to live: cookies signed with it may be older than any pin.
	if err := r.client.SetNX(ctx, key, newSecret(), 0).Err(); err != nil {
		return nil, redisError("make the shared secret", err)
	}
	secret, err := r.client.Get(ctx, key).Bytes()
	if err != nil {
		return nil, redisError("read the shared secret", err)
	}
	if len(secret) != secretLen {
		return nil, fmt.Errorf("redis: the shared secret at key %q has %d bytes in place of %d; delete it to have a new one made",
			key, len(secret), secretLen)
	}
	return secret, nil
}

func (r *Redis) key(k Key) string { return r.prefix + k.String() }

// call is one run of a script on one key.
type call struct {
	key  string
	args []any
	cmd  *redis.Cmd
}

// run calls a script on each key, several in one pipeline, and once more with
// its text where the server did not know it.
func (r *Redis) run(ctx context.Context, s script, calls []call) {
	if len(calls) == 1 {
		c := &calls[0]
		c.cmd = r.client.EvalSha(ctx, s.digest, []string{c.key}, c.args...)
		if redis.HasErrorPrefix(c.cmd.Err(), "NOSCRIPT") {
			c.cmd = r.client.Eval(ctx, s.text, []string{c.key}, c.args...)
		}
		return
	}
	if len(calls) == 0 {
		return
	}
	pipe := r.client.Pipeline()
	for i := range calls {
		calls[i].cmd = pipe.EvalSha(ctx, s.digest, []string{calls[i].key}, calls[i].args...)
	}
	// The error of Exec is that of a command, and each is looked at by itself.
	_, _ = pipe.Exec(ctx)
	again := r.client.Pipeline()
	for i := range calls {
		if redis.HasErrorPrefix(calls[i].cmd.Err(), "NOSCRIPT") {
			calls[i].cmd = again.Eval(ctx, s.text, []string{calls[i].key}, calls[i].args...)
		}
	}
	if again.Len() > 0 {
		_, _ = again.Exec(ctx)
	}
}

// firstOf returns the first error and how many more there were: those of one
// pipeline are mostly the same.
func firstOf(errs []error) error {
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	return fmt.Errorf("%w (and %d more)", errs[0], len(errs)-1)
}

// redisError says what could not be done, and marks answers that mean "not now,
// but you may read".
func redisError(what string, err error) error {
	for _, code := range []string{"OOM", "READONLY", "MISCONF", "NOREPLICAS"} {
		if redis.HasErrorPrefix(err, code) {
			return fmt.Errorf("redis: %s: %w (%w)", what, err, ErrRefused)
		}
	}
	return fmt.Errorf("redis: %s: %w", what, err)
}

// clientLog sends the client's own messages to our log. They tell nothing that
// an error does not, except for failovers.
type clientLog struct{ log *slog.Logger }

func (l clientLog) Printf(ctx context.Context, format string, v ...any) {
	if l.log != nil && l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.DebugContext(ctx, "redis client", "message", fmt.Sprintf(format, v...))
	}
}
