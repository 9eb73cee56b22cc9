package config

import (
	"crypto/tls"
	"crypto/x509"
	encoding "encoding/pem"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/dsproxy/dsproxy/server/store"
)

func TestParseRedisURL(t *testing.T) {
	type want struct {
		Addrs                      []string
		Master, User, Password     string
		SentinelUser, SentinelPass string
		DB                         int
		Cluster, TLS               bool
		ServerName                 string // "" is that of each host
	}
	for in, w := range map[string]want{
		"10.0.0.1:6379":                      {Addrs: []string{"10.0.0.1:6379"}},
		"cache":                              {Addrs: []string{"cache:6379"}},
		"[::1]":                              {Addrs: []string{"[::1]:6379"}},
		"redis://u:p%40@cache:6380/3":        {Addrs: []string{"cache:6380"}, User: "u", Password: "p@", DB: 3},
		"rediss://:p@cache":                  {Addrs: []string{"cache:6379"}, Password: "p", TLS: true},
		"redis+cluster://u:p@a:1,b:2,c:3":    {Addrs: []string{"a:1", "b:2", "c:3"}, User: "u", Password: "p", Cluster: true},
		"rediss+cluster://config.cache:6379": {Addrs: []string{"config.cache:6379"}, Cluster: true, TLS: true},
		"redis+sentinel://u:p@a/?master=m&sentinel_user=s&sentinel_password=t": {
			Addrs: []string{"a:26379"}, Master: "m", User: "u", Password: "p", SentinelUser: "s", SentinelPass: "t"},
		"rediss+cluster://a,b?server_name=c":    {Addrs: []string{"a:6379", "b:6379"}, Cluster: true, TLS: true, ServerName: "c"},
		"redis+sentinel://a:26379,b/1?master=m": {Addrs: []string{"a:26379", "b:26379"}, Master: "m", DB: 1},
	} {
		o, err := parseRedisURL(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		got := want{Addrs: o.Addrs, Master: o.MasterName, User: o.Username, Password: o.Password,
			SentinelUser: o.SentinelUsername, SentinelPass: o.SentinelPassword,
			DB: o.DB, Cluster: o.IsClusterMode, TLS: o.TLSConfig != nil}
		if o.TLSConfig != nil {
			got.ServerName = o.TLSConfig.ServerName
		}
		if diff := cmp.Diff(w, got); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
		client := redis.NewUniversalClient(o) // which kind it makes is part of the form
		_, cluster := client.(*redis.ClusterClient)
		if cluster != w.Cluster {
			t.Errorf("%s makes a %T", in, client)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, in := range []string{
		"", "http://secret@cache", "redis://secret@a,b", "redis://secret@cache/x", "redis://secret@cache?nonsense=1",
		"redis+sentinel://secret@a", "redis://u:secret%zz@cache", "redis://secret@", "redis+cluster://secret@a,b?%zz",
		"redis://:secret@cache:65536", "::1", "cache:0", "redis://:secret@cache?ca=/etc/hosts", "rediss://:secret@cache?ca=/nowhere/ca.pem",
		"rediss://:secret@cache?ca=redis_test.go",
	} {
		_, err := parseRedisURL(in)
		if err == nil {
			t.Errorf("%q was accepted", in)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error tells the password: %v", in, err)
		}
	}
}

// loadText reads a configuration, with --redis over it if an address is given.
func loadText(t *testing.T, text, redis string) *Settings {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(path, Options{Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if redis != "" {
		if err := s.UseRedis(redis); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

const (
	redisCache = "cache: { name: redis }\n"
	redisBoth  = redisCache + "clusterNode: { name: redis }\n"
)

// TestClusterPrefix: the name of the cluster is in the keys of a node that has a bus or
// was given that name, unless another prefix is given, be it empty.
func TestClusterPrefix(t *testing.T) {
	prefixed := func(option string) string {
		return "cache: { name: redis, options: { " + option + " } }\nclusterNode: { name: redis }\n"
	}
	named := func(name string) string { return "cluster: { name: \"" + name + "\" }\n" }
	for _, c := range []struct {
		text, redis string
		want        string
		byItself    bool
	}{
		{text: redisCache},
		{text: redisCache + "cluster: { bind: \"127.0.0.1:0\" }\n"},
		{text: redisCache + named(DefaultCluster), want: "deepstream:cluster:deepstream:", byItself: true},
		{text: redisCache + named("other"), want: "deepstream:cluster:other:", byItself: true},
		{text: redisBoth, want: "deepstream:cluster:deepstream:", byItself: true},
		{text: redisBoth + named("dsproxy"), want: "deepstream:cluster:dsproxy:", byItself: true},
		{text: redisBoth + named("a:{b}"), want: "deepstream:cluster:a%3A%7Bb%7D:", byItself: true},
		{text: "plugins: { cache: { name: redis }, message: { name: redis } }\n", want: "deepstream:cluster:deepstream:", byItself: true},
		{text: prefixed(`prefix: ""`)},
		{text: prefixed(`keyPrefix: ""`)},
		{text: prefixed(`prefix: ""`) + named("other")},
		{text: prefixed(`prefix: "${UNSET}"`)},
		{text: prefixed("prefix: "), want: "deepstream:cluster:deepstream:", byItself: true},
		{text: prefixed(`prefix: "mine:"`), want: "mine:"},
		{text: prefixed(`keyPrefix: "mine:"`) + named("other"), want: "mine:"},
		{redis: "cache:6379", want: "deepstream:cluster:deepstream:", byItself: true},
		{text: redisCache, redis: "cache:6379", want: "deepstream:cluster:deepstream:", byItself: true},
		{text: prefixed(`prefix: ""`), redis: "cache:6379"},
		{text: prefixed(`prefix: "mine:"`), redis: "cache:6379", want: "mine:"},
		{text: "cache: { type: default }\nclusterNode: { name: redis }\n" + named("other")}, // no records there
	} {
		s := loadText(t, c.text, c.redis)
		if got := s.ClusterPrefix(); c.byItself && got != c.want || !c.byItself && got != "" {
			t.Errorf("--redis %q and\n%s: the cluster begins keys with %q", c.redis, c.text, got)
		}
		if s.CacheRedis == nil {
			continue
		}
		l := s.layout()
		if l.Prefix != c.want {
			t.Errorf("--redis %q and\n%s: keys begin with %q, want %q", c.redis, c.text, l.Prefix, c.want)
		}
		if reserved := len(l.Reserved) > 0; reserved == c.byItself {
			t.Errorf("--redis %q and\n%s: keys of others are reserved: %t", c.redis, c.text, reserved)
		}
	}
}

// TestLayout: two clusters on one Redis, and a node beside them that has none, have no
// key in common.
func TestLayout(t *testing.T) {
	client, _ := redisServer(t)
	ctx := t.Context()
	for _, beside := range []string{
		redisCache,
		`cache: { name: redis, options: { prefix: "" } }` + "\nclusterNode: { name: redis }\n",
		`cache: { name: redis, options: { prefix: "deepstream:" } }` + "\n",
		`cache: { name: redis, options: { prefix: "mine:" } }` + "\nclusterNode: { name: redis }\n",
	} {
		records := 0
		for _, text := range []string{
			beside, redisBoth, redisBoth + "cluster: { name: other }\n", redisCache + "cluster: { name: \"other:more\" }\n",
		} {
			cache := store.NewRedis(client, loadText(t, text, "").layout())
			for _, name := range []string{
				"r", ":r", "more:r", "other:r", "cluster:other:r", "deepstream:cluster:other:r", "deepstream:cluster:deepstream:r",
				"cluster:deepstream:r", "deepstream:cluster:other%3Amore:r", "deepstream:cluster::r", "deepstream:r",
			} {
				err := cache.Put(ctx, name, store.Record{Version: 1, Data: "{}"})
				if err != nil && !errors.Is(err, store.ErrName) {
					t.Fatal(err)
				}
				if err == nil {
					records++
				}
			}
			keys, err := client.DBSize(ctx).Result()
			if err != nil {
				t.Fatal(err)
			}
			if keys != int64(2*records) {
				t.Errorf("beside\n%s\n%d records are %d keys when there has written\n%s", beside, records, keys, text)
			}
		}
		if err := client.FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUseRedisKeeps: --redis says where the Redis is, and the file what is in it.
func TestUseRedisKeeps(t *testing.T) {
	const text = `cache: { name: redis, options: { host: a, ttl: 60, prefix: "mine:" } }`
	s := loadText(t, text, "redis+cluster://b")
	want := store.RedisConfig{Prefix: "mine:", TTL: time.Minute, HashTag: true}
	if diff := cmp.Diff(want, s.CacheRedis.Layout); diff != "" || s.CacheRedis.Client.Addrs[0] != "b:6379" {
		t.Errorf("the cache is at %s: %s", s.CacheRedis.Client.Addrs, diff)
	}
}

// TestValidate: no record may reach keys of others, nor have its own in two slots.
func TestValidate(t *testing.T) {
	f := func(addr, text, want string) {
		t.Helper()
		s := loadText(t, text, addr)
		err := s.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s and %s: %v, want %q", addr, text, err, want)
		}
		if _, openErr := s.Open(slog.New(slog.DiscardHandler)); err != nil && openErr == nil {
			t.Errorf("%s and %s was opened", addr, text)
		}
	}
	const braces = `cache: { name: redis, options: { prefix: "a{b}" } }`
	f("redis:6379", "", "")
	f("redis:6379", "cluster: { name: dsproxy }", "")
	f("redis:6379", braces, "")
	f("redis+cluster://redis:6379", `cluster: { name: "a{b}" }`, "")
	f("redis+cluster://redis:6379", braces, "braces")
	f("", "", "") // without Redis
}

// TestRedisTLS: tls is a flag or what the original's client takes.
func TestRedisTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	ca := encoding.EncodeToMemory(&encoding.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	key, err := x509.MarshalPKCS8PrivateKey(web.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string][]byte{
		"ca.pem": ca, "key.pem": encoding.EncodeToMemory(&encoding.Block{Type: "PRIVATE KEY", Bytes: key}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "config.yml")
	load := func(options string) (*tls.Config, error) {
		if err := os.WriteFile(path, []byte("cache: {name: redis, options: {"+options+"}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Load(path, Options{Getenv: os.Getenv})
		if err != nil {
			return nil, err
		}
		return s.CacheRedis.Client.TLSConfig, nil
	}
	for options, trusted := range map[string]bool{
		"tls: true":                        false,
		"tls: {}":                          false,
		"tls: {rejectUnauthorized: false}": true,
		"tls: {ca: fileLoad(ca.pem), servername: example.com}":                             true,
		"tls: {ca: file(ca.pem), servername: other.example}":                               false,
		"nodes: [{host: a}], redisOptions: {tls: {ca: ca.pem, servername: example.com}}":   true,
		"tls: {ca: ca.pem, cert: ca.pem, key: fileLoad(key.pem), servername: example.com}": true,
	} {
		c, err := load(options)
		if err != nil || c == nil {
			t.Errorf("%s: %v, %v", options, c, err)
			continue
		}
		conn, err := tls.Dial("tcp", web.Listener.Addr().String(), c)
		if err == nil {
			_ = conn.Close()
		}
		if (err == nil) != trusted {
			t.Errorf("%s: %v", options, err)
		}
		if want := strings.Count(options, "cert:"); len(c.Certificates) != want {
			t.Errorf("%s: shows %d certificates, want %d", options, len(c.Certificates), want)
		}
	}
	if c, err := load("tls: false"); c != nil || err != nil {
		t.Errorf("tls: false: %v, %v", c, err)
	}
	for options, want := range map[string]string{
		"tls: maybe": "must be true or false", "tls: {caa: x}": "unknown key", "tls: {ca: config.yml}": "no certificate", "tls: {cert: ca.pem}": "cannot be used",
	} {
		if _, err := load(options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", options, err, want)
		}
	}
}
