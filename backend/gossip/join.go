package gossip

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// joinFirst is the first wait of a member that is alone, doubled up to joinPace,
	// which is that of one that is not.
	joinFirst = 500 * time.Millisecond
	joinPace  = 15 * time.Second
	// Bounds of one round of calls: of those at once, and of all of them.
	joinParallel = 4
	joinRound    = 32
	// A member that was killed and comes back elsewhere finds its name taken until
	// the others have missed it. It tells them once a second for so long.
	contestPace = time.Second
	contestTime = 10 * time.Second
)

// keepJoined calls other members until ctx is done: until there is one, and then
// those of which none is known to be alive.
func (f *Fleet) keepJoined(ctx context.Context) {
	said := map[string]string{}
	wait := joinFirst
	var contest time.Time // when it began
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-f.rejoin:
			wait = joinFirst
		case <-f.table.contested:
			if time.Since(contest) < time.Minute {
				continue // it is two that live
			}
			contest = time.Now()
			timer.Reset(contestPace)
			continue
		case <-f.table.lost:
			if f.others() > 0 {
				continue
			}
			wait = joinFirst
		}
		contested := time.Since(contest) < contestTime
		f.callRound(ctx, said, contested)
		f.table.forget(time.Now())
		next := f.cfg.pace
		if f.others() == 0 {
			next = min(wait, next)
			wait = 2 * next
		} else {
			wait = joinFirst
		}
		if contested {
			next = min(next, contestPace)
		}
		// Not all members at the same moment.
		timer.Reset(next - time.Duration(rand.Int64N(int64(next/4))))
	}
}

// others counts the other members that are alive.
func (f *Fleet) others() (n int) {
	for _, m := range f.table.list() {
		if m.State == Alive && m.Name != f.cfg.Name {
			n++
		}
	}
	return n
}

// target is an address to call.
type target struct {
	addr string
	from string // the entry of the join list; "" for that of a member
}

// callRound calls the members that are missed, or all. said holds what was last
// logged of each entry of the join list.
func (f *Fleet) callRound(ctx context.Context, said map[string]string, everyone bool) {
	join := *f.join.Load()
	for entry := range said {
		if !slices.Contains(join, entry) {
			delete(said, entry)
		}
	}
	failed := map[string]error{}
	missed := func(addr string) bool { return addr != f.Addr() && (everyone || !f.aliveAt(addr)) }
	all := f.targets(ctx, join, failed, missed, everyone)
	errs := make([]error, len(all))
	var g errgroup.Group
	g.SetLimit(joinParallel)
	for i, t := range all {
		g.Go(func() error {
			if ctx.Err() == nil && missed(t.addr) {
				errs[i] = f.call(t.addr)
			}
			return nil
		})
	}
	_ = g.Wait() // no call returns one
	if ctx.Err() != nil {
		return
	}
	for i, t := range all {
		if errs[i] != nil && t.from != "" {
			failed[t.from] = errs[i]
		}
	}
	for _, entry := range join {
		f.report(said, entry, failed[entry])
	}
}

// report logs an entry of the join list when its trouble begins, changes or ends.
func (f *Fleet) report(said map[string]string, entry string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == said[entry] {
		return
	}
	said[entry] = text
	if err != nil {
		f.log.slog.Warn("member cannot be joined", "join", entry, "err", err)
	}
}

// asking is the calls that are under way.
type asking struct {
	mu    sync.Mutex
	calls int
	ended chan struct{} // closed when there is none any more
}

func (a *asking) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calls++; a.calls == 1 {
		a.ended = make(chan struct{})
	}
}

func (a *asking) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calls--; a.calls == 0 {
		close(a.ended)
	}
}

// over is closed at a moment without calls.
func (a *asking) over() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calls > 0 {
		return a.ended
	}
	none := make(chan struct{})
	close(none)
	return none
}

// call exchanges all that is known with the member at addr.
func (f *Fleet) call(addr string) error {
	f.asking.begin()
	defer f.asking.end()
	_, err := f.list.Join([]string{addr})
	if err == nil {
		f.joins.Add(1)
		return nil
	}
	f.joinsLost.Add(1)
	// Its errors are a list in several lines.
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	text := strings.TrimPrefix(strings.TrimSpace(lines[len(lines)-1]), "* ")
	if why := meaning(text); why != "" {
		return fmt.Errorf("%s: %s", text, why)
	}
	if strings.HasSuffix(text, ": EOF") || strings.Contains(text, "connection reset") {
		return fmt.Errorf("%s: it hung up; members of one cluster need the same --cluster", text)
	}
	return fmt.Errorf("%s", text)
}

// targets returns the addresses that are missed of the join list and of the dead, or of
// everyone, in random order.
func (f *Fleet) targets(ctx context.Context, join []string, failed map[string]error, missed func(string) bool, everyone bool) []target {
	var all []target
	seen := map[string]bool{}
	add := func(addr, from string) {
		if !seen[addr] && missed(addr) {
			all = append(all, target{addr, from})
		}
		seen[addr] = true
	}
	for _, entry := range join {
		addrs, err := f.resolve(ctx, entry)
		if err != nil {
			f.joinsLost.Add(1)
			failed[entry] = err
		}
		for _, a := range addrs {
			add(a.String(), entry)
		}
	}
	for _, m := range f.table.list() {
		if m.State == Dead || everyone && m.Name != f.cfg.Name {
			add(m.Addr, "")
		}
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(len(all), joinRound)]
}

// resolve returns all addresses of an entry of the join list.
func (f *Fleet) resolve(ctx context.Context, entry string) ([]netip.AddrPort, error) {
	host, port, err := splitHostPort(entry, DefaultPort)
	if err != nil {
		return nil, err
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(a, port)}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	found, err := f.cfg.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("look up: %w", err)
	}
	all := make([]netip.AddrPort, 0, len(found))
	for _, a := range found {
		all = append(all, netip.AddrPortFrom(a.Unmap(), port))
	}
	return all, nil
}

// aliveAt reports whether a member that is alive has the address.
func (f *Fleet) aliveAt(addr string) bool {
	return slices.ContainsFunc(f.table.list(), func(m Member) bool { return m.State == Alive && m.Addr == addr })
}
