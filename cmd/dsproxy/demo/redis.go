package demo

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// redisStore is the Redis of the fleet.
type redisStore struct {
	addr string // for nodes and proxies
	own  *miniredis.Miniredis

	mu sync.Mutex
	up bool // guarded by mu
}

// openRedis starts a Redis in this process unless there is one at addr.
func openRedis(addr string) (*redisStore, error) {
	if addr != "" {
		return &redisStore{addr: addr, up: true}, nil
	}
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	return &redisStore{addr: m.Addr(), own: m, up: true}, nil
}

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

func (r *redisStore) running() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.up
}

func (r *redisStore) close() {
	if r.own != nil && r.running() {
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
