package demo

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// balancer is in the role of a load balancer without stickiness: each request, not
// each connection, goes to the next target. It says in a header of the answer which
// one that was, and remembers it for WebSockets, whose headers pages cannot see.
type balancer struct {
	header  string
	forward http.Handler
	targets atomic.Pointer[[]target]
	next    atomic.Uint64

	mu      sync.Mutex
	sockets map[string]string // guarded by mu: engine.io id -> target of the WebSocket
	order   []string          // guarded by mu: ids, the oldest first
}

type target struct{ name, addr string }

// socketsKept bounds the WebSockets that are remembered.
const socketsKept = 4096

type targetKey struct{}

func newBalancer(header string) *balancer {
	b := &balancer{header: header, sockets: make(map[string]string)}
	b.targets.Store(&[]target{})
	b.forward = &httputil.ReverseProxy{
		FlushInterval: -1,
		ErrorLog:      slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true, ResponseHeaderTimeout: 2 * time.Minute},
		Rewrite: func(r *httputil.ProxyRequest) {
			t := r.In.Context().Value(targetKey{}).(target)
			r.SetURL(&url.URL{Scheme: "http", Host: t.addr})
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		ModifyResponse: func(resp *http.Response) error {
			t := resp.Request.Context().Value(targetKey{}).(target)
			resp.Header.Set(header, t.name)
			if resp.StatusCode == http.StatusSwitchingProtocols {
				b.remember(resp.Request.URL.Query().Get("sid"), t.name)
			}
			return nil
		},
	}
	return b
}

// set chooses the targets.
func (b *balancer) set(t []target) { b.targets.Store(&t) }

func (b *balancer) remember(sid, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.sockets[sid]; !known {
		b.order = append(b.order, sid)
	}
	b.sockets[sid] = name
	if len(b.order) > socketsKept {
		delete(b.sockets, b.order[0])
		b.order = b.order[1:]
	}
}

// socket returns the target of a WebSocket, "" if there is none.
func (b *balancer) socket(sid string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sockets[sid]
}

// ServeHTTP gives the request to the next target.
func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	targets := *b.targets.Load()
	if len(targets) == 0 {
		http.Error(w, "no target is healthy", http.StatusServiceUnavailable)
		return
	}
	t := targets[b.next.Add(1)%uint64(len(targets))]
	b.forward.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), targetKey{}, t)))
}
