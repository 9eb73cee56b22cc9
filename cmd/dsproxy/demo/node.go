package demo

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/dsproxy/dsproxy/backend/gossip"
	"github.com/dsproxy/dsproxy/server"
	"github.com/dsproxy/dsproxy/server/config"
)

// cluster is the name of the demo's cluster, which keeps it apart from others on
// the same Redis.
const cluster = "dsproxy-demo"

// nodeDrain is how long a node that stops waits for its clients.
const nodeDrain = time.Second

// Node is the hidden command demo-node: a deepstream node, as the command deepstream
// runs one, until ctx is done.
func Node(ctx context.Context, args []string, stderr io.Writer) error {
	s := config.Default()
	var join, redis string
	fs := flag.NewFlagSet("demo-node", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&s.Node.Name, "name", "", "`name` of the node")
	fs.StringVar(&s.Node.Addr, "listen", "127.0.0.1:0", "`address` for clients")
	fs.StringVar(&s.Node.AdminAddr, "admin", "127.0.0.1:0", "`address` of the administration")
	fs.StringVar(&s.Cluster.Bind, "bind", "127.0.0.1:0", "`address` of the gossip")
	fs.StringVar(&join, "join", "", "`addresses` of members")
	fs.StringVar(&redis, "redis", os.Getenv(redisVariable), "`address` of the Redis")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if err := s.UseRedis(redis); err != nil {
		return fmt.Errorf("--redis: %w", err)
	}
	s.Cluster.Name, s.Cluster.NameGiven = cluster, true
	if join != "" {
		s.Cluster.Join = strings.Split(join, ",")
	}
	s.Node.DrainTimeout, s.Node.Overtime = nodeDrain, nodeDrain
	return runNode(ctx, s, slog.New(slog.NewJSONHandler(stderr, nil)))
}

func runNode(ctx context.Context, s *config.Settings, log *slog.Logger) error {
	c, err := s.Open(log)
	if err != nil {
		return err
	}
	announced := gossip.Announcement{Version: server.Version()}
	member, err := gossip.New(gossip.Config{
		Name: c.Name, Role: gossip.Node, Cluster: s.Cluster.Name, Bind: s.Cluster.Bind, Join: s.Cluster.Join, Log: log,
		Announcement: announced,
	})
	if err != nil {
		return errors.Join(err, c.Cache.Close())
	}
	if bus, ok := c.Bus.(interface{ Verdict(node string, alive bool) }); ok {
		member.Watch(func(m gossip.Member) {
			if m.Role == gossip.Node {
				bus.Verdict(m.Name, m.State == gossip.Alive)
			}
		})
	}
	live, leave := context.WithCancel(context.WithoutCancel(ctx))
	left := make(chan error, 1)
	go func() { left <- member.Run(live) }()
	err = serveNode(ctx, c, func(addr string, draining bool, within time.Duration) {
		announced.Addr, announced.Draining = addr, draining
		known, cancel := context.WithTimeout(live, within)
		defer cancel()
		if err := member.Announce(known, announced); err != nil {
			log.Warn("not announced", "err", err)
		}
	})
	leave()
	return errors.Join(err, <-left)
}

// tellTime bounds how long a node that stops waits until the proxies were told.
const tellTime = 500 * time.Millisecond

// serveNode serves until ctx is done; announce tells the proxies where, and that
// the node drains before it closes anything.
func serveNode(ctx context.Context, c server.Config, announce func(addr string, draining bool, within time.Duration)) error {
	node, err := server.New(c)
	if err == nil {
		err = node.Listen()
	}
	if err != nil {
		return errors.Join(err, c.Cache.Close())
	}
	c.Log.Info("administration", "addr", node.AdminAddr().String())
	live, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	addr := node.Addr().String()
	announce(addr, false, 0)
	defer context.AfterFunc(ctx, func() {
		announce(addr, true, tellTime)
		stop()
	})()
	return node.Run(live)
}
