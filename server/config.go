package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/dsproxy/dsproxy/server/auth"
	"github.com/dsproxy/dsproxy/server/bus"
	"github.com/dsproxy/dsproxy/server/endpoint"
	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/store"
	"github.com/dsproxy/dsproxy/server/topic/listen"
	"github.com/dsproxy/dsproxy/server/topic/record"
	"github.com/dsproxy/dsproxy/server/topic/rpc"
)

// Config is everything a node is made of. Package config reads it from the
// original's files.
type Config struct {
	// Name tells nodes of a cluster apart.
	Name string
	Log  *slog.Logger

	// Addr is where clients connect, AdminAddr where health, readiness and
	// metrics are; an empty AdminAddr leaves them out.
	Addr      string
	AdminAddr string
	// AdminListener, if it is set, is in place of AdminAddr. The node closes it.
	AdminListener net.Listener
	// Listener, if it is set, is where clients connect in place of Addr. Its
	// connections need not be sockets; each is read by a goroutine of its own. The
	// node closes it.
	Listener net.Listener
	TLS      *tls.Config // nil for plain TCP
	// HealthPath is answered 200 on Addr.
	HealthPath string
	Origins    endpoint.Origins
	// MaxConnections bounds the clients of the node, whatever their protocol; 0
	// means no bound.
	MaxConnections int

	// A nil endpoint is off.
	Binary   *Endpoint
	Text     *Endpoint
	JSON     *Endpoint
	EngineIO *EngineIO

	Auth auth.Method

	// Features are the topics that clients may use.
	Features Features
	Record   record.Options // Listen is taken from below
	RPC      rpc.Options
	Listen   listen.Options

	// Cache and Storage are closed by the node when it stops.
	Cache   store.Cache
	Storage store.Storage // nil for none
	Store   StoreOptions

	// Bus joins the nodes of a cluster; nil is a node on its own. Interest may be
	// nil, then the nodes tell each other by the bus what they want.
	Bus      bus.Bus
	Interest interest.Registry

	// DrainTimeout bounds how long a node that stops waits for its clients, and
	// Overtime what it gets beyond that to write what the storage has not got yet.
	DrainTimeout time.Duration
	Overtime     time.Duration
	// RedirectURL, when set, is where clients are sent by a node that stops; without
	// a path to the path that they use. Its port stays open for a moment longer.
	RedirectURL string
}

// Features switches topics on.
type Features struct {
	Record, Event, RPC, Presence bool
}

// StoreOptions are about reading and writing records.
type StoreOptions struct {
	// ExclusionPrefixes are names that the storage does not get.
	ExclusionPrefixes []string
	CacheTimeout      time.Duration
	StorageTimeout    time.Duration
}

// Endpoint is a WebSocket endpoint.
type Endpoint struct {
	Path string
	// MaxMessageSize bounds one frame of a client, in bytes.
	MaxMessageSize int64
	Limits         session.Limits
}

// EngineIO is the endpoint of deepstream 1.
type EngineIO struct {
	// Path has a slash added to it by the clients.
	Path           string
	MaxMessageSize int64
	// MaxSockets bounds the sockets: one that polls holds memory without holding
	// a connection. 0 means no bound.
	MaxSockets   int
	PingInterval time.Duration
	PingTimeout  time.Duration
	Limits       session.Limits
}

// DefaultLimits are the original's, with a bound on the outbox that it lacks.
func DefaultLimits() session.Limits {
	return session.Limits{
		MaxAuthAttempts:        3,
		UnauthenticatedTimeout: 3 * time.Minute,
		Heartbeat:              30 * time.Second,
		OutboxBytes:            16 << 20,
	}
}

// The defaults that the original does not have.
const (
	defaultMaxConnections = 250_000
	defaultMaxSockets     = 50_000
)

const defaultMaxMessageSize = 1 << 20

// Defaults is a node that lets everyone in on port 6020.
func Defaults() Config {
	at := func(path string) *Endpoint {
		return &Endpoint{Path: path, MaxMessageSize: defaultMaxMessageSize, Limits: DefaultLimits()}
	}
	return Config{
		Log:        slog.Default(),
		Addr:       ":6020",
		AdminAddr:  "127.0.0.1:9120",
		HealthPath: "/health-check",
		Origins:    endpoint.Origins{All: true},

		MaxConnections: defaultMaxConnections,

		Binary: at("/deepstream"),
		Text:   at("/deepstream-v3"),
		JSON:   at("/deepstream-json"),
		EngineIO: &EngineIO{
			Path: "/deepstream", MaxMessageSize: defaultMaxMessageSize, MaxSockets: defaultMaxSockets,
			PingInterval: 25 * time.Second, PingTimeout: time.Minute, Limits: DefaultLimits(),
		},
		Auth:     auth.Chain{auth.Open{}},
		Cache:    store.NewMemory(0),
		Store:    StoreOptions{CacheTimeout: time.Second, StorageTimeout: 2 * time.Second},
		Record:   record.Options{MaxSize: 16 << 20},
		RPC:      rpc.Options{AckTimeout: time.Second, ResponseTimeout: 10 * time.Second},
		Features: Features{Record: true, Event: true, RPC: true, Presence: true},
		Listen: listen.Options{
			Shuffle: true, ResponseTimeout: 500 * time.Millisecond,
			RematchInterval: 30 * time.Second, MatchCooldown: 10 * time.Second,
		},
		DrainTimeout: 10 * time.Second, Overtime: 10 * time.Second,
	}
}

// Validate reports the first thing that cannot be.
func (c *Config) Validate() error {
	switch {
	case c.Log == nil:
		return errors.New("configuration has no logger")
	case c.Auth == nil:
		return errors.New("configuration has no authentication")
	case c.DrainTimeout <= 0:
		return errors.New("drain timeout must be positive")
	case c.Overtime <= 0:
		return errors.New("overtime must be positive")
	case c.Cache == nil:
		return errors.New("configuration has no cache")
	case c.Bus == nil && c.Interest != nil:
		return errors.New("interest needs a bus")
	case c.Bus != nil && c.Name == "":
		return errors.New("a node of a cluster needs a name")
	case c.RPC.AckTimeout <= 0 || c.RPC.ResponseTimeout <= 0:
		return errors.New("rpc timeouts must be positive")
	case c.Listen.ResponseTimeout <= 0:
		return errors.New("listen response timeout must be positive")
	}
	for _, e := range []*Endpoint{c.Binary, c.Text, c.JSON} {
		if e != nil && (e.Path == "" || e.Path[0] != '/') {
			return fmt.Errorf("endpoint path %q must begin with a slash", e.Path)
		}
	}
	return nil
}
