package demo

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/dsproxy/dsproxy/server/config"
)

// redisStore is the Redis of the fleet.
type redisStore struct {
	addr  string // for nodes and proxies
	own   *miniredis.Miniredis
	given redis.UniversalClient // asks one that is not our own how it is

	mu sync.Mutex
	up bool // guarded by mu: our own serves
}

// openRedis starts a Redis in this process unless there is one at addr, which must
// answer.
func openRedis(ctx context.Context, addr string) (*redisStore, error) {
	if addr != "" {
		return useRedis(ctx, addr)
	}
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	return &redisStore{addr: m.Addr(), own: m, up: true}, nil
}

// pingTime bounds how long a Redis may take to answer that it is there.
const pingTime = time.Second

func useRedis(ctx context.Context, addr string) (*redisStore, error) {
	var s config.Settings
	if err := s.UseRedis(addr); err != nil {
		return nil, fmt.Errorf("--redis: %w", err)
	}
	o := s.CacheRedis.Client
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = pingTime, pingTime, pingTime
	o.DialerRetries, o.MaxRetries = 1, -1
	redis.SetLogger(noLog{}) // what it would log, the error says
	r := &redisStore{addr: addr, given: redis.NewUniversalClient(&o)}
	if err := r.given.Ping(ctx).Err(); err != nil {
		r.close()
		return nil, fmt.Errorf("the Redis of --redis, %s, does not answer: %w", r.label(), err)
	}
	return r, nil
}

type noLog struct{}

func (noLog) Printf(context.Context, string, ...any) {}

// expiryTick is how exactly keys of the embedded Redis expire.
const expiryTick = 100 * time.Millisecond

// run makes the keys of the embedded Redis expire, whose time stands still by
// itself.
func (r *redisStore) run(ctx context.Context) {
	if r.own == nil {
		return
	}
	tick := time.NewTicker(expiryTick)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			r.own.FastForward(now.Sub(last))
			last = now
		}
	}
}

// stop has the embedded Redis refuse everybody; what it holds stays.
func (r *redisStore) stop() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.up {
		return errNotUp
	}
	r.own.Close()
	r.up = false
	return nil
}

// start has it serve again, at its address.
func (r *redisStore) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.up {
		return errIsUp
	}
	if err := r.own.Restart(); err != nil {
		return fmt.Errorf("start the embedded Redis again: %w", err)
	}
	r.up = true
	return nil
}

func (r *redisStore) running(ctx context.Context) bool {
	if r.given != nil {
		return r.given.Ping(ctx).Err() == nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.up
}

func (r *redisStore) close() {
	switch {
	case r.given != nil:
		_ = r.given.Close() // nothing is lost with its connections
	case r.running(context.Background()):
		r.own.Close()
	}
}

// label is the address without a password.
func (r *redisStore) label() string {
	if u, err := url.Parse(r.addr); err == nil && u.Host != "" {
		return u.Host
	}
	return r.addr[strings.LastIndexByte(r.addr, '@')+1:]
}
