package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dsproxy/dsproxy/backend/gossip"
	"github.com/dsproxy/dsproxy/cmd/internal/service"
	"github.com/dsproxy/dsproxy/server"
	"github.com/dsproxy/dsproxy/server/config"
)

// settings reads flags, environment and file.
func (p *program) settings(args []string) (*config.Settings, error) {
	var o options
	fs := newFlags("start", &o)
	if _, err := parse(fs, args, 0); err != nil {
		return nil, err
	}
	if o.version {
		return nil, errShowVersion
	}
	if err := fromEnv(fs, p.getenv); err != nil {
		return nil, err
	}
	path, err := p.file(o.config)
	if err != nil {
		return nil, err
	}
	s := config.Default()
	if path != "" {
		s, err = config.Load(path, config.Options{Getenv: p.getenv, DisableAuth: o.noAuth, DisablePermissions: o.noPerms})
		if err != nil {
			return nil, err
		}
	}
	return s, o.apply(s)
}

// originalLayout is for who looks for records that were written without a prefix: by
// deepstream.io, or by a node on its own.
const originalLayout = `cache.options.prefix: "" is the layout of deepstream.io, without one`

// start runs a node until SIGTERM or SIGINT.
func (p *program) start(ctx context.Context, args []string) error {
	s, err := p.settings(args)
	if err != nil {
		return err
	}
	log := newLogger(s.Log, p.stderr)
	redis.SetLogger(&redisLog{log: log})
	if s.File == "" {
		log.Info("no configuration file found, everyone may log in")
	} else {
		log.Info("configuration read", "file", s.File)
	}
	for _, w := range s.Warnings {
		log.Warn(w.Text, "file", w.File, "line", w.Line)
	}
	if prefix := s.ClusterPrefix(); prefix != "" {
		log.Info("records lie in Redis behind the prefix of the cluster; "+originalLayout, "prefix", prefix)
	}
	c, err := s.Open(log)
	if err != nil {
		return err
	}
	if !s.AdminGiven {
		c.AdminListener = listenFrom(s.Node.AdminAddr)
	}
	service.WarnOfFiles(log, c.MaxConnections, 1)
	if p.getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	// From before the ports are open: who has seen them may stop the node.
	signals := make(chan os.Signal, 8) // some may come before they are heeded
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	n, err := open(s, c, nil)
	if err != nil {
		return err
	}
	return n.serve(ctx, signals)
}

// garbage is how much may gather before it is collected, in percent of what is in use,
// unless GOGC says. Go's own 100 costs a tenth more processor time: what a node has in
// use is little, and what messages leave behind is much.
const garbage = 200

// process is a server with its ports open, and its part in the gossip.
type process struct {
	server *server.Server
	member *membership
	drain  time.Duration
	log    *slog.Logger
}

// open joins the fleet, opens the ports and announces them. The stores are closed if
// that fails. A nil network is that of the machine.
func open(s *config.Settings, c server.Config, network gossip.Network) (*process, error) {
	member, err := join(s, network, c.Bus, c.Log)
	if err != nil {
		return nil, errors.Join(err, closeStores(c))
	}
	n := &process{member: member, drain: c.DrainTimeout, log: c.Log}
	if n.server, err = server.New(c); err == nil {
		err = n.server.Listen()
	}
	if err != nil {
		member.cut()
		return nil, errors.Join(err, closeStores(c))
	}
	member.open(n.server)
	if a := n.server.AdminAddr(); a != nil {
		c.Log.Info("administration", "addr", a.String())
	}
	return n, nil
}

// serve runs until a signal, or until ctx is done, and leaves the fleet.
func (n *process) serve(ctx context.Context, signals <-chan os.Signal) error {
	if err := n.run(ctx, signals); err != nil {
		n.member.cut()
		return err
	}
	n.member.leave()
	return nil
}

func closeStores(c server.Config) error {
	err := c.Cache.Close()
	if c.Storage != nil {
		err = errors.Join(err, c.Storage.Close())
	}
	return err
}

// run serves until a signal, or until ctx is done; proxies are told before the node
// begins to close. A second signal does not wait for the clients.
func (n *process) run(ctx context.Context, signals <-chan os.Signal) error {
	live, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	done := make(chan error, 1)
	go func() { done <- n.server.Run(live) }()
	stopping := make(chan struct{})
	defer service.Notifier{Status: n.server.Status, Log: n.log}.Run(stopping)()

	asked := ctx.Done()
	leaving := false
	end := func() {
		leaving = true
		close(stopping)
		go func() {
			n.member.drain(n.drain)
			stop()
		}()
	}
	for {
		select {
		case err := <-done:
			return err
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				n.log.Warn("configuration is read at the start only; restart the node for a new one", "signal", sig.String())
				continue
			}
			if leaving {
				return fmt.Errorf("stopped at once by a second signal, %s", sig)
			}
			n.log.Info("stopping", "signal", sig.String())
			end()
		case <-asked:
			asked = nil
			if !leaving {
				end()
			}
		}
	}
}

// listenFrom listens at addr, or at the next port that is free: several nodes on one
// machine need no configuration for their administration. It returns nil if there is
// none.
func listenFrom(addr string) net.Listener {
	const tries = 100
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return nil
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil
	}
	for i := range tries {
		if l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port+i))); err == nil {
			return l
		}
	}
	return nil
}

// redisLog has what the client of Redis says in our log: why it cannot connect, where
// whoever waits for it only knows that time is up. It says so again and again, so one
// line in ten seconds is a warning.
type redisLog struct {
	log  *slog.Logger
	next atomic.Int64 // when the next may be a warning, in Unix seconds
}

// Printf implements the logger of go-redis.
func (l *redisLog) Printf(ctx context.Context, format string, v ...any) {
	level := slog.LevelDebug
	now := time.Now().Unix()
	if next := l.next.Load(); now >= next && l.next.CompareAndSwap(next, now+10) {
		level = slog.LevelWarn
	}
	if l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "redis client", "says", fmt.Sprintf(format, v...))
	}
}

// newLogger makes the log, on standard error.
func newLogger(c config.LogSettings, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level}
	if c.JSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
