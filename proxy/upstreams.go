package proxy

import (
	"sync"

	"github.com/dsproxy/dsproxy/backend"
	"github.com/dsproxy/dsproxy/proxy/http1"
)

// upstreams holds the connection pool of each backend.
type upstreams struct {
	cfg   Config
	pools sync.Map // backend ID to *http1.Pool: read by every request, written when a backend comes or goes
}

// of returns the connections to a backend.
func (u *upstreams) of(m *backend.Member) *http1.Pool {
	if p, ok := u.pools.Load(m.ID); ok {
		return p.(*http1.Pool)
	}
	cfg := http1.PoolConfig{
		Addr: m.Addr, TLS: m.TLSConfig(), DialTimeout: u.cfg.Timeouts.Dial,
		MaxIdle: u.cfg.Upstream.MaxIdle, IdleTimeout: u.cfg.Upstream.IdleTimeout,
	}
	if cfg.MaxIdle == 0 {
		cfg.MaxIdle = -1 // to http1, 0 means its default
	}
	// The loser of a race has made a pool that holds no connection.
	p, _ := u.pools.LoadOrStore(m.ID, http1.NewPool(cfg))
	return p.(*http1.Pool)
}

// drop closes the idle connections of a backend that is gone.
func (u *upstreams) drop(id string) {
	if p, ok := u.pools.LoadAndDelete(id); ok {
		p.(*http1.Pool).Close()
	}
}

func (u *upstreams) close() {
	u.pools.Range(func(id, _ any) bool {
		u.drop(id.(string))
		return true
	})
}
