package affinity

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRedisKeys(t *testing.T) {
	s := startRedis(t)
	r := newRedis(t, RedisConfig{URL: "redis://" + s.addr() + "/3", Prefix: "fleet:"})
	put(t, r, Pin{Key: testKey(1), Backend: "10.0.0.1:80", Life: 85 * time.Second})
	c := s.client(t)
	c.Options().DB = 3
	keys := c.Keys(t.Context(), "*").Val()
	if want := []string{"fleet:" + testKey(1).String()}; !slices.Equal(keys, want) {
		t.Fatalf("keys are %q, want %q", keys, want)
	}
	if got := c.Get(t.Context(), keys[0]).Val(); got != "85000 10.0.0.1:80" {
		t.Errorf("the value is %q", got)
	}
	life := c.PTTL(t.Context(), keys[0]).Val()
	if life <= 0 || life > 85*time.Second {
		t.Errorf("the key lives for %v", life)
	}
	// The life starts anew, by a renewal and by a move.
	for _, pin := range []Pin{
		{Key: testKey(1), Backend: "10.0.0.1:80", Life: 85 * time.Second},
		{Key: testKey(1), Backend: "b", From: "10.0.0.1:80", Life: 85 * time.Second},
	} {
		c.PExpire(t.Context(), keys[0], 20*time.Second)
		put(t, r, pin)
		if life := c.PTTL(t.Context(), keys[0]).Val(); life < 60*time.Second {
			t.Errorf("after Put(%+v) the key lives for %v", pin, life)
		}
	}
	// The loser of a race renews nothing.
	c.PExpire(t.Context(), keys[0], 20*time.Second)
	put(t, r, Pin{Key: testKey(1), Backend: "late", Life: 85 * time.Second})
	if life := c.PTTL(t.Context(), keys[0]).Val(); life > 20*time.Second {
		t.Errorf("after a Put that lost the key lives for %v", life)
	}
}

func TestRedisOtherValues(t *testing.T) {
	s := startRedis(t)
	r := s.table(t)
	c := s.client(t)
	f := func(value string) {
		t.Helper()
		c.Set(t.Context(), r.key(testKey(1)), value, time.Minute)
		wantPin(t, r, testKey(1), "", 0)
		if kept := put(t, r, Pin{Key: testKey(1), Backend: "a", Life: time.Minute}); kept != "a" {
			t.Errorf("over %q the pin is kept by %q", value, kept)
		}
		wantPin(t, r, testKey(1), "a", time.Minute)
	}
	f("")
	f("x")
	f("1000")
	f("1000 ")
	f("-5 a")
	f("a b")
}

// A restarted server, or one that was told to forget its scripts, is sent them again.
func TestRedisForgetsScripts(t *testing.T) {
	s := startRedis(t)
	r := s.table(t)
	put(t, r, Pin{Key: testKey(1), Backend: "a", Life: time.Minute})
	for _, pins := range [][]Pin{
		{{Key: testKey(2), Backend: "b", Life: time.Minute}},
		{{Key: testKey(2), Backend: "b", Life: time.Minute}, {Key: testKey(1), Backend: "c", Life: time.Minute}},
	} {
		s.do(t, "SCRIPT FLUSH")
		if kept, err := r.Put(t.Context(), pins); err != nil || !slices.Equal(kept, []string{"b", "a"}[:len(pins)]) {
			t.Errorf("Put after SCRIPT FLUSH = %q, %v", kept, err)
		}
	}
	s.do(t, "SCRIPT FLUSH")
	if err := r.Delete(t.Context(), []Pin{{Key: testKey(1), Backend: "a"}}); err != nil {
		t.Error(err)
	}
	wantPin(t, r, testKey(1), "", 0)
}

func TestRedisGeneration(t *testing.T) {
	s := startRedis(t)
	check := func(r *Redis) string {
		t.Helper()
		g, err := r.Check(t.Context())
		if err != nil || g == "" {
			t.Fatalf("Check = %q, %v", g, err)
		}
		return g
	}
	a, b := s.table(t), s.table(t)
	first := check(a)
	if g := check(b); g != first {
		t.Errorf("two replicas see generations %q and %q", first, g)
	}
	// Whoever notices first.
	for _, r := range [][2]*Redis{{b, a}, {a, b}, {a, b}} {
		s.do(t, "FLUSHALL")
		next := check(r[0])
		if next == first {
			t.Error("the generation stays when the contents are lost")
		}
		if g := check(r[1]); g != next {
			t.Errorf("two replicas see generations %q and %q", next, g)
		}
		first = next
	}
}

func TestSharedSecret(t *testing.T) {
	s := startRedis(t)
	secret := func(table interface {
		SharedSecret(context.Context) ([]byte, error)
	}) []byte {
		t.Helper()
		got, err := table.SharedSecret(t.Context())
		if err != nil || len(got) != 32 {
			t.Fatalf("SharedSecret = %d bytes, %v", len(got), err)
		}
		return got
	}
	first := secret(s.table(t))
	if !bytes.Equal(first, secret(s.table(t))) {
		t.Error("two replicas have different secrets")
	}
	if bytes.Equal(first, secret(newRedis(t, RedisConfig{URL: s.addr(), Prefix: "other:"}))) {
		t.Error("two fleets have the same secret")
	}
	m := NewMemory(0)
	if !bytes.Equal(secret(m), secret(m)) || bytes.Equal(secret(m), secret(NewMemory(0))) {
		t.Error("the secret of a table in memory is not one of its own")
	}
	s.do(t, "SET dsproxy:pin:secret short")
	if got, err := s.table(t).SharedSecret(t.Context()); err == nil || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("SharedSecret of a broken key = %q, %v", got, err)
	}
}

func TestRedisAuth(t *testing.T) {
	s := startRedis(t, "--requirepass", "hunter2")
	var log bytes.Buffer
	f := func(user, want string) {
		t.Helper()
		r := newRedis(t, RedisConfig{
			URL: "redis://" + user + s.addr(),
			Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		_, err := r.Check(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("as %q: %v, want %q", user, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter") || strings.Contains(log.String(), "hunter") {
			t.Errorf("as %q the password is told: %v\n%s", user, err, &log)
		}
	}
	f(":hunter2@", "")
	f("default:hunter2@", "")
	f(":hunter3@", "WRONGPASS")
	f("", "NOAUTH")
}

// Errors that mean the server answers but takes no writes are told from others.
func TestRedisRefuses(t *testing.T) {
	f := func(what string, s *redisServer) {
		t.Helper()
		r := s.table(t)
		if _, err := r.Check(t.Context()); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: Check: %v", what, err)
		}
		kept, err := r.Put(t.Context(), []Pin{{Key: testKey(1), Backend: "a", Life: time.Minute}})
		if !errors.Is(err, ErrRefused) || kept[0] != "" {
			t.Errorf("%s: Put = %q, %v", what, kept, err)
		}
		kept, err = r.Put(t.Context(), []Pin{{Key: testKey(1), Backend: "a", Life: time.Minute}, {Key: testKey(2), Backend: "a", Life: time.Minute}})
		if !errors.Is(err, ErrRefused) || kept[0]+kept[1] != "" || !strings.Contains(err.Error(), "and 1 more") {
			t.Errorf("%s: Put = %q, %v", what, kept, err)
		}
		wantPin(t, r, testKey(1), "", 0)
	}
	f("full", startRedis(t, "--maxmemory", "1", "--maxmemory-policy", "noeviction"))
	replica := startRedis(t, "--replicaof", "127.0.0.1 "+fmt.Sprint(freePort(t)), "--replica-serve-stale-data", "yes")
	f("replica", replica)
	alone := startRedis(t, "--min-replicas-to-write", "1")
	f("alone", alone)

	// A full server still renews.
	s := startRedis(t, "--maxmemory-policy", "noeviction")
	r := s.table(t)
	put(t, r, Pin{Key: testKey(1), Backend: "a", Life: time.Minute})
	s.do(t, "PEXPIRE "+r.key(testKey(1))+" 5000")
	s.do(t, "CONFIG SET maxmemory 1")
	put(t, r, Pin{Key: testKey(1), Backend: "a", Life: time.Minute})
	if left := s.client(t).PTTL(t.Context(), r.key(testKey(1))).Val(); left < 30*time.Second {
		t.Errorf("a full server lets a renewed pin live for %v", left)
	}
	if err := r.Delete(t.Context(), []Pin{{Key: testKey(1), Backend: "a"}}); err != nil {
		t.Errorf("a full server deletes nothing: %v", err)
	}
}

func TestRedisAway(t *testing.T) {
	s := startRedis(t)
	r := s.table(t)
	s.kill()
	pins := []Pin{{Key: testKey(1), Backend: "a", Life: time.Minute}, {Key: testKey(2), Backend: "a", Life: time.Minute}}
	kept, err := r.Put(t.Context(), pins)
	if err == nil || errors.Is(err, ErrRefused) || !slices.Equal(kept, []string{"", ""}) {
		t.Errorf("Put = %q, %v", kept, err)
	}
	if _, err := r.Get(t.Context(), testKey(1)); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
	if err := r.Delete(t.Context(), pins); err == nil {
		t.Error("Delete succeeds")
	}
	if _, err := r.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "redis: check the table") {
		t.Errorf("Check: %v", err)
	}
	if _, err := r.SharedSecret(t.Context()); err == nil {
		t.Error("SharedSecret succeeds")
	}
}

func TestRedisTLS(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir)
	file := func(name string) string { return filepath.Join(dir, name) }
	tlsPort := freePort(t)
	s := startRedis(t, "--tls-port", fmt.Sprint(tlsPort), "--tls-auth-clients", "no",
		"--tls-cert-file", file("cert.pem"), "--tls-key-file", file("key.pem"), "--tls-ca-cert-file", file("cert.pem"))
	f := func(c RedisConfig, want string) {
		t.Helper()
		c.URL = fmt.Sprintf(c.URL, tlsPort)
		_, err := newRedis(t, c).Check(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
	f(RedisConfig{URL: "rediss://127.0.0.1:%d", CAFile: file("cert.pem")}, "")
	f(RedisConfig{URL: "rediss://127.0.0.1:%d?ca=" + file("cert.pem"), CAFile: "/nowhere"}, "")
	f(RedisConfig{URL: "rediss://127.0.0.1:%d", CAFile: file("cert.pem"), ServerName: "cache.example"}, "")
	f(RedisConfig{URL: "rediss://127.0.0.1:%d", CAFile: file("cert.pem"), ServerName: "other.example"}, "other.example")
	f(RedisConfig{URL: "rediss://127.0.0.1:%d"}, "certificate")
	if t.Failed() {
		t.Logf("redis-server:\n%s", s.out)
	}
}

// writeCertificate writes a self-signed certificate for 127.0.0.1 and
// cache.example into a directory.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"cache.example"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRedisSentinel(t *testing.T) {
	master := startRedis(t)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor main 127.0.0.1 %d 1\n", master.port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := startRedis(t, conf, "--sentinel")
	r := newRedis(t, RedisConfig{URL: "redis+sentinel://" + sentinel.addr() + "?master=main"})
	eventually(t, "an answer by way of the sentinel", func() bool {
		_, err := r.Check(t.Context())
		return err == nil
	})
	put(t, r, Pin{Key: testKey(1), Backend: "a", Life: time.Minute})
	wantPin(t, master.table(t), testKey(1), "a", time.Minute)
	r = newRedis(t, RedisConfig{URL: "redis+sentinel://" + sentinel.addr() + "?master=other"})
	if _, err := r.Check(t.Context()); err == nil {
		t.Error("a master that no sentinel knows is found")
	}
}

func TestRedisCluster(t *testing.T) {
	var nodes [2]*redisServer
	for i := range nodes {
		nodes[i] = startRedis(t, "--cluster-enabled", "yes", "--cluster-port", fmt.Sprint(freePort(t)))
	}
	nodes[0].do(t, "CLUSTER ADDSLOTSRANGE 0 8191")
	nodes[1].do(t, "CLUSTER ADDSLOTSRANGE 8192 16383")
	nodes[0].do(t, fmt.Sprintf("CLUSTER MEET 127.0.0.1 %d %s", nodes[1].port, nodes[1].args[3]))
	for _, n := range nodes {
		eventually(t, "the cluster", func() bool {
			return strings.Contains(n.do(t, "CLUSTER INFO").(string), "cluster_state:ok")
		})
	}
	r := newRedis(t, RedisConfig{URL: "redis+cluster://" + nodes[0].addr()})
	testTablePut(t, r)
	testTableMove(t, r)
	testTableCheck(t, r)
	testTableRace(t, r)
	pins := make([]Pin, 100)
	for i := range pins {
		pins[i] = Pin{Key: testKey(i), Backend: fmt.Sprint("b", i), Life: time.Minute}
	}
	kept, err := r.Put(t.Context(), pins)
	if err != nil {
		t.Fatal(err)
	}
	for i := range pins {
		wantPin(t, r, pins[i].Key, kept[i], time.Minute)
	}
	for _, n := range nodes {
		if n.do(t, "DBSIZE").(int64) < 20 {
			t.Error("the pins are not spread over the nodes")
		}
	}
	if err := r.Delete(t.Context(), pins); err != nil {
		t.Fatal(err)
	}
	if secret, err := r.SharedSecret(t.Context()); err != nil || len(secret) != 32 {
		t.Errorf("SharedSecret: %v", err)
	}
}

// TestRedisClusterFailover: when the server that has a pin has died and another has
// taken its place, the table finds the pin there, and soon.
func TestRedisClusterFailover(t *testing.T) {
	var nodes [2]*redisServer
	for i := range nodes {
		nodes[i] = startRedis(t, "--cluster-enabled", "yes", "--cluster-port", fmt.Sprint(freePort(t)))
	}
	nodes[0].do(t, "CLUSTER ADDSLOTSRANGE 0 16383")
	nodes[1].do(t, fmt.Sprintf("CLUSTER MEET 127.0.0.1 %d %s", nodes[0].port, nodes[0].args[3]))
	id := nodes[0].do(t, "CLUSTER MYID").(string)
	eventually(t, "the servers to know each other", func() bool {
		return strings.Contains(nodes[1].do(t, "CLUSTER NODES").(string), id+" 127.0.0.1:"+fmt.Sprint(nodes[0].port))
	})
	nodes[1].do(t, "CLUSTER REPLICATE "+id)
	eventually(t, "the replica to follow", func() bool {
		return strings.Contains(nodes[1].do(t, "INFO replication").(string), "master_link_status:up")
	})
	r := newRedis(t, RedisConfig{URL: "redis+cluster://" + nodes[0].addr() + "," + nodes[1].addr()})
	put(t, r, Pin{Key: testKey(1), Backend: "a", Life: time.Minute})
	eventually(t, "the replica to have the pin", func() bool { return nodes[1].do(t, "DBSIZE").(int64) > 0 })
	nodes[0].kill()
	nodes[1].do(t, "CLUSTER FAILOVER TAKEOVER")
	eventually(t, "the table to find the pin", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		pin, err := r.Get(ctx, testKey(1))
		return err == nil && pin.Backend == "a"
	})
}
