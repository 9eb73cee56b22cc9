package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dsproxy/dsproxy/server/auth"
	"github.com/dsproxy/dsproxy/server/bus"
	"github.com/dsproxy/dsproxy/server/endpoint"
	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/store"
	"github.com/dsproxy/dsproxy/server/topic"
	"github.com/dsproxy/dsproxy/server/topic/event"
	"github.com/dsproxy/dsproxy/server/topic/presence"
	"github.com/dsproxy/dsproxy/server/topic/record"
	"github.com/dsproxy/dsproxy/server/topic/rpc"
	"github.com/dsproxy/dsproxy/server/wire"
)

// Server is one node.
type Server struct {
	// Set by New.
	config    Config
	sessions  *session.Registry
	flusher   *session.Flusher
	loops     *endpoint.Loops
	router    *router
	store     *store.Tiered
	route     func(r *http.Request) http.Handler
	httpConns *httpConns
	closers   []func()
	peers     *peers
	bus       busStatus // nil for a node on its own
	gauges    map[string]gauge
	stores    *storeMetrics
	stop      context.CancelFunc

	ready atomic.Bool

	listener, admin net.Listener // set by Listen
}

// New makes a node; Listen and Run bring it to life.
func New(c Config) (*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		config:  c,
		flusher: session.NewFlusher(runtime.GOMAXPROCS(0)),
		router:  &router{ctx: ctx, log: c.Log, auth: c.Auth},
		stop:    cancel,
		gauges:  make(map[string]gauge),
		stores:  newStoreMetrics(),
	}
	s.peers = &peers{log: c.Log, topics: &s.router.topics}
	s.loops = endpoint.NewLoops(s.flusher)
	s.sessions = session.NewRegistry(s.flusher, s.router)
	s.sessions.MaxConnections = c.MaxConnections
	s.httpConns = newHTTPConns(c.MaxConnections, s.sessions.Hit)
	s.makeTopics(ctx)
	s.route = s.routes()
	return s, nil
}

// makeTopics puts the topics that are switched on into the router.
func (s *Server) makeTopics(ctx context.Context) {
	c, r := &s.config, s.router
	s.bus, _ = c.Bus.(busStatus)
	alone := c.Bus == nil
	switch {
	case alone:
		name := cmp.Or(c.Name, "node")
		c.Bus, c.Interest = bus.NewNetwork().Join(name), interest.NewCluster(name, nil) // which sends nothing, having no others
	case c.Interest == nil:
		s.peers.interest = interest.NewCluster(c.Name, func(nodes []string, payload []byte) error {
			return c.Bus.Send(nodes, append([]byte{topic.FrameInterest}, payload...))
		})
		s.peers.interest.Log = c.Log
		c.Interest = s.peers.interest
	}
	if m, ok := c.Cache.(*store.Memory); ok {
		s.gauges["cache_bytes"] = gauge{"Records in the cache of this node.", func() int { return int(m.Bytes()) }}
	}
	cluster := &topic.Cluster{Bus: c.Bus, Interest: c.Interest, Alone: alone, Log: c.Log}
	cache, storage := s.stores.observe(c.Cache, c.Storage)
	s.store = store.NewTiered(store.TieredConfig{
		Cache: cache, Storage: storage, Excluded: hasPrefix(c.Store.ExclusionPrefixes),
		CacheTimeout: c.Store.CacheTimeout, StorageTimeout: c.Store.StorageTimeout,
	})
	if c.Features.Event {
		h := event.New(cluster, c.Listen)
		r.topics[message.Event] = h
		s.gauges["event_names"] = gauge{"Events that are subscribed to on this node.", h.Names}
		s.gauges["event_subscriptions"] = gauge{"Subscriptions to events.", h.Subscriptions}
		s.gauges["event_listeners"] = gauge{"Patterns of events that clients listen to.", h.Listeners}
		s.gauges["event_provided"] = gauge{"Events that a listener of this node provides.", h.Provided}
		s.closers = append(s.closers, h.Close)
	}
	if c.Features.Record {
		o := c.Record
		o.Listen = c.Listen
		h := record.New(ctx, cluster, s.store, o)
		r.topics[message.Record] = h
		s.gauges["record_names"] = gauge{"Records that are subscribed to on this node.", h.Names}
		s.gauges["record_subscriptions"] = gauge{"Subscriptions to records.", h.Subscriptions}
		s.gauges["record_listeners"] = gauge{"Patterns of records that clients listen to.", h.Listeners}
		s.gauges["record_provided"] = gauge{"Records that a listener of this node provides.", h.Provided}
		s.closers = append(s.closers, h.Close)
	}
	if c.Features.RPC {
		h := rpc.New(cluster, c.RPC)
		r.topics[message.RPC] = h
		s.gauges["rpc_calls"] = gauge{"Calls under way.", h.Calls}
		s.gauges["rpc_providers"] = gauge{"Procedures that clients of this node provide.", h.Providers}
		s.closers = append(s.closers, h.Close)
	}
	if c.Features.Presence {
		h := presence.New(cluster)
		r.topics[message.Presence] = h
		s.gauges["users"] = gauge{"Users that are present on this node.", h.Users}
		r.opened = h.Opened
	}
}

func hasPrefix(prefixes []string) func(name string) bool {
	return func(name string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	}
}

// routes finds who serves a request at the port of the clients.
func (s *Server) routes() func(r *http.Request) http.Handler {
	c := &s.config
	paths := make(map[string]http.Handler)
	ws := func(codec wire.ID, e *Endpoint) {
		if e == nil {
			return
		}
		paths[e.Path] = &endpoint.WebSocket{
			Sessions: s.sessions, Codec: codec, Limits: &e.Limits,
			MaxMessageSize: e.MaxMessageSize, Origins: c.Origins, Loops: s.loops, QuickLogins: auth.Quick(c.Auth),
		}
	}
	ws(wire.TextG2, c.Text)
	ws(wire.JSON, c.JSON)
	ws(wire.Protobuf, c.Binary)
	if c.Text != nil && c.Binary != nil && c.Text.Path == c.Binary.Path {
		shared := paths[c.Binary.Path].(*endpoint.WebSocket)
		shared.Text, shared.TextGrace = &c.Text.Limits, textGrace
	}
	var engine *endpoint.EngineIO
	if e := c.EngineIO; e != nil {
		engine = &endpoint.EngineIO{
			Sessions: s.sessions, Limits: &e.Limits, MaxMessageSize: e.MaxMessageSize,
			MaxSockets: e.MaxSockets, PingInterval: e.PingInterval, PingTimeout: e.PingTimeout, Origins: c.Origins, Loops: s.loops,
		}
	}
	return func(r *http.Request) http.Handler {
		switch h := paths[r.URL.Path]; {
		case isBelow(r.URL.Path, c.HealthPath):
			return http.HandlerFunc(healthy)
		case engine != nil && isEngineIO(r, c.EngineIO.Path):
			return engine
		case h != nil:
			return h
		}
		return http.HandlerFunc(notFound)
	}
}

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) { s.route(r).ServeHTTP(w, r) }

// isBelow reports that path is root, or below it.
func isBelow(path, root string) bool {
	rest, found := strings.CutPrefix(path, root)
	return found && (rest == "" || rest[0] == '/')
}

// healthy answers as the original does, and to HEAD as well.
func healthy(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "Unsupported method.", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusOK)
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "Endpoint not found.", http.StatusNotFound)
}

// door has the plain connections of clients stay clear of net/http where that can be.
func (s *Server) door(l net.Listener) (net.Listener, error) {
	tcp, ok := l.(*net.TCPListener)
	if !ok || s.config.TLS != nil || !auth.Quick(s.config.Auth) {
		return l, nil
	}
	return endpoint.NewDoor(tcp, endpoint.DoorConfig{
		Loops: s.loops, HeaderTimeout: headerTimeout, Log: s.config.Log,
		Find: func(r *http.Request) *endpoint.WebSocket {
			e, _ := s.route(r).(*endpoint.WebSocket)
			return e
		},
		Enter: s.httpConns.enter, Leave: s.httpConns.leave,
	})
}

// isEngineIO tells the clients of deepstream 1: they add a slash to the path and
// say which protocol of engine.io they speak.
func isEngineIO(r *http.Request, path string) bool {
	return r.URL.Path == path+"/" || r.URL.Path == path && r.URL.Query().Has("EIO")
}

// headerTimeout is how long the head of a request may take.
const headerTimeout = 10 * time.Second

// textGrace is how long a client on a path of both protocols may be silent before
// it is taken for one that waits for the server to speak.
const textGrace = 250 * time.Millisecond

// Listen opens the ports, so that Addr is known before Run.
func (s *Server) Listen() error {
	var err error
	if s.listener, err = s.listen(); err != nil {
		return fmt.Errorf("listen for clients: %w", err)
	}
	if s.config.AdminListener != nil {
		s.admin = s.config.AdminListener
		return nil
	}
	if s.config.AdminAddr == "" {
		return nil
	}
	if s.admin, err = net.Listen("tcp", s.config.AdminAddr); err != nil {
		return errors.Join(fmt.Errorf("listen for administration: %w", err), s.listener.Close())
	}
	return nil
}

func (s *Server) listen() (net.Listener, error) {
	if s.config.Listener != nil {
		return s.config.Listener, nil
	}
	l, err := net.Listen("tcp", s.config.Addr)
	if err != nil {
		return nil, err
	}
	return s.door(l)
}

// Addr is where clients connect, once Listen returned.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends, then tells the clients, sends what waits for them,
// all within Config.DrainTimeout, writes what waits for the storage, and returns.
// What takes longer than DrainTimeout and Overtime together is given up: the error
// is ErrStuck, and the calls that hang are left to the end of the process.
func (s *Server) Run(ctx context.Context) error {
	defer s.stop()
	inner, cancel := context.WithCancel(context.Background())
	defer cancel()
	g, inner := newParts(inner)
	g.run("writing to clients", func() error { return s.flusher.Run(inner) })
	if s.config.Listener == nil {
		g.run("messages of clients", func() error { return s.loops.Run(inner, runtime.GOMAXPROCS(0)) })
	}
	g.run("heartbeats", func() error { return s.sessions.Run(inner) })
	g.run("writing to the storage", func() error { return s.store.Run(inner) })
	if s.peers.interest != nil {
		g.run("interest of nodes", func() error { return s.peers.interest.Run(inner) })
	}
	g.run("bus", func() error { return s.config.Bus.Run(inner, s.peers) })

	said := log.New(httpLog{s.config.Log}, "", 0)
	clients := &http.Server{
		Handler: endpoint.BoundBody(http.HandlerFunc(s.serveHTTP), endpoint.BodyTimeout), TLSConfig: s.config.TLS,
		ReadHeaderTimeout: headerTimeout, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ConnState: s.httpConns.state, ErrorLog: said,
	}
	g.run("listener for clients", func() error { return serve(clients, s.listener, s.config.TLS != nil) })
	var admin *http.Server
	if s.admin != nil {
		admin = &http.Server{Handler: s.adminRoutes(), ReadTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: said}
		g.run("listener for administration", func() error { return serve(admin, s.admin, false) })
	}
	s.ready.Store(true)
	s.config.Log.Info("node is ready", "name", s.config.Name, "addr", s.listener.Addr().String())

	select {
	case <-ctx.Done():
	case <-inner.Done():
	}
	late := time.NewTimer(s.config.DrainTimeout + s.config.Overtime)
	defer late.Stop()
	done := make(chan error, 1)
	go func() {
		_ = g.do("goodbye to clients", func() error { s.drain(clients); return nil })
		cancel()
		if admin != nil {
			_ = admin.Close() // nothing of ours is lost by it
		}
		done <- errors.Join(g.group.Wait(), g.do("closing the stores", s.store.Close))
	}()
	select {
	case err := <-done:
		return err
	case <-late.C:
		return s.giveUp(g)
	}
}

// drain ends the service to the clients.
func (s *Server) drain(clients *http.Server) {
	s.ready.Store(false)
	ctx, cancel := context.WithTimeout(context.Background(), s.config.DrainTimeout)
	defer cancel()
	s.config.Log.Info("node is stopping", "connections", s.sessions.Len())
	if s.config.RedirectURL != "" {
		s.redirect(ctx)
	}
	_ = s.listener.Close() // the error would be that it is closed
	if err := s.sessions.Stop(ctx, session.CloseGoingAway, stopReason); err != nil {
		s.config.Log.Warn("clients were cut off", "err", err)
	}
	_ = clients.Shutdown(ctx) // only requests that hang are left
	_ = clients.Close()
	for _, c := range s.closers {
		c()
	}
}

const stopReason = "server is stopping"

// redirectGrace is how long clients that were closed may take to come back and be
// sent elsewhere. They do so at once.
const redirectGrace = 2 * time.Second

// redirect sends the clients elsewhere.
func (s *Server) redirect(ctx context.Context) {
	to := &message.Message{Topic: message.Connection, Action: message.ConnectionRedirect, URL: s.config.RedirectURL}
	if s.sessions.Redirect(ctx, to, session.CloseGoingAway, stopReason) != nil {
		return // Stop finds out as well
	}
	select {
	case <-ctx.Done():
	case <-time.After(redirectGrace):
	}
}

func serve(h *http.Server, l net.Listener, secure bool) error {
	var err error
	if secure {
		err = h.ServeTLS(l, "", "")
	} else {
		err = h.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", l.Addr(), err)
}
