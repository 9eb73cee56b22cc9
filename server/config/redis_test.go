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

// TestLayout: two clusters on one Redis have no key in common.
func TestLayout(t *testing.T) {
	layout := func(cluster, prefix string) store.RedisConfig {
		s := Default()
		if err := s.UseRedis("cache:6379"); err != nil {
			t.Fatal(err)
		}
		s.Cluster.Name, s.CacheRedis.Layout.Prefix = cluster, prefix
		return s.layout()
	}
	for _, c := range []struct{ cluster, prefix, want string }{
		{DefaultCluster, "", ""}, {"other", "", "deepstream:cluster:other:"}, {"dsproxy", "", "deepstream:cluster:dsproxy:"},
		{"other", "mine:", "mine:"}, {DefaultCluster, "mine:", "mine:"}, {"a:{b}", "", "deepstream:cluster:a%3A%7Bb%7D:"},
	} {
		if got := layout(c.cluster, c.prefix).Prefix; got != c.want {
			t.Errorf("cluster %s with prefix %q has keys that begin with %q, want %q", c.cluster, c.prefix, got, c.want)
		}
	}

	client, _ := redisServer(t)
	ctx := t.Context()
	for _, prefix := range []string{"", "deepstream:", "mine:"} {
		records := 0
		for _, cluster := range []string{DefaultCluster, "other", "other:more", ""} {
			l := layout(cluster, "")
			if cluster == DefaultCluster {
				l = layout(cluster, prefix)
			}
			cache := store.NewRedis(client, l)
			for _, name := range []string{
				"r", ":r", "more:r", "other:r", "cluster:other:r", "deepstream:cluster:other:r",
				"deepstream:cluster:other%3Amore:r", "deepstream:cluster::r", "deepstream:r",
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
				t.Errorf("prefix %q: %d records are %d keys when cluster %q has written", prefix, records, keys, cluster)
			}
		}
		if err := client.FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestValidate: no record may reach keys of others, nor have its own in two slots.
func TestValidate(t *testing.T) {
	f := func(addr, cluster, prefix, want string) {
		t.Helper()
		s := Default()
		if err := s.UseRedis(addr); err != nil {
			t.Fatal(err)
		}
		s.Cluster.Name, s.CacheRedis.Layout.Prefix = cluster, prefix
		err := s.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s, cluster %q, prefix %q: %v, want %q", addr, cluster, prefix, err, want)
		}
		if _, openErr := s.Open(slog.New(slog.DiscardHandler)); err != nil && openErr == nil {
			t.Errorf("%s, cluster %q, prefix %q was opened", addr, cluster, prefix)
		}
	}
	f("redis:6379", DefaultCluster, "", "")
	f("redis:6379", "dsproxy", "", "")
	f("redis:6379", DefaultCluster, "a{b}", "")
	f("redis+cluster://redis:6379", "a{b}", "", "")
	f("redis+cluster://redis:6379", "other", "a{b}", "braces")
	if err := Default().Validate(); err != nil {
		t.Errorf("without Redis: %v", err)
	}
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
