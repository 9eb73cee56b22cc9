package gossip

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dsproxy/dsproxy/backend"
)

const (
	// doubtFor is how long a dead node is still named as a backend.
	doubtFor = 10 * time.Minute
	// settle is how long more changes are waited for after one: what is learned at
	// once comes member by member.
	settle = 20 * time.Millisecond
)

// members is the part of a Fleet that a Source needs.
type members interface {
	Watch(tell func(Member)) (stop func())
}

// Source names the nodes of a fleet as backends.
//
//	member                      backend
//	alive, with an address      as it announces itself
//	left                        none
//	dead                        with a Doubt, for ten minutes at most
//	dead, and so is every node  as it last announced itself
//
// The last is a proxy that was cut off from the gossip, or a fleet that is gone:
// health checks can tell, gossip cannot. So the list of a proxy that hears nobody
// stays as it was.
type Source struct {
	members members
	doubt   time.Duration

	mu  sync.Mutex // guards err
	err error
}

// Source returns a source of the nodes; it speaks while Run of the Fleet and that
// of the Source run.
func (f *Fleet) Source() *Source { return &Source{members: f, doubt: doubtFor} }

// String names the source.
func (s *Source) String() string { return "gossip" }

var (
	errNobody = errors.New("no node is known yet")
	errAlone  = errors.New("no node is heard; those last known stay, as their health checks find them")
)

// Err tells while gossip is of no help, or returns nil.
func (s *Source) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Source) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// Run names the nodes until ctx is done, then returns nil. It says nothing before
// there is a node.
func (s *Source) Run(ctx context.Context, set func([]backend.Backend)) error {
	news := &inbox{changed: map[string]Member{}, wake: make(chan struct{}, 1)}
	stop := s.members.Watch(news.put)
	defer stop()
	s.fail(errNobody)
	v := &view{nodes: map[string]*node{}, doubt: s.doubt}
	var last []backend.Backend
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-news.wake:
			timer.Reset(settle)
			continue
		case <-timer.C:
		}
		now := time.Now()
		for _, m := range news.take() {
			v.hear(m, now)
		}
		list, next := v.backends(now)
		timer.Reset(next)
		switch {
		case v.alone && len(list) > 0:
			s.fail(errAlone)
		case len(v.nodes) == 0:
			s.fail(errNobody)
		default:
			s.fail(nil)
		}
		if !slices.Equal(list, last) {
			last = list
			set(list)
		}
	}
}

// inbox holds the members that changed until Run looks.
type inbox struct {
	wake chan struct{} // has room for one

	mu      sync.Mutex // guards changed
	changed map[string]Member
}

func (i *inbox) put(m Member) {
	i.mu.Lock()
	i.changed[m.Name] = m
	i.mu.Unlock()
	notify(i.wake)
}

func (i *inbox) take() map[string]Member {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := i.changed
	i.changed = map[string]Member{}
	return all
}

// view is what a Source knows of the nodes. Its methods are told the time.
type view struct {
	doubt time.Duration
	nodes map[string]*node // by the member's name
	alone bool             // all of them are dead
}

type node struct {
	Member
	doubted time.Time // since when; for a dead one while the view is not alone
}

func (v *view) hear(m Member, now time.Time) {
	if m.Role != Node || m.State == Left {
		delete(v.nodes, m.Name)
		return
	}
	old := v.nodes[m.Name]
	if m.State == Dead && old == nil {
		return // it was dead before this view began, or it is for too long
	}
	n := &node{Member: m}
	if m.State == Dead {
		n.doubted = now
		if old.State == Dead {
			n.doubted = old.doubted
		}
	}
	v.nodes[m.Name] = n
}

// backends returns the list, ordered by ID, and when to look again.
func (v *view) backends(now time.Time) ([]backend.Backend, time.Duration) {
	wasAlone := v.alone
	v.alone = len(v.nodes) > 0
	for _, n := range v.nodes {
		v.alone = v.alone && n.State == Dead
	}
	next := time.Hour
	var list []backend.Backend
	for _, name := range slices.Sorted(maps.Keys(v.nodes)) {
		n := v.nodes[name]
		b := backend.Backend{
			ID: n.BackendID(), Addr: n.Announcement.Addr, TLS: n.TLS, Zone: n.Zone, Version: n.Version, Weight: n.Weight, Draining: n.Draining,
		}
		if n.State == Dead && !v.alone {
			if wasAlone {
				n.doubted = now // until now it was we who heard nothing
			}
			left := v.doubt - now.Sub(n.doubted)
			if left <= 0 {
				delete(v.nodes, name)
				continue
			}
			next = min(next, left)
			b.Doubt = fmt.Sprintf("gossip has not heard of it since %s", n.doubted.UTC().Format(time.TimeOnly+" UTC"))
		}
		if b.Addr != "" {
			list = append(list, b)
		}
	}
	slices.SortFunc(list, func(a, b backend.Backend) int { return strings.Compare(a.ID, b.ID) })
	return list, next
}
