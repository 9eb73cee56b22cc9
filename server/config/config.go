// Package config reads the configuration files of deepstream.io into a
// server.Config: those of its 10.x line (config.yml with its sections) and the
// flat keys of its 1.x line, as YAML or JSON.
//
// Load parses the file (source.go) and walks it section by section (section.go):
// every key that is read is known, every other key is an error with its line and,
// where that can be told, the key that would be right. What the file says is put
// over server.Defaults. Load opens no connection and no database; Open does.
//
// The keys of a file fall into four kinds:
//   - those that are obeyed;
//   - those that mean nothing to this node (showLogo, libDir, intervals of the
//     original's cluster protocol): accepted in silence;
//   - those whose effect a user would miss, though nobody is endangered by its
//     absence (the HTTP API, MQTT, monitoring): accepted with a
//     Warning;
//   - those without which the node would be less safe or would lose data
//     (permission rules, storages, auth types and plugins that it does not have):
//     errors.
//
// Keys of our own are admin, drainTimeout, maxConnections and redirectUrl at the
// top, the endpoint type engineio with its options enabled, pingInterval,
// pingTimeout and maxSockets, outboxBytes and messagesPerSecond of the endpoints,
// record.maxSize, the section cluster, cache.options maxBytes, prefix, hashTag and
// tls, and the storage bbolt.
package config

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dsproxy/dsproxy/server"
	"github.com/dsproxy/dsproxy/server/auth"
	"github.com/dsproxy/dsproxy/server/bus"
	"github.com/dsproxy/dsproxy/server/socket"
	"github.com/dsproxy/dsproxy/server/store"
)

// Options say how a file is read.
type Options struct {
	// Getenv looks up ${NAME}; it is os.Getenv but in tests.
	Getenv func(name string) string
	// DisableAuth and DisablePermissions leave those sections unread and let
	// everyone in.
	DisableAuth        bool
	DisablePermissions bool
}

// Settings are a configuration in the node's terms.
type Settings struct {
	// File is where they come from; empty for the defaults alone.
	File string
	// Node lacks what Open adds: Log, Cache and Storage.
	Node server.Config
	Log  LogSettings
	// AdminGiven says that the file chose Node.AdminAddr.
	AdminGiven bool
	// CacheRedis is nil for a cache in memory, which CacheBytes bounds.
	CacheRedis *RedisSettings
	CacheBytes int64
	// StorageFile is a bbolt file; empty for no storage.
	StorageFile string
	// Bus is the Redis by which nodes are to be joined, nil for a single node.
	Bus *RedisSettings
	// Cluster is about the gossip of nodes and proxies.
	Cluster ClusterSettings
	// Warnings tell what the file asks for and does not get.
	Warnings []Warning
}

// LogSettings are about the log.
type LogSettings struct {
	Level slog.Level
	JSON  bool
}

// Levels above those of slog.
const (
	LevelFatal = slog.LevelError + 4
	LevelOff   = slog.Level(1000)
)

// RedisSettings are a Redis and the layout of what is in it.
type RedisSettings struct {
	Client redis.UniversalOptions
	Layout store.RedisConfig
	// PrefixGiven says that Layout.Prefix was chosen, be it empty, which is the layout
	// of the original. See ClusterPrefix for what begins the keys otherwise.
	PrefixGiven bool
}

// Warning is something that the file asks for and does not get.
type Warning struct {
	File string
	Line int
	Text string
}

func (w Warning) String() string { return fmt.Sprintf("%s:%d: %s", w.File, w.Line, w.Text) }

// Default returns the settings of a node without a configuration file.
func Default() *Settings {
	s := &Settings{
		Node: server.Defaults(), Log: LogSettings{Level: slog.LevelInfo},
		Cluster: ClusterSettings{Name: DefaultCluster, Weight: 1},
	}
	s.Node.Name = newName()
	s.Node.Addr = joinAddr(defaultHost, defaultPort)
	s.Node.Cache = nil
	return s
}

// newName makes a name as the original does: the time and a random number, both
// in base 36.
func newName() string {
	return strconv.FormatInt(time.Now().UnixMilli(), 36) + "-" + strconv.FormatUint(rand.Uint64()>>24, 36)
}

// Load reads a file. The error of a file with faults is an Errors.
func Load(path string, o Options) (*Settings, error) {
	r := &reader{dir: filepath.Dir(path), getenv: o.Getenv, options: o}
	root, err := r.open(path)
	if err != nil {
		return nil, err
	}
	s := Default()
	s.File = path
	readTop(r.section(value{file: path, node: root}, ""), s)
	if len(r.errs) == 0 {
		r.check(s, path)
	}
	if len(r.errs) > 0 {
		return nil, r.errs.sorted()
	}
	slices.SortStableFunc(r.warnings, func(a, b Warning) int { return cmp.Compare(a.Line, b.Line) })
	s.Warnings = r.warnings
	return s, nil
}

// LoadHash reads how a file says that passwords are hashed, for files whose users
// have none yet; nil if its users' passwords are in clear text.
func LoadHash(path string, getenv func(name string) string) (*auth.Hash, error) {
	r := &reader{dir: filepath.Dir(path), getenv: getenv}
	root, err := r.open(path)
	if err != nil {
		return nil, err
	}
	top := r.section(value{file: path, node: root}, "")
	var hash *auth.Hash
	r.eachAuth(top, func(p *plugin, _ bool) {
		if hash == nil && p.is("auth", "file") {
			hash = readHash(p.options)
		}
	})
	if len(r.errs) > 0 {
		return nil, r.errs.sorted()
	}
	return hash, nil
}

// check has the node itself look at what came out; what it reports has no line.
func (r *reader) check(s *Settings, path string) {
	c := s.Node
	c.Cache = store.NewMemory(0)
	if err := c.Validate(); err != nil {
		r.errs = append(r.errs, Error{File: path, Text: err.Error()})
	}
}

// Validate reports what cannot begin the keys of the records in Redis.
func (s *Settings) Validate() error {
	if s.CacheRedis == nil {
		return nil
	}
	if l := s.layout(); l.HashTag && strings.ContainsAny(l.Prefix, "{}") {
		return fmt.Errorf("keys in a Redis Cluster cannot begin with %q: braces are for their hash tags", l.Prefix)
	}
	return nil
}

// Open connects what the settings name and returns a configuration that a node
// can be made of; the node closes the stores. A Redis that does not answer is
// noticed later, by the first that needs it.
func (s *Settings) Open(log *slog.Logger) (server.Config, error) {
	if err := s.Validate(); err != nil {
		return server.Config{}, err
	}
	c := s.Node
	c.Log = log
	if s.StorageFile != "" {
		b, err := store.OpenBolt(s.StorageFile)
		if err != nil {
			return server.Config{}, err
		}
		c.Storage = b
	}
	if s.CacheRedis != nil {
		c.Cache = store.NewRedis(newClient(s.CacheRedis), s.layout())
	} else {
		c.Cache = store.NewMemory(s.CacheBytes)
	}
	if s.Bus != nil {
		c.Bus = newRedisBus(s.Bus, bus.RedisConfig{Cluster: s.Cluster.Name, Node: c.Name, Log: log})
		if s.CacheRedis == nil {
			log.Warn("nodes are joined, but each has a cache of its own: they do not share records; let cache be redis as well")
		}
	}
	return c, nil
}

// newClient makes a client that gives up when its caller does: a Redis that hangs is
// not to hold a write longer than the cache's time-out.
func newClient(r *RedisSettings) redis.UniversalClient {
	o := r.Client
	o.ContextTimeoutEnabled = true
	if o.TLSConfig == nil {
		o.Dialer = dialRedis
	}
	if !o.IsClusterMode {
		return redis.NewUniversalClient(&o)
	}
	c := o.Cluster()
	c.ClusterStateReloadInterval = clusterReload
	return redis.NewClusterClient(c)
}

// dialRedis connects as go-redis does by itself. Nothing of what a node asks a Redis waits
// in a system call, and for each event on the bus it is what the scheduler would do that
// costs most (package socket).
func dialRedis(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second, KeepAlive: 5 * time.Minute}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return socket.Quick(c), nil
}

// clusterReload is how old what is known of a Redis Cluster may become, as long as
// anything is asked of it: when a server has died, nothing else tells who has its place.
const clusterReload = 2 * time.Second

// redisBus is a bus that closes its client.
type redisBus struct {
	*bus.Redis
	client redis.UniversalClient
}

func newRedisBus(r *RedisSettings, c bus.RedisConfig) *redisBus {
	client := newClient(r)
	return &redisBus{bus.NewRedis(client, c), client}
}

// Run implements bus.Bus.
func (b *redisBus) Run(ctx context.Context, r bus.Receiver) error {
	return errors.Join(b.Redis.Run(ctx, r), b.client.Close())
}
