package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.yaml.in/yaml/v3"

	"github.com/dsproxy/dsproxy/server/store"
)

// The keys of a cluster begin with its name, behind clusterKeys.
const clusterKeys = "deepstream:cluster:"

// reservedKeys are the keys of others that may share the Redis, proxies and clusters:
// no name of a record reaches them.
var reservedKeys = []string{"dsproxy:", clusterKeys}

// ClusterPrefix begins the keys of all records in Redis of a node that is part of a
// cluster: one that has a bus or was given the name of a cluster. It is empty where
// cache.options.prefix says otherwise, for a node on its own, whose keys are those of
// the original, and without records in Redis.
func (s *Settings) ClusterPrefix() string {
	member := s.Bus != nil || s.Cluster.NameGiven
	if s.CacheRedis == nil || s.CacheRedis.PrefixGiven || !member {
		return ""
	}
	// Escaped, no name is the beginning of another, or has braces, which are for the
	// hash tags of a Redis Cluster.
	return clusterKeys + url.QueryEscape(s.Cluster.Name) + ":"
}

// layout is that of the records in Redis.
func (s *Settings) layout() store.RedisConfig {
	l := s.CacheRedis.Layout
	if prefix := s.ClusterPrefix(); prefix != "" {
		l.Prefix = prefix
		return l
	}
	l.Reserved = reservedKeys
	return l
}

// readRedis reads the options of the original's connectors, both of the 1.x and
// the 10.x line, and ours.
func readRedis(s *section) *RedisSettings {
	to := &RedisSettings{}
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
	readRedisNodes(s, c)
	readSentinels(s, c)
	readRedisTLS(s, c)
	seconds := 0
	if s.number("ttl", &seconds, 0, maxMillis) {
		to.Layout.TTL = time.Duration(seconds) * time.Second
	}
	// keyPrefix is what the original's client calls it.
	for _, key := range []string{"keyPrefix", "prefix"} {
		prefix, _, ok := s.scalar(key, "a text")
		if !ok {
			continue
		}
		to.Layout.Prefix, to.PrefixGiven = prefix, true
		for _, reserved := range reservedKeys {
			if strings.HasPrefix(to.Layout.Prefix, reserved) {
				s.fail(key, "must not begin with %s: keys of others do", reserved)
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
	var text string
	if !s.text("url", &text) {
		return
	}
	o, err := parseRedisURL(text)
	if err != nil {
		s.fail("url", "is not an address of a Redis: %v", err)
		return
	}
	if o.Username == "" && o.Password == "" {
		o.Username, o.Password = c.Username, c.Password
	}
	*c = *o
}

// readRedisTLS reads tls: a flag, or the options of the original's client.
func readRedisTLS(s *section, c *redis.UniversalOptions) {
	v, ok := s.take("tls")
	if !ok {
		return
	}
	on, o := true, (*section)(nil)
	if v.node.Kind == yaml.ScalarNode {
		s.flag("tls", &on)
	} else {
		o = s.sub("tls")
	}
	if !on {
		return
	}
	if c.TLSConfig == nil {
		c.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	o.text("servername", &c.TLSConfig.ServerName)
	verify := true
	o.flag("rejectUnauthorized", &verify)
	c.TLSConfig.InsecureSkipVerify = !verify
	if ca := pem(o, "ca"); ca != "" {
		c.TLSConfig.RootCAs = x509.NewCertPool()
		if !c.TLSConfig.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			o.fail("ca", "has no certificate in PEM")
		}
	}
	key, cert := pem(o, "key"), pem(o, "cert")
	if key != "" || cert != "" {
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			o.fail("cert", "and key cannot be used: %v", err)
		}
		c.TLSConfig.Certificates = []tls.Certificate{pair}
	}
	o.close()
}

// readRedisNodes reads nodes, which make it a Redis Cluster, and redisOptions,
// which are for each of them.
func readRedisNodes(s *section, c *redis.UniversalOptions) {
	of := ""
	addrs := readHosts(s, "nodes", 6379, func(n *section) {
		// The cluster may have more nodes than are listed: one password is for all.
		password := of
		if n.text("password", &password) && of != "" && password != of {
			n.fail("password", "must be that of the other nodes")
		}
		of = password
	})
	if of != "" {
		c.Password = of
	}
	o := s.sub("redisOptions")
	o.text("username", &c.Username)
	o.text("password", &c.Password)
	if of != "" && c.Password != of {
		o.fail("password", "must be that of the nodes")
	}
	readRedisTLS(o, c)
	o.close()
	s.number("maxRedirections", &c.MaxRedirects, 0, 1000)
	if len(addrs) > 0 {
		c.Addrs, c.IsClusterMode = addrs, true
	}
}

// readSentinels reads sentinels and name, which is what they call the Redis.
func readSentinels(s *section, c *redis.UniversalOptions) {
	addrs := readHosts(s, "sentinels", 26379, func(*section) {})
	s.text("sentinelUsername", &c.SentinelUsername)
	s.text("sentinelPassword", &c.SentinelPassword)
	s.text("name", &c.MasterName)
	switch {
	case len(addrs) == 0 && s.given("name"):
		s.fail("name", "is what sentinels call the Redis, and there are no sentinels")
	case len(addrs) > 0 && c.MasterName == "":
		s.fail("sentinels", "need name, what they call the Redis")
	case len(addrs) > 0:
		c.Addrs = addrs
	}
}

// readHosts reads a list of hosts and ports; more reads what else an entry has.
func readHosts(s *section, key string, port int, more func(*section)) []string {
	var addrs []string
	s.list(key, func(i int, v value) {
		n := s.r.section(v, fmt.Sprintf("%s[%d]", s.name(key), i))
		host, port := "127.0.0.1", port
		n.text("host", &host)
		n.number("port", &port, 1, 65535)
		more(n)
		n.close()
		addrs = append(addrs, joinAddr(host, port))
	})
	return addrs
}

// redisSchemes are the forms that dsproxy takes too: whether they are of sentinels
// or of a Redis Cluster, and what they are to go-redis.
var redisSchemes = map[string]struct {
	plain             string
	sentinel, cluster bool
}{
	"redis": {plain: "redis"}, "rediss": {plain: "rediss"},
	"redis+sentinel": {plain: "redis", sentinel: true}, "rediss+sentinel": {plain: "rediss", sentinel: true},
	"redis+cluster": {plain: "redis", cluster: true}, "rediss+cluster": {plain: "rediss", cluster: true},
}

// parseRedisURL reads host:port, redis://, redis+sentinel:// and redis+cluster://,
// the last two with several hosts. Its errors do not quote the text: a password may
// be part of it.
func parseRedisURL(text string) (*redis.UniversalOptions, error) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		scheme, rest = "redis", text
	}
	kind, known := redisSchemes[strings.ToLower(scheme)]
	if !known {
		return nil, errors.New("it begins with redis://, rediss://, redis+sentinel:// or redis+cluster://, or is host:port")
	}
	rest, query, _ := strings.Cut(rest, "?")
	at := strings.LastIndexByte(rest, '@') + 1
	hosts, path, _ := strings.Cut(rest[at:], "/")
	addrs := strings.Split(hosts, ",")
	several := len(addrs) > 1
	if addrs[0] == "" || several && !kind.sentinel && !kind.cluster {
		return nil, errors.New("it needs one host, or several with redis+sentinel:// and redis+cluster://")
	}
	options, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("after the ? come options as name=value, joined by &")
	}
	port := "6379"
	if kind.sentinel {
		port = "26379"
		if options.Get("master") == "" {
			return nil, errors.New("redis+sentinel needs the option master, what the sentinels call the Redis")
		}
		options.Set("master_name", options.Get("master"))
		options.Del("master")
	}
	for i, addr := range addrs {
		if !strings.Contains(addr, ":") || strings.HasSuffix(addr, "]") {
			addrs[i] = addr + ":" + port
		}
		if !isAddress(addrs[i]) {
			return nil, errors.New("a host is host or host:port, with a port from 1 to 65535 and an IPv6 address in brackets")
		}
	}
	// What go-redis does not have, or calls otherwise.
	own := map[string]string{}
	for _, name := range []string{"ca", "server_name", "sentinel_user", "sentinel_password"} {
		own[name] = options.Get(name)
		options.Del(name)
	}
	if several {
		options["addr"] = addrs[1:]
	}
	plain := kind.plain + "://" + rest[:at] + addrs[0] + "/" + path + "?" + options.Encode()
	o, err := universal(plain, kind.sentinel, kind.cluster)
	if err != nil {
		return nil, errors.New("it is like redis://user:password@host:6379/0, with %XX for signs that have a meaning in it; " +
			"options after a ? are master, sentinel_user and sentinel_password of redis+sentinel, ca and server_name of rediss")
	}
	o.SentinelUsername, o.SentinelPassword = own["sentinel_user"], own["sentinel_password"]
	return o, verifyBy(o.TLSConfig, own["ca"], own["server_name"])
}

// verifyBy has a Redis verified by the authorities in a file, and by a name; "" is the
// system's authorities, and the name of each host: those of Sentinel and Redis Cluster
// have several.
func verifyBy(c *tls.Config, ca, name string) error {
	if c == nil {
		if ca != "" || name != "" {
			return errors.New("the options ca and server_name need TLS, that is a scheme that begins with rediss")
		}
		return nil
	}
	c.ServerName = name
	if ca == "" {
		return nil
	}
	b, err := os.ReadFile(ca)
	if err != nil {
		return fmt.Errorf("the option ca: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(b) {
		return fmt.Errorf("the option ca: %s has no certificate in PEM", ca)
	}
	return nil
}

// isAddress reports whether addr is a host and a port that can be connected to.
func isAddress(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	n, bad := strconv.ParseUint(port, 10, 16)
	return err == nil && bad == nil && host != "" && n > 0
}

func universal(plain string, sentinel, cluster bool) (*redis.UniversalOptions, error) {
	switch {
	case sentinel:
		o, err := redis.ParseFailoverURL(plain)
		if err != nil {
			return nil, err
		}
		return &redis.UniversalOptions{Addrs: o.SentinelAddrs, MasterName: o.MasterName, DB: o.DB, TLSConfig: o.TLSConfig,
			Username: o.SentinelUsername, Password: o.SentinelPassword}, nil // of the URL, which to go-redis are the sentinels'
	case cluster:
		o, err := redis.ParseClusterURL(plain)
		if err != nil {
			return nil, err
		}
		return &redis.UniversalOptions{Addrs: o.Addrs, IsClusterMode: true, TLSConfig: o.TLSConfig,
			Username: o.Username, Password: o.Password}, nil
	}
	o, err := redis.ParseURL(plain)
	if err != nil {
		return nil, err
	}
	return &redis.UniversalOptions{Addrs: []string{o.Addr}, DB: o.DB, TLSConfig: o.TLSConfig,
		Username: o.Username, Password: o.Password}, nil
}

// UseRedis makes the Redis at an address both the cache and the bus. How long records
// live and what begins their keys stays as it was said of the cache.
func (s *Settings) UseRedis(addr string) error {
	o, err := parseRedisURL(addr)
	if err != nil {
		return err
	}
	r := &RedisSettings{Client: *o}
	if was := s.CacheRedis; was != nil {
		r.Layout, r.PrefixGiven = was.Layout, was.PrefixGiven
	}
	r.Layout.HashTag = o.IsClusterMode
	s.CacheRedis, s.Bus = r, r
	return nil
}
