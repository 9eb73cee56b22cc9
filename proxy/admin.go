package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/dsproxy/dsproxy/affinity"
	"github.com/dsproxy/dsproxy/backend"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// admin serves operators on a listener of its own. It has no authentication:
// it belongs on loopback or on a network of operators only.
type admin struct {
	p       *Proxy
	ln      net.Listener // nil: off
	http    *http.Server
	failing atomic.Pointer[string] // why readiness fails for good
}

func newAdmin(p *Proxy) (*admin, error) {
	a := &admin{p: p}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("GET /backends", a.backends)
	mux.HandleFunc("GET /sessions", a.sessions)
	mux.HandleFunc("GET /explain", a.explain)
	mux.HandleFunc("POST /backends/{id}/drain", a.drain(p.pool.Drain, "draining"))
	mux.HandleFunc("POST /backends/{id}/undrain", a.drain(p.pool.Undrain, "undrained"))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	a.http = &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
	}
	if p.cfg.Admin == "" {
		return a, nil
	}
	ln, err := net.Listen("tcp", p.cfg.Admin)
	if err != nil {
		return nil, fmt.Errorf("admin listener on %s: %w", p.cfg.Admin, err)
	}
	a.ln = ln
	p.log.Info("listening", "name", "admin", "addr", ln.Addr().String())
	return a, nil
}

func (a *admin) run() error {
	if a.ln == nil {
		return nil
	}
	if err := a.http.Serve(a.ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (a *admin) close() {
	a.http.Close()
	if a.ln != nil {
		a.ln.Close()
	}
}

// fail makes readiness fail from now on.
func (a *admin) fail(reason string) { a.failing.Store(&reason) }

// Readiness is what /readyz answers. A table that is away is told of, but the
// replica stays ready: known sessions live on, new ones are pinned here.
type Readiness struct {
	Ready    bool     `json:"ready"`
	Reasons  []string `json:"reasons,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// Readiness tells whether a balancer should send traffic here, and why not.
func (p *Proxy) Readiness() Readiness {
	var r Readiness
	if why := p.admin.failing.Load(); why != nil {
		r.Reasons = append(r.Reasons, *why)
	}
	if p.pool.Set().Usable() == 0 {
		r.Reasons = append(r.Reasons, "no backend takes new sessions")
	}
	if ok, why := p.pins.Status(); !ok {
		r.Warnings = append(r.Warnings, "affinity table: "+why)
	}
	for _, s := range p.pool.Sources() {
		if s.Error != "" {
			r.Warnings = append(r.Warnings, s.Name+": "+s.Error)
		}
	}
	r.Ready = len(r.Reasons) == 0
	return r
}

func (a *admin) ready(w http.ResponseWriter, _ *http.Request) {
	r := a.p.Readiness()
	status := http.StatusOK
	if !r.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, r)
}

func (a *admin) backends(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, struct {
		Backends []backend.Status       `json:"backends"`
		Sources  []backend.SourceStatus `json:"sources"`
	}{a.p.pool.Snapshot(), a.p.pool.Sources()})
}

// maxSessionsShown bounds one answer of /sessions.
const maxSessionsShown = 10_000

func (a *admin) sessions(w http.ResponseWriter, r *http.Request) {
	limit := 1000
	if v := r.URL.Query().Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxSessionsShown {
			writeError(w, http.StatusBadRequest, fmt.Sprintf("limit: %q is not a number from 1 to %d", v, maxSessionsShown))
			return
		}
		limit = n
	}
	writeJSON(w, http.StatusOK, struct {
		Known    int           `json:"known"`
		Tunnels  int           `json:"tunnels"`
		Sessions []sessionView `json:"sessions"`
	}{a.p.pins.Stats().Entries, a.p.relay.Open(), viewsOf(a.p.pins.Sessions(limit))})
}

// sessionView is a pin as /sessions shows it; the session's id is hashed.
type sessionView struct {
	Session   string  `json:"session"`
	Backend   string  `json:"backend"`
	Age       float64 `json:"age_seconds"`
	Idle      float64 `json:"idle_seconds"`
	Life      float64 `json:"life_seconds"`
	Open      bool    `json:"open"`      // a tunnel, stream or poll of it is open
	Published bool    `json:"published"` // the other replicas can see it
}

func viewOf(s affinity.PinInfo) sessionView {
	return sessionView{s.Key.String(), s.Backend, s.Age.Seconds(), s.Idle.Seconds(), s.Life.Seconds(), s.Held, s.Published}
}

func viewsOf(sessions []affinity.PinInfo) []sessionView {
	views := make([]sessionView, 0, len(sessions))
	for _, s := range sessions {
		views = append(views, viewOf(s))
	}
	return views
}

func (a *admin) drain(act func(id string) error, done string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		err := act(id)
		switch {
		case errors.Is(err, backend.ErrUnknown):
			writeError(w, http.StatusNotFound, fmt.Sprintf("backend %q is unknown; GET /backends lists the ids", id))
		case err != nil:
			writeError(w, http.StatusConflict, err.Error())
		default:
			a.p.log.Info("backend "+done+" by admin", "backend", id)
			writeJSON(w, http.StatusOK, map[string]string{"backend": id, "state": done})
		}
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.Encode(v) // a client that is gone needs no answer
}

func writeError(w http.ResponseWriter, status int, msg string) {
	writeJSON(w, status, map[string]string{"error": msg})
}
