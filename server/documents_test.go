package server

import (
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/dsproxy/dsproxy/server/bus"
)

// TestREADMENamesEveryMetric: each metric that the README lists is there, and each
// that is there is listed.
func TestREADMENamesEveryMetric(t *testing.T) {
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(b), "\n### Metrics of a node\n")
	section, _, _ = strings.Cut(section, "\n## ")
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(deepstream_[a-z_]+)`").FindAllStringSubmatch(section, -1) {
		listed[m[1]] = true
	}
	// A node with all there is: a cache in memory, and a bus.
	client := redis.NewClient(&redis.Options{Addr: startRedis(t), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	s := startNode(t, func(c *Config) {
		c.Name = "node"
		c.Bus = bus.NewRedis(client, bus.RedisConfig{Cluster: t.Name(), Node: c.Name, Log: slog.New(slog.DiscardHandler)})
	})
	descs := make(chan *prometheus.Desc)
	go func() {
		s.metrics().Describe(descs)
		close(descs)
	}()
	name := regexp.MustCompile(`fqName: "(deepstream_[a-z_]+)"`)
	found := 0
	for d := range descs {
		m := name.FindStringSubmatch(d.String())
		if m == nil {
			continue
		}
		found++
		if !listed[m[1]] {
			t.Errorf("README.md does not list %s", m[1])
		}
		delete(listed, m[1])
	}
	for name := range listed {
		t.Errorf("README.md lists %s, which does not exist", name)
	}
	if found < 40 {
		t.Errorf("found %d metrics only", found)
	}
}
