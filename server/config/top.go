package config

import (
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/dsproxy/dsproxy/server"
)

// readTop reads the whole file: the flat keys of the 1.x line first, so that the
// sections of the 10.x line win where a file has both.
func readTop(s *section, to *Settings) {
	if s == nil {
		return
	}
	c := &to.Node
	// Keys without a meaning here.
	s.skip("showLogo", "libDir", "exitOnFatalError", "dependencyInitializationTimeout")

	var name string
	if s.text("serverName", &name) && name != "UUID" {
		c.Name = name
	}
	readLevel(s, "logLevel", &to.Log)
	readFlat(s, to)
	readFeatures(s.sub("enabledFeatures"), s.r, &c.Features)
	readTopics(s, c)
	addr := readServer(s, to)
	readEndpoints(s, c)
	readLogger(s.plugin("logger"), &to.Log)
	readStores(s, to)
	readAuth(s, to)
	readPermission(s)
	readCluster(s, to)
	readGossip(s.sub("cluster"), &to.Cluster)
	readObservation(s)
	readOwn(s, to)
	c.Addr = addr
	s.close()
}

// levels are the original's names and numbers.
var levels = map[string]slog.Level{
	"DEBUG": slog.LevelDebug, "0": slog.LevelDebug,
	"INFO": slog.LevelInfo, "1": slog.LevelInfo,
	"WARN": slog.LevelWarn, "2": slog.LevelWarn,
	"ERROR": slog.LevelError, "3": slog.LevelError,
	"FATAL": LevelFatal, "4": LevelFatal,
	"OFF": LevelOff, "100": LevelOff,
}

// ParseLevel reads a log level as the original has them, by name or by number.
func ParseLevel(text string) (slog.Level, bool) {
	l, ok := levels[strings.ToUpper(text)]
	return l, ok
}

func readLevel(s *section, key string, to *LogSettings) {
	text, n, ok := s.scalar(key, "a log level")
	if !ok {
		return
	}
	if to.Level, ok = ParseLevel(text); !ok {
		s.fail(key, "must be one of DEBUG (0), INFO (1), WARN (2), ERROR (3), FATAL (4) and OFF (100), not %s", shown(n))
	}
}

func readFeatures(s *section, r *reader, to *server.Features) {
	s.flag("record", &to.Record)
	s.flag("event", &to.Event)
	s.flag("rpc", &to.RPC)
	s.flag("presence", &to.Presence)
	monitoring := false
	s.flag("monitoring", &monitoring)
	if monitoring {
		s.warn("monitoring", "has no effect: figures are served by the admin listener under /metrics")
	}
	s.close()
}

// readTopics reads rpc, record and listen.
func readTopics(top *section, c *server.Config) {
	s := top.sub("rpc")
	s.millis("ackTimeout", &c.RPC.AckTimeout, 1)
	s.millis("responseTimeout", &c.RPC.ResponseTimeout, 1)
	s.flag("provideRequestorName", &c.RPC.ProvideRequestorName)
	s.flag("provideRequestorData", &c.RPC.ProvideRequestorData)
	s.close()

	s = top.sub("record")
	s.millis("cacheRetrievalTimeout", &c.Store.CacheTimeout, 1)
	s.millis("storageRetrievalTimeout", &c.Store.StorageTimeout, 1)
	s.texts("storageExclusionPrefixes", &c.Store.ExclusionPrefixes)
	s.texts("storageHotPathPrefixes", &c.Record.HotPathPrefixes)
	s.number("maxSize", &c.Record.MaxSize, 0, 1<<30)
	s.close()

	s = top.sub("listen")
	s.flag("shuffleProviders", &c.Listen.Shuffle)
	s.millis("responseTimeout", &c.Listen.ResponseTimeout, 1)
	s.millis("rematchInterval", &c.Listen.RematchInterval, 0)
	s.millis("matchCooldown", &c.Listen.MatchCooldown, 0)
	s.close()
}

// readOwn reads the keys that the original does not have.
func readOwn(s *section, to *Settings) {
	c := &to.Node
	var addr string
	if s.text("admin", &addr) {
		to.AdminGiven = true
		if addr == "off" || addr == "false" {
			c.AdminAddr = ""
		} else if !IsListenAddress(addr) {
			s.fail("admin", "must be host:port or off")
		} else {
			c.AdminAddr = addr
		}
	}
	s.number("maxConnections", &c.MaxConnections, 0, 1<<30)
	drain := int(c.DrainTimeout / time.Millisecond)
	if s.number("drainTimeout", &drain, 1, maxMillis) {
		c.DrainTimeout = time.Duration(drain) * time.Millisecond
	}
	if s.text("redirectUrl", &c.RedirectURL) {
		u, err := url.Parse(c.RedirectURL)
		if err != nil || u.Host == "" || u.Scheme != "ws" && u.Scheme != "wss" {
			s.fail("redirectUrl", "must be the URL of a WebSocket, such as wss://other.example.com")
		}
	}
}

// IsListenAddress reports whether addr is host:port, where the host may be missing and
// the port may be the name of a service.
func IsListenAddress(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		return false
	}
	_, err = net.LookupPort("tcp", port)
	return err == nil
}

func joinAddr(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// plugin is a section of the form that the original gives to all that can be
// replaced: a type, or the name or path of a module, and options.
type plugin struct {
	at      *section
	kind    string // the type or name; "" where only a path is given
	path    bool
	key     string // "type", "name" or "path", for the line of a fault
	options *section
}

// plugin reads such a section; nil if there is none. One that has but options is
// about the default, as in the original.
func (s *section) plugin(key string) *plugin {
	if !s.given(key) {
		s.skip(key)
		return nil
	}
	p := readPlugin(s.sub(key))
	if p != nil && p.key == "" {
		p.kind = "default"
	}
	return p
}

func readPlugin(s *section) *plugin {
	if s == nil {
		return nil
	}
	p := &plugin{at: s}
	// A module wins over a type, as in the original.
	for _, key := range []string{"path", "name", "type"} {
		var text string
		if s.text(key, &text) && p.key == "" {
			p.kind, p.key, p.path = text, key, key == "path"
		}
	}
	if p.is("logger", "winston") {
		s.skip("options") // they are about transports, in a list in the 1.x line
	} else {
		p.options = s.sub("options")
	}
	s.close()
	return p
}

// is tells a plugin by its type or name, with the prefixes that modules on npm
// have.
func (p *plugin) is(section string, kinds ...string) bool {
	if p == nil || p.path {
		return false
	}
	for _, k := range kinds {
		if p.kind == k || p.kind == "@deepstream/"+section+"-"+k || p.kind == "deepstream.io-"+section+"-"+k {
			return true
		}
	}
	return false
}

// refuse reports a plugin that the node does not have.
func (p *plugin) refuse(format string, args ...any) {
	if p.key == "" {
		p.at.r.fail(p.at.at.file, p.at.at.node.Line, "%s needs a type or a name", p.at.path)
		return
	}
	p.at.fail(p.key, format, args...)
}

func (p *plugin) warn(format string, args ...any) { p.at.warn(p.key, format, args...) }
