package backend

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// ErrUnknown says that no backend has the id.
var ErrUnknown = errors.New("unknown backend")

// Pool keeps what is known of the backends. All methods may be called from any
// goroutine, before, during and after Run.
type Pool struct {
	// Set when made.
	deps Deps
	wake chan struct{} // has Run look again at what is due

	// Replaced as a whole; readers take no lock.
	set      atomic.Pointer[Set]
	settings atomic.Pointer[settings]

	mu         sync.Mutex // guards the rest and the records
	records    map[string]*record
	ids        []string         // of records, ascending
	index      map[string]int32 // of ids, as the Sets share it
	generation uint64
	departed   map[string]*load // of backends that vanished busy
	lost       map[string]bool  // ids of backends that vanished because they were lost
	slots      []*slot
	runner     *runner // while Run runs
	checks     int     // under way
	changes    []Change
	delivering bool
}

// NewPool returns a pool over its sources. Static ones are in its Set at once,
// taken for up: traffic need not wait for the first check, which follows within
// moments of Run and decides alone. The other sources need Run.
func NewPool(c Config, d Deps, sources ...Source) (*Pool, error) {
	s, err := c.settle()
	if err != nil {
		return nil, err
	}
	d.fill()
	p := &Pool{
		deps: d, wake: make(chan struct{}, 1),
		records: map[string]*record{}, index: map[string]int32{}, departed: map[string]*load{}, lost: map[string]bool{},
	}
	p.set.Store(newSet(nil, p.index, 0, d.Random))
	p.apply(s, sources)
	return p, nil
}

// Set returns the backends as they are now: one atomic load.
func (p *Pool) Set() *Set { return p.set.Load() }

// Reload takes another configuration and other sources; if the configuration is
// bad nothing changes. What is known of backends that stay is kept: health,
// load, drains.
//
// A source that is among the old ones (the same value) goes on undisturbed. One
// whose String is that of an old one starts with the old one's list. The
// backends of old sources that are no more stay until every new source has
// spoken, so that no reload leaves a gap, not even one whose new names cannot be
// looked up.
func (p *Pool) Reload(c Config, sources ...Source) error {
	s, err := c.settle()
	if err != nil {
		return err
	}
	p.apply(s, sources)
	return nil
}

func (p *Pool) apply(s *settings, sources []Source) {
	if s.InsecureSkipVerify {
		p.deps.Log.Warn("certificates of backends are not verified: whoever sits on the path can read and change everything")
	}
	slots := p.slotsFor(sources)
	p.update(func(now time.Time) {
		p.settings.Store(s)
		for _, r := range p.records {
			r.tls = s.tlsFor(r.backend)
			if latest := now.Add(s.Interval); r.nextCheck.After(latest) {
				r.nextCheck = latest
			}
		}
		p.arrange(now, slots)
	})
}

// update changes records under the lock, publishes, and tells of the changes.
func (p *Pool) update(change func(now time.Time)) {
	p.mu.Lock()
	now := time.Now()
	change(now)
	p.publish(now)
	p.deliver()
	p.mu.Unlock()
	p.rouse()
}

// publish settles the state of every record and makes a Set of them. The
// caller holds mu.
func (p *Pool) publish(now time.Time) {
	c := p.settings.Load()
	members := make([]Member, len(p.ids))
	for i, id := range p.ids {
		r := p.records[id]
		r.noteLost(now)
		state, reason := r.current()
		if state != r.state {
			p.changes = append(p.changes, Change{Backend: r.backend, From: r.state, To: state, Reason: reason, At: now})
			r.state, r.since = state, now
		}
		r.reason = reason
		members[i] = r.member(c)
	}
	p.set.Store(newSet(members, p.index, p.generation, p.deps.Random))
}

// deliver tells of the changes, in order: whoever finds the queue unattended
// works it off, also what is added meanwhile. The caller holds mu, which is
// released while callbacks run.
func (p *Pool) deliver() {
	if p.delivering {
		return
	}
	p.delivering = true
	for len(p.changes) > 0 {
		batch := p.changes
		p.changes = nil
		p.mu.Unlock()
		for _, c := range batch {
			p.tell(c)
		}
		p.mu.Lock()
	}
	p.delivering = false
}

func (p *Pool) tell(c Change) {
	log := p.deps.Log.Info
	if c.To == Down || c.To == Ejected {
		log = p.deps.Log.Warn
	}
	log("backend changed", "backend", c.Backend.ID, "from", c.From.String(), "to", c.To.String(), "reason", c.Reason)
	p.deps.OnChange(c)
}

// merge makes the records follow the lists of the sources. fresh says whether
// a backend that is new came to a pool at work, and so starts slowly.
func (p *Pool) merge(now time.Time, fresh bool) {
	c := p.settings.Load()
	wanted := p.wanted()
	p.bury(wanted, now)
	for _, id := range p.ids {
		r := p.records[id]
		b, ok := wanted[id]
		if ok && sameServer(b, r.backend) {
			if (b.Doubt == "") != (r.backend.Doubt == "") {
				p.checkSoon(r, now)
			}
			r.backend = b
			continue
		}
		why := "no source names it any more"
		switch {
		case ok:
			why = "its address is another now"
		case p.lost[id]:
			why = "its source doubts it and " + r.downWhy
		}
		p.changes = append(p.changes, Change{Backend: r.backend, From: r.state, To: Gone, Reason: why, At: now})
		if !r.load.idle() {
			p.departed[id] = r.load
		}
		delete(p.records, id)
	}
	var rampFrom time.Time
	if fresh {
		rampFrom = p.slowFrom(now, c)
	}
	added := false
	for id, b := range wanted {
		if _, ok := p.records[id]; ok {
			continue
		}
		r := &record{
			pool: p, backend: b, load: p.departed[id], seed: xxhash.Sum64String(id), tls: c.tlsFor(b),
			upReason: "not checked yet", nextCheck: now,
		}
		if r.load == nil {
			r.load = new(load)
		}
		r.rampFrom = rampFrom
		p.records[id] = r
		added = true
	}
	maps.DeleteFunc(p.departed, func(id string, l *load) bool { return p.records[id] != nil || l.idle() })
	if ids := slices.Sorted(maps.Keys(p.records)); added || !slices.Equal(ids, p.ids) {
		p.ids = ids
		p.generation++
		p.index = make(map[string]int32, len(ids))
		for i, id := range ids {
			p.index[id] = int32(i)
		}
	}
	p.limitEjections(now, c)
}

// slowFrom is when the slow start begins of a backend that comes to the pool now: at
// most as much of it is left as the pool has been at work for, since those that came
// just before have hardly more sessions. Zero is for none.
func (p *Pool) slowFrom(now time.Time, c *settings) time.Time {
	var atWork time.Duration
	for _, r := range p.records {
		if r.state == Up {
			atWork = max(atWork, now.Sub(r.since))
		}
	}
	if c.SlowStart <= 0 || atWork <= 0 {
		return time.Time{}
	}
	return now.Add(min(atWork, c.SlowStart) - c.SlowStart)
}

// bury takes those off the list that are lost, and keeps them off until their
// source names them without a doubt, or not at all.
func (p *Pool) bury(wanted map[string]Backend, now time.Time) {
	maps.DeleteFunc(p.lost, func(id string, _ bool) bool { return wanted[id].Doubt == "" })
	for id, b := range wanted {
		if r := p.records[id]; b.Doubt != "" && r != nil && r.lost(now) && sameServer(b, r.backend) {
			p.lost[id] = true
		}
		if p.lost[id] {
			delete(wanted, id)
		}
	}
}

func (p *Pool) anyLost(now time.Time) bool {
	for _, r := range p.records {
		if r.lost(now) {
			return true
		}
	}
	return false
}

// wanted merges the lists of the sources by id; the first to name a backend
// wins. Any source may drain it, also by another id for the same address; a doubt
// is one only if all share it.
func (p *Pool) wanted() map[string]Backend {
	all := map[string]Backend{}
	byServer := map[[2]string]string{}
	for _, s := range p.slots {
		for _, b := range s.list {
			server := [2]string{b.Addr, b.serverName()}
			id, ok := byServer[server]
			if _, known := all[b.ID]; known {
				id, ok = b.ID, true
			}
			if !ok {
				all[b.ID] = b
				byServer[server] = b.ID
				continue
			}
			first := all[id]
			first.Draining = first.Draining || b.Draining
			if b.Doubt == "" {
				first.Doubt = ""
			}
			if first.Zone == "" {
				first.Zone = b.Zone
			}
			if first.Version == "" {
				first.Version = b.Version
			}
			all[id] = first
		}
	}
	return all
}

// mayEject says whether r can be spared: at most EjectPercent of the backends
// are ejected at once, and never the last one that takes new sessions.
func (p *Pool) mayEject(r *record, c *settings) bool {
	ejected, others := 1, 0
	for _, o := range p.records {
		if o.ejected() {
			ejected++
		}
		if state, _ := o.current(); o != r && state == Up {
			others++
		}
	}
	return ejected*100 <= c.EjectPercent*len(p.records) && others > 0
}

// limitEjections takes back ejections, those that end soonest first, when the
// set has become too small for them.
func (p *Pool) limitEjections(now time.Time, c *settings) {
	var out []*record
	for _, r := range p.records {
		if r.ejected() {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *record) int {
		if n := a.ejectedUntil.Compare(b.ejectedUntil); n != 0 {
			return n
		}
		return strings.Compare(a.backend.ID, b.backend.ID)
	})
	for len(out) > 0 && len(out)*100 > c.EjectPercent*len(p.records) {
		out[0].endEjection(now, c, "its ejection was taken back: too few backends are left")
		out = out[1:]
	}
}

// Drain has a backend take no new sessions until Undrain. It is forgotten when
// the backend vanishes from its sources. The error is ErrUnknown.
func (p *Pool) Drain(id string) error { return p.drain(id, true) }

// Undrain ends a Drain. The error is ErrUnknown, or says that it is the source
// that drains the backend.
func (p *Pool) Undrain(id string) error { return p.drain(id, false) }

func (p *Pool) drain(id string, drained bool) error {
	err := fmt.Errorf("drain of %q: %w", id, ErrUnknown)
	p.update(func(time.Time) {
		r, ok := p.records[id]
		if !ok {
			return
		}
		r.drained, err = drained, nil
		switch {
		case drained:
		case r.backend.Draining:
			err = fmt.Errorf("%q stays drained by its source; undrain it there", id)
		case r.backend.Doubt != "":
			err = fmt.Errorf("%q stays drained: %s", id, r.backend.Doubt)
		}
	})
	return err
}
