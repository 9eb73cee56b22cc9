package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// fleet is all the members and their Redis.
type fleet struct {
	// Set by newFleet.
	program string
	redis   *redisStore
	nodes   []*member
	proxies []*member
	through *balancer // to the proxies
	plain   *balancer // to the nodes
	state   atomic.Pointer[state]

	drains sync.Mutex // held while proxies are told of a drain

	mu      sync.Mutex
	journal []entry // guarded by mu
	count   int     // guarded by mu: of entries ever
}

// entry is what happened to the fleet.
type entry struct {
	Number int       `json:"number"`
	At     time.Time `json:"at"`
	// Act tells what was asked for from what followed.
	Act  bool   `json:"act"`
	Text string `json:"text"`
}

// journalKept bounds what a page that opens late is told.
const journalKept = 100

func newFleet(program string, redis *redisStore) *fleet {
	f := &fleet{program: program, redis: redis, through: newBalancer("X-Demo-Proxy"), plain: newBalancer("X-Demo-Node")}
	for i := range 2 {
		f.nodes = append(f.nodes, &member{name: fmt.Sprintf("node-%d", i+1), role: nodeRole})
		f.proxies = append(f.proxies, &member{name: fmt.Sprintf("proxy-%d", i+1), role: proxyRole})
	}
	f.state.Store(&state{})
	return f
}

func (f *fleet) members() []*member { return append(append([]*member{}, f.nodes...), f.proxies...) }

// start starts everything: the first node, and then all that join it.
func (f *fleet) start(ctx context.Context) error {
	if err := f.startMember(ctx, f.nodes[0]); err != nil {
		return err
	}
	var rest sync.WaitGroup
	errs := make([]error, len(f.members()))
	for i, m := range f.members()[1:] {
		rest.Go(func() { errs[i] = f.startMember(ctx, m) })
	}
	rest.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return f.found(ctx)
}

// found waits until the proxies have found the nodes and say so, for only then do the
// balancers have somebody to give requests to.
func (f *fleet) found(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	for {
		f.look(ctx)
		if f.state.Load().whole() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the proxies do not find the nodes: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

func (f *fleet) startMember(ctx context.Context, m *member) error {
	var join []string
	for _, other := range f.members() {
		if at := other.where().gossip; other != m && at != "" {
			join = append(join, at)
		}
	}
	return m.start(ctx, f.program, f.redis.addr, strings.Join(join, ","))
}

// stop ends all members at once. No start is under way that would bring one back,
// but those that ctx of start ends.
func (f *fleet) stop() {
	var all sync.WaitGroup
	for _, m := range f.members() {
		all.Go(func() { _ = m.end(false) }) // the error is that it does not run
	}
	all.Wait()
}

// log adds to the journal.
func (f *fleet) log(act bool, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	f.journal = append(f.journal, entry{f.count, time.Now(), act, fmt.Sprintf(format, args...)})
	f.journal = f.journal[max(0, len(f.journal)-journalKept):]
}

// since returns the entries after a number.
func (f *fleet) since(number int) []entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, e := range f.journal {
		if e.Number > number {
			return append([]entry{}, f.journal[i:]...)
		}
	}
	return nil
}

// describe says where everything is; addr is that of the page.
func (f *fleet) describe(addr net.Addr) string {
	at := addr.String()
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() { // every address, which no browser can open
		at = net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
	}
	var b strings.Builder
	b.WriteByte('\n')
	row := func(name, where string) { fmt.Fprintf(&b, "  %-10s %s\n", name, where) }
	row("page", "http://"+at+"/")
	row("balancer", "http://"+at+"/deepstream   (round robin, request by request)")
	for _, m := range f.proxies {
		at := m.where()
		row(m.name, at.clients+"   admin http://"+at.admin+"/backends /sessions /metrics")
	}
	for _, m := range f.nodes {
		at := m.where()
		row(m.name, at.clients+"   admin http://"+at.admin+"/metrics")
	}
	what := "   (given)"
	if f.redis.own != nil {
		what = "   (embedded)"
	}
	row("redis", f.redis.label()+what)
	b.WriteString("\nOpen the page. Ctrl-C stops.\n")
	return b.String()
}
