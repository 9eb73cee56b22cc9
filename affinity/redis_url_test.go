package affinity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRedisURL(t *testing.T) {
	f := func(s string, want redisTarget) {
		t.Helper()
		got, err := parseRedisURL(s)
		if err != nil {
			t.Errorf("parseRedisURL(%q): %v", s, err)
			return
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(redisTarget{})); d != "" {
			t.Errorf("parseRedisURL(%q) (-want +got):\n%s", s, d)
		}
	}
	one := func(addr string) redisTarget { return redisTarget{addrs: []string{addr}} }
	f("10.0.0.1:6380", one("10.0.0.1:6380"))
	f("redis", one("redis:6379"))
	f("[::1]:6380", one("[::1]:6380"))
	f("[::1]", one("[::1]:6379"))
	f("redis://redis", one("redis:6379"))
	f("REDIS://redis:1", one("redis:1"))
	f("redis://redis:1/", one("redis:1"))
	f("redis://redis/3", redisTarget{addrs: []string{"redis:6379"}, db: 3})
	f("redis://redis?db=4", redisTarget{addrs: []string{"redis:6379"}, db: 4})
	f("redis://:secret@redis", redisTarget{addrs: []string{"redis:6379"}, password: "secret"})
	f("redis://bob:s%40c%3Fr%2Fe%25t@redis", redisTarget{addrs: []string{"redis:6379"}, user: "bob", password: "s@c?r/e%t"})
	f("redis://bob:p@ss:w@redis", redisTarget{addrs: []string{"redis:6379"}, user: "bob", password: "p@ss:w"})
	f("rediss://bob:secret@redis:6380/2?ca=/etc/ca.pem&server_name=cache.example",
		redisTarget{addrs: []string{"redis:6380"}, tls: true, user: "bob", password: "secret", db: 2,
			ca: "/etc/ca.pem", serverName: "cache.example"})
	f("redis+sentinel://s1,s2:2,[::1]/1?master=main",
		redisTarget{addrs: []string{"s1:26379", "s2:2", "[::1]:26379"}, master: "main", db: 1})
	f("rediss+sentinel://bob:secret@s1?master=main&sentinel_user=al&sentinel_password=x%26y",
		redisTarget{addrs: []string{"s1:26379"}, tls: true, master: "main", user: "bob", password: "secret",
			sentinelUser: "al", sentinelPass: "x&y"})
	f("redis+cluster://n1,n2:2", redisTarget{addrs: []string{"n1:6379", "n2:2"}, cluster: true})
	f("rediss+cluster://:token@cfg.cache.example:6379",
		redisTarget{addrs: []string{"cfg.cache.example:6379"}, cluster: true, tls: true, password: "token"})
}

func TestParseRedisURLErrors(t *testing.T) {
	f := func(s, want string) {
		t.Helper()
		_, err := NewRedis(RedisConfig{URL: s})
		if err == nil {
			t.Errorf("NewRedis(%q) succeeds", s)
			return
		}
		for _, part := range []string{"--redis", "redis://", want} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("NewRedis(%q): %v\nlacks %q", s, err, part)
			}
		}
		if strings.Contains(err.Error(), "hunter") {
			t.Errorf("NewRedis(%q) tells the password: %v", s, err)
		}
	}
	f("", "has no host")
	f("redis://", "has no host")
	f("http://redis", "the scheme is not known")
	f("hunter2://redis", "the scheme is not known")
	f("redis://redis:port", `"redis:port" has no port`)
	f("redis://redis:0", "between 1 and 65535")
	f("redis://redis:70000", "between 1 and 65535")
	f("redis://::1:6379", "no host:port")
	f("redis://a b", "has no host")
	f("redis://redis/x", "number of a database")
	f("redis://redis/-1", "number of a database")
	f("redis://redis?db=x", "db=")
	f("redis://redis?db=", "db= needs one value")
	f("redis://redis?db=1&db=2", "db= needs one value")
	f("redis://redis?colour=blue", "colour= is not known; there are ca, db, master")
	f("redis://redis?a;b", "name=value")
	f("redis://hunter2@redis", "user:password")
	f("redis://:hunter%zz@redis", "%25")
	f("redis://bob:hunter?2@redis", "%XX")
	f("redis://bob:hunter/2@redis:port", "%XX")
	f("redis://bob:x?Hunter2=x@redis", "%XX")
	f("redis://redis?hunter-2-and-more=x", "an option")
	f("redis://a,b", "several hosts")
	f("redis://a?master=main", "redis+sentinel")
	f("redis://a?sentinel_password=hunter2", "redis+sentinel")
	f("redis+sentinel://a", "needs the option master=")
	f("redis+cluster://a/1", "no database but 0")
	f("redis://a?ca=/x", "rediss")
	f("redis://a?server_name=x", "rediss")
}

func TestRedisCAFile(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		_, err := NewRedis(RedisConfig{URL: "rediss://redis", CAFile: path})
		if err == nil || !strings.Contains(err.Error(), "--redis: the CA file") || !strings.Contains(err.Error(), want) {
			t.Errorf("NewRedis with CA file %s: %v, want %q", path, err, want)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f(empty, "holds no PEM certificate")
	f(filepath.Join(t.TempDir(), "none"), "no such file")
}

func FuzzParseRedisURL(f *testing.F) {
	for _, s := range []string{
		"10.0.0.1:6379", "redis://bob:secret@redis:6380/2?db=1", "rediss+sentinel://a,b?master=m",
		"redis+cluster://[::1]:1,b", "redis://:%40@x", "://", "redis://a@b@c",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := parseRedisURL(s)
		if err != nil {
			return
		}
		if len(target.addrs) == 0 || target.db < 0 || target.cluster && target.master != "" {
			t.Errorf("parseRedisURL(%q) = %+v", s, target)
		}
	})
}
