package demo

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

//go:embed page
var pageFiles embed.FS

// web serves the page, what it asks of the demo, and the two balancers.
type web struct {
	ctx     context.Context
	fleet   *fleet
	handler http.Handler
	under   sync.WaitGroup // requests under way
}

// clientPaths are where clients connect: 1.x, 4.x to 10.x, 2.x and 3.x, JSON mode.
var clientPaths = []string{"/deepstream/", "/deepstream", "/deepstream-v3", "/deepstream-json"}

func newWeb(ctx context.Context, f *fleet) *web {
	w := &web{ctx: ctx, fleet: f}
	files, err := fs.Sub(pageFiles, "page")
	if err != nil {
		panic("the page is not embedded: " + err.Error()) // a matter of the build
	}
	control := http.NewServeMux()
	control.HandleFunc("GET /demo/state", func(rw http.ResponseWriter, _ *http.Request) { writeJSON(rw, http.StatusOK, f.state.Load()) })
	control.HandleFunc("GET /demo/watch", w.watch)
	control.HandleFunc("GET /demo/where", w.where)
	control.HandleFunc("POST /demo/{part}/{act}", w.act)
	mux := http.NewServeMux()
	mux.Handle("/", noStore(http.FileServerFS(files)))
	mux.Handle("/demo/", http.NewCrossOriginProtection().Handler(control))
	for _, path := range clientPaths {
		mux.Handle(path, f.through)
	}
	mux.Handle("/plain/", http.StripPrefix("/plain", f.plain))
	w.handler = mux
	return w
}

type connKey struct{}

// server serves this on connections that are known to the requests.
func (w *web) server() *http.Server {
	return &http.Server{
		Handler: w, ReadHeaderTimeout: 10 * time.Second,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
}

// ServeHTTP counts the request while it is under way, and hangs up when the demo
// ends: a WebSocket outlives its server.
func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.under.Add(1)
	defer w.under.Done()
	hangUp := context.AfterFunc(w.ctx, func() { _ = r.Context().Value(connKey{}).(net.Conn).Close() })
	defer hangUp()
	w.handler.ServeHTTP(rw, r)
}

// wait returns when no request is under way; the server is closed by then.
func (w *web) wait() { w.under.Wait() }

func noStore(h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Cache-Control", "no-store")
		rw.Header().Set("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data:")
		h.ServeHTTP(rw, r)
	})
}

func writeJSON(rw http.ResponseWriter, status int, v any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.Header().Set("Cache-Control", "no-store")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(v) // a page that is gone needs no answer
}

func (w *web) act(rw http.ResponseWriter, r *http.Request) {
	err := w.fleet.act(w.ctx, r.PathValue("part"), r.PathValue("act"))
	switch {
	case err == nil:
		w.fleet.look(r.Context())
		writeJSON(rw, http.StatusOK, w.fleet.state.Load())
	case errors.Is(err, errUnknown):
		writeJSON(rw, http.StatusNotFound, map[string]string{"error": err.Error()})
	default:
		writeJSON(rw, http.StatusConflict, map[string]string{"error": r.PathValue("part") + ": " + err.Error()})
	}
}

// update is what the page is sent again and again.
type update struct {
	*state
	Log []entry `json:"log,omitempty"`
}

// watch sends the state on a WebSocket: those do not count among the few requests
// that a browser has at once, which polling clients may take up.
func (w *web) watch(rw http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{HandshakeTimeout: 10 * time.Second}
	ws, err := up.Upgrade(rw, r, nil)
	if err != nil {
		return // answered by the upgrader
	}
	defer ws.Close()
	gone := make(chan struct{})
	defer func() { ws.Close(); <-gone }()
	go func() {
		defer close(gone)
		ws.SetReadLimit(1 << 10)
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
		}
	}()
	tick := time.NewTicker(watchPeriod / 2)
	defer tick.Stop()
	for last := 0; ; {
		log := w.fleet.since(last)
		if len(log) > 0 {
			last = log[len(log)-1].Number
		}
		_ = ws.SetWriteDeadline(time.Now().Add(5 * time.Second)) // a write that fails says so
		if ws.WriteJSON(update{w.fleet.state.Load(), log}) != nil {
			return
		}
		select {
		case <-gone:
			return
		case <-w.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// where answers which proxy has the WebSocket of an engine.io session, and which
// node the session: a proxy explains what it would do with a request of it.
func (w *web) where(rw http.ResponseWriter, r *http.Request) {
	sid := r.URL.Query().Get("sid")
	var answer struct {
		Proxy string `json:"proxy,omitempty"`
		Node  string `json:"node,omitempty"`
	}
	if node := w.fleet.plain.socket(sid); node != "" {
		answer.Node = node
		writeJSON(rw, http.StatusOK, answer)
		return
	}
	answer.Proxy = w.fleet.through.socket(sid)
	request := "/deepstream/?EIO=3&transport=polling&sid=" + url.QueryEscape(sid)
	for _, p := range w.fleet.proxies {
		if !p.alive() || answer.Proxy != "" && answer.Proxy != p.name {
			continue
		}
		var e struct {
			Choice   string
			Backends []string
		}
		if ask(r.Context(), p.where().admin, "/explain?url="+url.QueryEscape(request), &e) == nil && e.Choice == "pin" && len(e.Backends) > 0 {
			answer.Node = e.Backends[0]
			break
		}
	}
	writeJSON(rw, http.StatusOK, answer)
}
