package proxy

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/dsproxy/dsproxy/affinity"
)

// sharedTable is the affinity table with the secret that its replicas share.
type sharedTable interface {
	affinity.Table
	SharedSecret(ctx context.Context) ([]byte, error)
}

// newTable opens the table in Redis, or the embedded one of a single replica.
// A Redis that is away does not keep the proxy from starting.
func newTable(c Config, log *slog.Logger) (sharedTable, error) {
	if c.Redis == "" {
		return affinity.NewMemory(c.Affinity.MaxPins), nil
	}
	t, err := affinity.NewRedis(affinity.RedisConfig{URL: c.Redis, Prefix: c.RedisPrefix, CAFile: c.RedisCA, Log: log})
	if err != nil {
		return nil, err
	}
	return t, nil
}

func closeTable(t sharedTable) {
	if c, ok := t.(io.Closer); ok {
		c.Close()
	}
}

// tableObserver turns the table's reports into metrics.
type tableObserver struct{ m *metrics }

func (o tableObserver) TableOp(op string, took time.Duration, class string) {
	o.m.tableOps.WithLabelValues(op).Observe(took.Seconds())
	if class != "" {
		o.m.tableErrors.WithLabelValues(op, class).Inc()
	}
}
