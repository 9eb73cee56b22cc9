package proxy

import (
	"crypto/tls"
	"net/netip"
	"sync"

	"github.com/dsproxy/dsproxy/backend"
	"github.com/dsproxy/dsproxy/proxy/http1"
)

// upstreams holds the connections to each backend.
type upstreams struct {
	cfg  Config
	byID sync.Map // backend ID to *upstream: read by every request, written when a backend comes or goes
}

// upstream is the pool of one backend, with what its connections were made for.
type upstream struct {
	addr   string
	direct netip.AddrPort // addr, unless it is a name or spoken to by TLS
	tls    *tls.Config
	pool   *http1.Pool
}

// of returns the connections to a backend. A backend that kept its id and
// changed its address or certificates gets new ones.
func (u *upstreams) of(m *backend.Member) *upstream {
	tlsConfig := m.TLSConfig()
	old, ok := u.byID.Load(m.ID)
	if ok {
		if up := old.(*upstream); up.addr == m.Addr && up.tls == tlsConfig {
			return up
		}
	}
	cfg := http1.PoolConfig{
		Addr: m.Addr, TLS: tlsConfig, DialTimeout: u.cfg.Timeouts.Dial,
		MaxIdle: u.cfg.Upstream.MaxIdle, IdleTimeout: u.cfg.Upstream.IdleTimeout, MaxSilence: u.cfg.Upstream.MaxSilence,
	}
	if cfg.MaxIdle == 0 {
		cfg.MaxIdle = -1 // to http1, 0 means its default
	}
	made := &upstream{addr: m.Addr, tls: tlsConfig, pool: http1.NewPool(cfg)}
	if tlsConfig == nil {
		made.direct, _ = netip.ParseAddrPort(m.Addr)
	}
	if !ok {
		// The loser of a race has made a pool that holds no connection.
		up, _ := u.byID.LoadOrStore(m.ID, made)
		return up.(*upstream)
	}
	if u.byID.CompareAndSwap(m.ID, old, made) {
		old.(*upstream).pool.Close()
	}
	return made
}

// drop closes the idle connections of a backend that is gone.
func (u *upstreams) drop(id string) {
	if up, ok := u.byID.LoadAndDelete(id); ok {
		up.(*upstream).pool.Close()
	}
}

func (u *upstreams) close() {
	u.byID.Range(func(id, _ any) bool {
		u.drop(id.(string))
		return true
	})
}
