package config

import (
	"crypto/tls"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// reservedKeys are the keys of the proxy, which may share the Redis: no name of a
// record reaches them.
var reservedKeys = []string{"dsproxy:"}

// readStores reads cache and storage, and plugins, which holds them in the 1.x
// line.
func readStores(top *section, to *Settings) {
	plugins := top.sub("plugins")
	readCache(plugins.plugin("cache"), to)
	readStorage(plugins.plugin("storage"), to)
	readBus(plugins.plugin("message"), to, "msg")
	readLogger(plugins.plugin("logger"), &to.Log)
	if plugins != nil {
		for _, key := range plugins.keys {
			switch key {
			case "cache", "storage", "message", "logger":
			default:
				plugins.skip(key)
				plugins.fail(key, "is not possible: plugins are JavaScript")
			}
		}
	}
	plugins.close()
	readCache(top.plugin("cache"), to)
	readStorage(top.plugin("storage"), to)
}

func readCache(p *plugin, to *Settings) {
	switch {
	case p == nil:
	case p.is("cache", "default", "memory"):
		bytes := 0
		if p.options.number("maxBytes", &bytes, 0, 1<<50) {
			to.CacheBytes = int64(bytes)
		}
		p.options.close()
		to.CacheRedis = nil
	case p.is("cache", "redis"):
		to.CacheRedis = readRedis(p.options)
	default:
		p.refuse("must be default or redis: there is no cache %q", p.kind)
	}
}

func readStorage(p *plugin, to *Settings) {
	switch {
	case p == nil:
	case p.is("storage", "default", "none"):
		p.options.close()
		to.StorageFile = ""
	case p.is("storage", "bbolt"):
		var path string
		if !p.options.text("path", &path) {
			p.refuse("bbolt needs the option path, the file to write to")
			return
		}
		to.StorageFile = p.at.r.path(path)
		p.options.close()
	default:
		p.refuse("must be default (none) or bbolt: there is no storage %q, and records would be lost", p.kind)
	}
}

// readRedis reads the options of the original's connectors, both of the 1.x and
// the 10.x line, and ours.
func readRedis(s *section) *RedisSettings {
	to := &RedisSettings{}
	to.Layout.Reserved = reservedKeys
	c := &to.Client
	host, port := "127.0.0.1", 6379
	s.text("host", &host)
	s.number("port", &port, 1, 65535)
	c.Addrs = []string{joinAddr(host, port)}
	s.number("db", &c.DB, 0, 1<<20)
	s.number("database", &c.DB, 0, 1<<20)
	s.text("username", &c.Username)
	s.text("password", &c.Password)
	s.skip("serverName")
	readRedisURL(s, c)
	readRedisNodes(s, to)
	secure := false
	s.flag("tls", &secure)
	if secure && c.TLSConfig == nil {
		c.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	seconds := 0
	if s.number("ttl", &seconds, 0, maxMillis) {
		to.Layout.TTL = time.Duration(seconds) * time.Second
	}
	if s.text("prefix", &to.Layout.Prefix) {
		for _, reserved := range reservedKeys {
			if strings.HasPrefix(to.Layout.Prefix, reserved) {
				s.fail("prefix", "must not begin with %s: keys of the proxy do", reserved)
			}
		}
	}
	to.Layout.HashTag = c.IsClusterMode
	s.flag("hashTag", &to.Layout.HashTag)
	if c.IsClusterMode && !to.Layout.HashTag {
		s.fail("hashTag", "must be true with nodes: both keys of a record have to be in one slot of the Redis Cluster")
	}
	s.close()
	return to
}

func readRedisURL(s *section, c *redis.UniversalOptions) {
	var url string
	if !s.text("url", &url) {
		return
	}
	o, err := redis.ParseURL(url)
	if err != nil {
		s.fail("url", "is not an address of a Redis, as in redis://host:6379/0") // the cause may quote a password
		return
	}
	c.Addrs, c.DB, c.TLSConfig = []string{o.Addr}, o.DB, o.TLSConfig
	if o.Username != "" {
		c.Username = o.Username
	}
	if o.Password != "" {
		c.Password = o.Password
	}
}

// readRedisNodes reads nodes, which make it a Redis Cluster, and redisOptions,
// which are for each of them.
func readRedisNodes(s *section, to *RedisSettings) {
	c := &to.Client
	var addrs []string
	s.list("nodes", func(i int, v value) {
		n := s.r.section(v, fmt.Sprintf("%s[%d]", s.name("nodes"), i))
		host, port := "127.0.0.1", 6379
		n.text("host", &host)
		n.number("port", &port, 1, 65535)
		n.close()
		addrs = append(addrs, joinAddr(host, port))
	})
	o := s.sub("redisOptions")
	o.text("username", &c.Username)
	o.text("password", &c.Password)
	if o.given("tls") {
		c.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	o.skip("tls")
	o.close()
	if len(addrs) > 0 {
		c.Addrs, c.IsClusterMode = addrs, true
	}
}

// readBus reads what joins nodes to a cluster.
func readBus(p *plugin, to *Settings, section string) {
	switch {
	case p == nil:
	case p.is(section, "default", "none"):
		p.options.skip("host", "port")
		p.options.close()
	case p.is(section, "vertical"):
		p.options.close()
		p.warn("vertical has no effect: one process uses all processors")
	case p.is(section, "redis"):
		to.Bus = readRedis(p.options)
		p.warn("redis does not join nodes yet: those with the same cache share records, " +
			"but events, calls, presence and the news of a write stay within a node")
	default:
		p.refuse("must be default or redis: there is no message bus %q", p.kind)
	}
}

// readCluster reads clusterNode; the rest is about the original's own protocol
// between nodes.
func readCluster(s *section, to *Settings) {
	readBus(s.plugin("clusterNode"), to, "clusternode")
	s.skip("clusterRegistry", "clusterStates", "locks", "subscriptions")
}
