package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/dsproxy/dsproxy/backend/gossip"
)

// Config is everything an operator can set. Its YAML names are those of the
// configuration file; cmd/dsproxy binds the flags and the DSPROXY_* environment
// to the same fields. Durations are written 10s, 2m, 1h; sizes are bytes.
type Config struct {
	Listen   []Listener `yaml:"listen"`
	Admin    string     `yaml:"admin"`
	Backends []string   `yaml:"backends"`
	Gossip   Gossip     `yaml:"gossip"`
	Redis    string     `yaml:"redis"`
	// RedisPrefix starts every key of the table; two fleets on one Redis need two prefixes.
	RedisPrefix string `yaml:"redis_prefix"`
	RedisCA     string `yaml:"redis_ca"`
	// RedisTimeout is the longest a request waits for one operation of the table.
	RedisTimeout time.Duration `yaml:"redis_timeout"`
	Trust        []Network     `yaml:"trust"`
	Affinity     Affinity      `yaml:"affinity"`
	Upstream     Upstream      `yaml:"upstream"`
	Health       Health        `yaml:"health"`
	Timeouts     Timeouts      `yaml:"timeouts"`
	Limits       Limits        `yaml:"limits"`
	Drain        Drain         `yaml:"drain"`
	Log          Log           `yaml:"log"`
}

// Listener is one address that clients connect to.
type Listener struct {
	Address string `yaml:"address"`
	// TLS holds the certificate files; a listener without them speaks plain HTTP.
	TLS *TLSFiles `yaml:"tls,omitempty"`
	// ProxyProtocol expects a PROXY protocol header (v1 or v2) in front of each
	// connection that comes from a trusted network, and refuses it from others.
	ProxyProtocol bool `yaml:"proxy_protocol,omitempty"`
	// RedirectHTTPS answers every request with a 308 to the https form of its URL.
	RedirectHTTPS bool `yaml:"redirect_https,omitempty"`
}

// TLSFiles names a PEM certificate chain and its key. They are read again when they change.
type TLSFiles struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Affinity says how the backend of a session is found.
type Affinity struct {
	// Enabled false sends every request to the least loaded backend; for comparison and debugging.
	Enabled bool `yaml:"enabled"`
	// Builtin names the built-in rules to use; empty means all of them.
	Builtin []string `yaml:"builtin,omitempty"`
	// Cookie is for requests that no rule claims.
	Cookie Cookie `yaml:"cookie"`
	// Rules are the operator's own, tried before the built-in ones, in the form
	// of affinity/rules.yaml; Fallback are more of them, tried after those.
	Rules    RawYAML `yaml:"rules,omitempty"`
	Fallback RawYAML `yaml:"fallback,omitempty"`
	// MaxPins bounds the embedded table and MaxLocalPins the local front of a shared one.
	MaxPins      int `yaml:"max_pins"`
	MaxLocalPins int `yaml:"max_local_pins"`
}

// Cookie configures the signed affinity cookie. It is off while Name is empty.
type Cookie struct {
	Name string `yaml:"name"`
	// SecretFile holds at least 32 bytes known to all replicas; without it the
	// replicas share a random secret through Redis, or have one each without Redis.
	SecretFile string `yaml:"secret_file,omitempty"`
	SameSite   string `yaml:"same_site"`
}

// Upstream configures the connections to the backends.
type Upstream struct {
	// CA is a PEM file of the authorities that https:// backends are verified against; empty means the system's.
	CA string `yaml:"ca,omitempty"`
	// MaxIdle bounds the idle connections kept to one backend.
	MaxIdle int `yaml:"max_idle"`
	// IdleTimeout must be below the backend's own keep-alive timeout (5 s in Node),
	// or a request may be sent into a connection that is being closed.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// KeepAlive is the TCP keep-alive period of tunnels; 0 leaves it off.
	KeepAlive time.Duration `yaml:"keepalive"`
	// MaxSilence is how long a backend's host may leave bytes unacknowledged, or
	// the backend a full window unread, before the connection is closed (Linux);
	// 0 leaves it to the kernel.
	MaxSilence time.Duration `yaml:"max_silence"`
}

// Health configures active checks and passive ejection, see backend.Config.
type Health struct {
	// Path is requested with GET; empty means that a TCP connect is enough.
	Path string `yaml:"path,omitempty"`
	// Host is the Host header of checks; empty means the backend's own name.
	Host     string        `yaml:"host,omitempty"`
	Status   string        `yaml:"status,omitempty"`
	Interval time.Duration `yaml:"interval"`
	Timeout  time.Duration `yaml:"timeout"`
	Rise     int           `yaml:"rise"`
	Fall     int           `yaml:"fall"`
	// EjectAfter consecutive failures of real traffic take a backend out for
	// EjectFor, doubled each time up to EjectMax; never more than EjectPercent of all.
	EjectAfter   int           `yaml:"eject_after"`
	EjectFor     time.Duration `yaml:"eject_for"`
	EjectMax     time.Duration `yaml:"eject_max"`
	EjectPercent int           `yaml:"eject_percent"`
	SlowStart    time.Duration `yaml:"slow_start"`
	DNSRefresh   time.Duration `yaml:"dns_refresh"`
}

// Timeouts bound every wait. 0 is refused: a wait without an end is a leak.
type Timeouts struct {
	Header   time.Duration `yaml:"header"`   // for a whole request head
	Idle     time.Duration `yaml:"idle"`     // between requests, inside a request body, and for a client that takes no bytes
	Dial     time.Duration `yaml:"dial"`     // for a connection to a backend, TLS included
	Response time.Duration `yaml:"response"` // for a response head; a long poll gets at least LongPoll
	LongPoll time.Duration `yaml:"long_poll"`
	Upgrade  time.Duration `yaml:"upgrade"` // for the answer to an upgrade
	// TunnelIdle closes a tunnel in which no byte moved either way.
	TunnelIdle time.Duration `yaml:"tunnel_idle"`
	// HalfClose is how long an answer may still take to start or go on after the client has closed its sending side.
	HalfClose time.Duration `yaml:"half_close"`
}

// Limits bound what clients can grow.
type Limits struct {
	HeadBytes             int   `yaml:"head_bytes"`
	HeadLines             int   `yaml:"head_lines"`
	BodyBytes             int64 `yaml:"body_bytes"` // of one request; 0 means no limit
	Connections           int   `yaml:"connections"`
	ConnectionsPerAddress int   `yaml:"connections_per_address"` // 0 means no limit; behind an ALB all clients share a few addresses
	RequestsPerBackend    int   `yaml:"requests_per_backend"`
	StreamsPerConnection  int   `yaml:"streams_per_connection"` // HTTP/2
}

// Drain paces a stop.
type Drain struct {
	// Delay is the time between failing readiness and closing the listeners, so that balancers look elsewhere first.
	Delay time.Duration `yaml:"delay"`
	// Timeout is how long requests and tunnels may go on after that.
	Timeout time.Duration `yaml:"timeout"`
}

// Log configures what is written to standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // text, json
	Access bool   `yaml:"access"`
}

// Defaults returns the configuration of a proxy that was told nothing but its backends.
func Defaults() Config {
	return Config{
		Listen:      []Listener{{Address: ":8080"}},
		Admin:       "127.0.0.1:9180",
		Gossip:      Gossip{Cluster: gossip.DefaultCluster},
		RedisPrefix: "dsproxy:pin:", RedisTimeout: 50 * time.Millisecond,
		Affinity: Affinity{
			Enabled:      true,
			Cookie:       Cookie{SameSite: "lax"},
			MaxPins:      1_000_000,
			MaxLocalPins: 200_000,
		},
		Upstream: Upstream{MaxIdle: 256, IdleTimeout: 4 * time.Second, MaxSilence: 30 * time.Second},
		Health: Health{
			Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3,
			EjectAfter: 5, EjectFor: 10 * time.Second, EjectMax: 5 * time.Minute, EjectPercent: 50, SlowStart: 10 * time.Second,
			DNSRefresh: 10 * time.Second,
		},
		Timeouts: Timeouts{
			Header: 10 * time.Second, Idle: 75 * time.Second, Dial: 2 * time.Second,
			Response: 60 * time.Second, LongPoll: 130 * time.Second, Upgrade: 10 * time.Second,
			TunnelIdle: time.Hour, HalfClose: 5 * time.Second,
		},
		Limits: Limits{
			HeadBytes: 32 << 10, HeadLines: 100, BodyBytes: 1 << 30, Connections: 200_000,
			RequestsPerBackend: 10_000, StreamsPerConnection: 250,
		},
		Drain: Drain{Delay: 5 * time.Second, Timeout: 30 * time.Second},
		Log:   Log{Level: "info", Format: "text"},
	}
}

// Validate reports every setting that cannot work, each by its name in the file.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if len(c.Listen) == 0 {
		bad("listen: at least one address is needed, such as :8080")
	}
	for i, l := range c.Listen {
		if !isListenAddress(l.Address) {
			bad("listen[%d]: %q is not an address; write host:port or :port", i, l.Address)
		}
		if l.TLS != nil && (l.TLS.Cert == "" || l.TLS.Key == "") {
			bad("listen[%d].tls: both cert and key are needed", i)
		}
		if l.RedirectHTTPS && l.TLS != nil {
			bad("listen[%d]: redirect_https makes no sense on a TLS listener", i)
		}
		if l.ProxyProtocol && len(c.Trust) == 0 {
			bad("listen[%d].proxy_protocol: only trusted networks may send it; name them with trust", i)
		}
	}
	if c.Admin != "" && !isListenAddress(c.Admin) {
		bad("admin: %q is not an address; write host:port", c.Admin)
	}
	if err := c.Gossip.validate(); err != nil {
		errs = append(errs, err)
	}
	switch strings.ToLower(c.Affinity.Cookie.SameSite) {
	case "lax", "strict", "none":
	default:
		bad("affinity.cookie.same_site: %q is unknown; use lax, strict or none", c.Affinity.Cookie.SameSite)
	}
	for _, t := range []struct {
		name string
		d    time.Duration
	}{
		{"timeouts.header", c.Timeouts.Header}, {"timeouts.idle", c.Timeouts.Idle},
		{"timeouts.dial", c.Timeouts.Dial}, {"timeouts.response", c.Timeouts.Response},
		{"timeouts.long_poll", c.Timeouts.LongPoll}, {"timeouts.upgrade", c.Timeouts.Upgrade},
		{"timeouts.tunnel_idle", c.Timeouts.TunnelIdle}, {"timeouts.half_close", c.Timeouts.HalfClose},
		{"upstream.idle_timeout", c.Upstream.IdleTimeout}, {"redis_timeout", c.RedisTimeout},
	} {
		if t.d <= 0 {
			bad("%s: %v is not a time-out; use a positive duration such as 10s", t.name, t.d)
		}
	}
	for _, l := range []struct {
		name   string
		n, min int
	}{
		{"limits.head_bytes", c.Limits.HeadBytes, 1024}, {"limits.head_lines", c.Limits.HeadLines, 1},
		{"limits.connections", c.Limits.Connections, 1},
		{"limits.requests_per_backend", c.Limits.RequestsPerBackend, 1},
		{"limits.streams_per_connection", c.Limits.StreamsPerConnection, 1},
		{"affinity.max_pins", c.Affinity.MaxPins, 1}, {"affinity.max_local_pins", c.Affinity.MaxLocalPins, 1},
		{"limits.connections_per_address", c.Limits.ConnectionsPerAddress, 0},
		{"upstream.max_idle", c.Upstream.MaxIdle, 0},
	} {
		if l.n < l.min {
			bad("%s: %d is too small; use %d or more", l.name, l.n, l.min)
		}
	}
	if c.Limits.BodyBytes < 0 {
		bad("limits.body_bytes: %d is negative; 0 turns it off", c.Limits.BodyBytes)
	}
	for _, t := range []struct {
		name string
		d    time.Duration
	}{
		{"drain.delay", c.Drain.Delay}, {"drain.timeout", c.Drain.Timeout},
		{"upstream.keepalive", c.Upstream.KeepAlive}, {"upstream.max_silence", c.Upstream.MaxSilence},
	} {
		if t.d < 0 {
			bad("%s: %v is negative; use 0 or more", t.name, t.d)
		}
	}
	if _, err := c.Log.level(); err != nil {
		bad("log.level: %w", err)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		bad("log.format: %q is unknown; use text or json", c.Log.Format)
	}
	return errors.Join(errs...)
}

// isListenAddress reports whether s is host:port, where the port may be the name of a
// service.
func isListenAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil || port == "" {
		return false
	}
	_, err = net.LookupPort("tcp", port)
	return err == nil
}

func (l Log) level() (slog.Level, error) {
	switch l.Level {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("%q is unknown; use debug, info, warn or error", l.Level)
}

// Network is a CIDR prefix; a bare address stands for itself alone.
type Network struct{ netip.Prefix }

// ParseNetwork reads 10.0.0.0/8, fd00::/8 or a single address.
func ParseNetwork(s string) (Network, error) {
	s = strings.TrimSpace(s)
	if p, err := netip.ParsePrefix(s); err == nil {
		return Network{p.Masked()}, nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap()
		return Network{netip.PrefixFrom(a, a.BitLen())}, nil
	}
	return Network{}, fmt.Errorf("%q is not a network; write 10.0.0.0/8 or a single address", s)
}

// UnmarshalText makes a Network readable from YAML.
func (n *Network) UnmarshalText(b []byte) (err error) {
	if *n, err = ParseNetwork(string(b)); err != nil {
		return fmt.Errorf("trust: %w", err)
	}
	return nil
}

// MarshalText is the reverse of UnmarshalText.
func (n Network) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// Check reports whether New would accept the configuration, as far as that can
// be told without opening anything.
func Check(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if _, err := sourcesOf(c, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	if _, err := compileRules(c.Affinity); err != nil {
		return err
	}
	if b := poolConfig(c); b.Validate() != nil {
		return b.Validate()
	}
	if c.Redis != "" {
		t, err := newTable(c, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		closeTable(t)
	}
	if err := checkCookie(c.Affinity.Cookie); err != nil {
		return err
	}
	for _, l := range c.Listen {
		if l.TLS != nil {
			if _, err := newCertificate(*l.TLS, slog.New(slog.DiscardHandler)); err != nil {
				return err
			}
		}
	}
	return nil
}
