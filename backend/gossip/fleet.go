package gossip

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sync/errgroup"
)

// Fleet is one member and what it knows of the others. Its methods may be called
// by any goroutine.
type Fleet struct {
	// Set by New.
	cfg       Config
	log       *logger
	table     *table
	list      *memberlist.Memberlist
	transport *transport
	addr      netip.AddrPort // advertised
	hangUp    context.CancelFunc
	rejoin    chan struct{} // has room for one: the join list is another

	join             atomic.Pointer[[]string]
	joins, joinsLost atomic.Uint64
	calls            sync.WaitGroup // of proxies
	asking           asking

	mu     sync.Mutex // guards the rest, and has announcements sent in order
	record record
	closed bool
}

const (
	// spreadTime bounds the time that an announcement and a departure may take to be
	// sent.
	spreadTime = time.Second
	lookupTime = 5 * time.Second
	// gossipEvery is how often members pass on what is new, to three others each.
	gossipEvery = 100 * time.Millisecond
	// passOn is how long those who were sent an announcement get to pass it on to
	// those who were not. Who hears of the end of a member before its announcement
	// takes that end for a death: memberlist does not tell the two apart.
	passOn = 2 * gossipEvery
	// callParallel bounds the proxies that are called at once.
	callParallel = 16
)

// tune sets the pace. Each member asks another one, in turn, every half second;
// when one gives no answer in that time, nor to three others asked to try, it is
// suspected, and dead when it does not deny that for 2 s (4 intervals, longer by
// the logarithm of the number of members beyond ten). With a few members that
// makes 2.5 to 3.5 s; memberlist's own settings for a LAN take twice as long. A
// member that stands still for less than 2 s, as one that collects garbage, swaps
// or is being migrated, has the time to deny: a suspicion reaches it within
// a few gossip intervals, and with each question. Where others do not confirm a
// suspicion it takes twice those 2 s, for then it may be the accuser who is in
// trouble; memberlist goes on counting on the dead for that, so it is also so when
// more members die within the ten seconds that it remembers them.
func tune(c *memberlist.Config) {
	c.ProbeInterval = 500 * time.Millisecond
	c.ProbeTimeout = 250 * time.Millisecond
	c.IndirectChecks = 3
	c.SuspicionMult = 4
	c.SuspicionMaxTimeoutMult = 2
	c.AwarenessMaxMultiplier = 4
	c.GossipInterval = gossipEvery
	// News is sent by each member that has it to so many others, times the logarithm
	// of their number. With memberlist's own 4, one of seven members misses one in a
	// hundred until it exchanges all with another, up to 15 s later.
	c.RetransmitMult = 8
	c.GossipToTheDeadTime = 10 * time.Second
	c.PushPullInterval = 15 * time.Second
	c.TCPTimeout = 3 * time.Second
	c.EnableCompression = false
	// A node that died and comes back elsewhere under its name needs not wait.
	c.DeadNodeReclaimTime = time.Nanosecond
}

// New opens the sockets; other members can join this one from now on. A Fleet
// that is not run needs a Close.
func New(c Config) (*Fleet, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	if c.Network == nil {
		c.Network = new(sockets)
	}
	if c.pace == 0 {
		c.pace = joinPace
	}
	f := &Fleet{
		cfg: c, log: newLogger(c.Log), rejoin: make(chan struct{}, 1),
		record: record{role: c.Role, Announcement: c.Announcement},
	}
	f.table = newTable(c.Name, f.log)
	f.join.Store(&c.Join)
	if err := f.open(); err != nil {
		return nil, err
	}
	c.Log.Info("gossip is open", "name", c.Name, "addr", f.Addr(), "cluster", c.Cluster, "encrypted", c.Key != "")
	if on, _ := c.bind(); on.Addr().IsUnspecified() && f.addr.Addr().IsLoopback() { // Validate has seen it
		c.Log.Warn("no other machine can reach this member: give it --advertise", "addr", f.Addr())
	}
	return f, nil
}

func (f *Fleet) open() (err error) {
	if f.table.mine, err = f.record.encode(); err != nil {
		return err
	}
	key, _ := f.cfg.key()   // Validate has seen it
	bind, _ := f.cfg.bind() // and it
	// Its lines come without the time, which slog adds.
	lines := log.New(f.log, "", 0)
	ctx, cancel := context.WithCancel(context.Background())
	f.hangUp = cancel
	var bound netip.AddrPort
	if f.transport, bound, err = listen(ctx, f.cfg.Network, bind, lines); err != nil {
		cancel()
		return err
	}
	if f.addr, err = f.cfg.advertised(bound); err != nil {
		cancel()
		return errors.Join(fmt.Errorf("--advertise: %w", err), f.transport.Shutdown())
	}
	c := memberlist.DefaultLANConfig()
	tune(c)
	c.Name, c.Label, c.SecretKey = f.cfg.Name, f.cfg.Cluster, key
	c.BindAddr, c.BindPort = bound.Addr().String(), int(bound.Port())
	c.AdvertiseAddr, c.AdvertisePort = f.addr.Addr().String(), int(f.addr.Port())
	c.Transport, c.Logger = f.transport, lines
	f.table.addr = f.addr.String()
	c.Delegate, c.Events, c.Alive, c.Conflict, c.Merge = f.table, f.table, f.table, f.table, f.table
	if f.cfg.change != nil {
		f.cfg.change(c)
	}
	if f.list, err = memberlist.Create(c); err != nil {
		cancel()
		return errors.Join(fmt.Errorf("gossip: %w", err), f.transport.Shutdown())
	}
	return nil
}

// Name returns the name of this member.
func (f *Fleet) Name() string { return f.cfg.Name }

// Addr returns the host:port at which others reach this member.
func (f *Fleet) Addr() string { return f.addr.String() }

// Members returns all members known, this one among them, ordered by name. Those
// that left stay for a minute, dead ones for an hour.
func (f *Fleet) Members() []Member { return f.table.list() }

// Watch has tell called for each other member there is, and again whenever one
// joins, announces something else, leaves or dies, or comes back: with the
// member as it is then. Calls come one at a time, for all watches together, while
// Run runs; tell must not wait for long. After stop there are no more calls but
// one that is under way.
func (f *Fleet) Watch(tell func(Member)) (stop func()) { return f.table.watch(tell) }

// Stats are counters.
type Stats struct {
	Joins       uint64 // calls of members that succeeded
	JoinsFailed uint64 // calls, or look-ups of their names, that did not
	Refused     uint64 // connections that were too many
}

// Stats returns the counters.
func (f *Fleet) Stats() Stats {
	return Stats{f.joins.Load(), f.joinsLost.Load(), f.transport.refused.Load()}
}

// SetJoin replaces the join list.
func (f *Fleet) SetJoin(join []string) error {
	c := f.cfg
	c.Join = join
	if err := c.Validate(); err != nil {
		return err
	}
	f.join.Store(&join)
	notify(f.rejoin)
	return nil
}

var errClosed = errors.New("gossip has stopped")

// Announce tells the others something else from now on. It returns when it was
// sent to some of them and they have had the time to pass it on, and every proxy was
// told where the member drains, or when ctx or a second ends; not having been sent in that time is no error, for it goes on.
func (f *Fleet) Announce(ctx context.Context, a Announcement) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.record
	r.Announcement = a
	return f.announce(ctx, r)
}

// announce is called with mu held.
func (f *Fleet) announce(ctx context.Context, r record) error {
	if f.closed {
		return errClosed
	}
	if err := r.check(); err != nil {
		return fmt.Errorf("announcement: %w", err)
	}
	b, err := r.encode()
	if err != nil {
		return err
	}
	f.record = r
	f.table.mu.Lock()
	f.table.mine = b
	f.table.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, spreadTime)
	defer cancel()
	if r.Draining && f.others() == 0 {
		f.hearOut(ctx)
	}
	wait := time.Duration(0)
	if at, _ := ctx.Deadline(); ctx.Err() == nil {
		wait = time.Until(at)
	}
	for range announceTries {
		// An error is that the time is over; no time at all would be no bound.
		_ = f.list.UpdateNode(max(wait, time.Nanosecond))
		if f.table.announces(b) {
			if r.Draining {
				f.callProxies(ctx)
			}
			f.passedOn(ctx)
			return nil
		}
	}
	return errors.New("announcement: what others say of this member came between again and again")
}

// callProxies tells every proxy itself, where it would be a matter of chance which
// of them gossip reaches in time. It returns when all have answered, or ctx ends.
func (f *Fleet) callProxies(ctx context.Context) {
	done := make(chan struct{})
	f.calls.Go(func() {
		defer close(done)
		var g errgroup.Group
		g.SetLimit(callParallel)
		for _, m := range f.table.list() {
			if m.State != Alive || m.Role != Proxy || m.Name == f.cfg.Name {
				continue
			}
			g.Go(func() error {
				if ctx.Err() == nil {
					_, _ = f.list.Join([]string{m.Addr}) // whom it does not reach, gossip may
				}
				return nil
			})
		}
		_ = g.Wait() // no call returns one
	})
	select {
	case <-ctx.Done():
	case <-f.transport.ctx.Done():
	case <-done:
	}
}

// hearOut returns when those who are being called have answered, or ctx ends. Who is
// called knows of this member, and may send clients to it, before this member knows
// whom it has to tell that it ends. One that knows others already tells them first, and
// they those.
func (f *Fleet) hearOut(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-f.transport.ctx.Done():
	case <-f.asking.over():
	}
}

// passedOn returns when what was sent has had the time to get around, or ctx ends.
func (f *Fleet) passedOn(ctx context.Context) {
	if f.others() == 0 {
		return
	}
	timer := time.NewTimer(passOn)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-f.transport.ctx.Done():
	case <-timer.C:
	}
}

// announceTries bounds how often an announcement is made anew. memberlist numbers it
// before it takes its lock: when this member, just back from the dead, contradicts its
// death in that moment, the announcement is older than that and dropped in silence.
const announceTries = 100

// Run joins the others and goes on until ctx is done; then it tells them that this
// member leaves, and closes. A Close ends it too. It returns an error only if it
// was closed before.
func (f *Fleet) Run(ctx context.Context) error {
	f.mu.Lock()
	closed := f.closed
	f.mu.Unlock()
	if closed {
		return errClosed
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(f.transport.ctx, stop)() // Close ends Run
	told, stopTelling := context.WithCancel(context.WithoutCancel(ctx))
	var telling, joining sync.WaitGroup
	telling.Go(func() { f.tell(told) })
	joining.Go(func() { f.keepJoined(ctx) })
	<-ctx.Done()
	f.leave()
	f.Close()
	joining.Wait()
	stopTelling()
	telling.Wait()
	return nil
}

// leave tells the others that this is no death.
func (f *Fleet) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	r := f.record
	r.leaving, r.Draining = true, true
	if err := f.announce(context.Background(), r); err != nil {
		f.log.slog.Warn("departure not announced", "err", err)
	}
	if err := f.list.Leave(spreadTime); err != nil {
		f.log.slog.Warn("departure not announced", "err", err)
	}
}

// Close ends the membership at once, without a word to the others. Run does that
// by itself. A question that memberlist has under way to another member cannot be
// cut short: its goroutine ends with its time-out, within two seconds.
func (f *Fleet) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.closed = true
	f.hangUp()
	f.transport.hangUp()
	if err := f.list.Shutdown(); err != nil {
		f.log.slog.Warn("gossip did not close", "err", err)
	}
	f.calls.Wait()
}

// tell calls the watches until ctx is done.
func (f *Fleet) tell(ctx context.Context) {
	for {
		for {
			tell, m := f.table.next()
			if tell == nil {
				break
			}
			tell(m)
		}
		select {
		case <-ctx.Done():
			return
		case <-f.table.wake:
		}
	}
}
