package main

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dsproxy/dsproxy/server/message"
)

// redisServer is what joins the servers of a cluster.
type redisServer struct {
	*process
	client *redis.Client
	port   string
}

func (b *bench) startRedis(ctx context.Context) (*redisServer, error) {
	r := &redisServer{}
	p, addr, err := launch(b.dir, "redis", func(port string) *exec.Cmd {
		r.port = port
		return exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", b.dir)
	})
	if err != nil {
		return nil, err
	}
	r.process = p
	r.client = redis.NewClient(&redis.Options{Addr: addr.String()})
	if err := p.ready(ctx, func(ctx context.Context) bool { return r.client.Ping(ctx).Err() == nil }); err != nil {
		r.stop()
		return nil, p.explain(err)
	}
	return r, nil
}

func (r *redisServer) stop() {
	_ = r.client.Close() // it is killed anyway
	r.process.stop()
}

// published is how often Redis was asked to publish something.
func (r *redisServer) published(ctx context.Context) (int64, error) {
	stats, err := r.client.InfoMap(ctx, "commandstats").Result()
	if err != nil {
		return 0, fmt.Errorf("ask Redis what it did: %w", err)
	}
	text, ok := stats["Commandstats"]["cmdstat_publish"]
	if !ok {
		return 0, nil
	}
	var calls int64
	if _, err := fmt.Sscanf(text, "calls=%d,", &calls); err != nil {
		return 0, fmt.Errorf("commandstats of Redis has %q of publish: %w", text, err)
	}
	return calls, nil
}

// clusterTurn is a turn of two servers.
func (b *bench) clusterTurn(ctx context.Context, name string, w *work) (s sample, err error) {
	redis, err := b.startRedis(ctx)
	if err != nil {
		return s, err
	}
	defer redis.stop()
	command, err := b.command(name, "cluster.yml")
	if err != nil {
		return s, err
	}
	t := &turn{options: &b.options, redis: redis}
	for i := range 2 {
		p, addr, err := start(ctx, b.dir, fmt.Sprintf("server%d", i+1), func(port string) *exec.Cmd {
			cmd := command(port)
			cmd.Env = append(cmd.Environ(), "REDIS_PORT="+redis.port)
			return cmd
		})
		if err != nil {
			return s, err
		}
		defer p.stop()
		t.servers = append(t.servers, p)
		t.from, t.addr = t.addr, addr
	}
	if w.name == clusterAlone {
		t.from = t.addr
	}
	return b.play(ctx, t, name, w)
}

// introduce waits until what is published on one server arrives on the other. It
// comes after the subscriptions, so that those are known by then as well.
func (t *turn) introduce(ctx context.Context, pub *client) error {
	const name = "introduction"
	probe, err := login(t.addr, int(t.opened.Add(1)))
	if err != nil {
		return err
	}
	defer probe.close()
	if err := subscribe(func(int) string { return name })(probe, 0); err != nil {
		return err
	}
	arrived := make(chan error, 1)
	go func() { arrived <- probe.expect(message.Event, message.EventEmit) }()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case err := <-arrived:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
			if err := pub.write(emit(name)); err != nil {
				return err
			}
		}
	}
}

// alone counts what Redis is asked to publish for events whose subscribers are all
// on the publisher's server.
func (t *turn) alone(ctx context.Context) (sample, error) {
	const subscribers = 10
	list, err := t.crowd(ctx, subscribers, subscribe(func(int) string { return eventName }))
	if err != nil {
		return sample{}, err
	}
	pub, err := login(t.from, int(t.opened.Add(1)))
	if err != nil {
		return sample{}, err
	}
	defer pub.close()
	var got, sent int64
	for _, c := range list {
		if err := t.loop.add(c, func([]byte) error { got++; return nil }); err != nil {
			return sample{}, err
		}
	}
	frame := emit(eventName)
	pump := func() (time.Time, error) {
		var out []byte
		for ; sent < got/subscribers+window; sent++ {
			out = append(out, frame...)
		}
		return time.Time{}, pub.write(out)
	}
	var before, events int64
	t.began = also(t.began, func() {
		events = sent
		before, err = t.redis.published(ctx)
	})
	s, measured := t.measure(ctx, &got, pump)
	if err := cmp.Or(measured, err); err != nil {
		return s, err
	}
	after, err := t.redis.published(ctx)
	if err != nil {
		return s, err
	}
	return sample{cost: float64(after-before) / float64(sent-events), rate: s.rate / subscribers}, nil
}
