package backend

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// slot is a source in its place in a Pool. All but source, name and the
// channel are guarded by Pool.mu.
type slot struct {
	source Source
	name   string // of its String method, or empty

	list    []Backend
	spoken  bool // its own Run has called set, or ended
	updated time.Time
	retired bool               // its source is not wanted any more, its list still is
	stop    context.CancelFunc // while its source runs
}

// take takes a list from a source.
func (p *Pool) take(s *slot, list []Backend) {
	usable := p.usable(s, list)
	p.update(func(now time.Time) {
		if s.retired {
			return
		}
		fresh := s.spoken
		s.list, s.updated = usable, now
		s.spoken = true
		p.merge(now, fresh)
		p.dropRetired(now)
	})
}

// usable copies a list, without what cannot be used.
func (p *Pool) usable(s *slot, list []Backend) []Backend {
	usable := make([]Backend, 0, len(list))
	for _, b := range list {
		b, err := b.normal()
		if err != nil {
			p.deps.Log.Warn("backend ignored", "source", s.label(), "backend", b.ID, "err", err)
			continue
		}
		usable = append(usable, b)
	}
	return usable
}

// dropRetired lets go of retired sources once every other has spoken.
func (p *Pool) dropRetired(now time.Time) {
	retired := func(s *slot) bool { return s.retired }
	silent := func(s *slot) bool { return !s.retired && !s.spoken }
	if slices.ContainsFunc(p.slots, retired) && !slices.ContainsFunc(p.slots, silent) {
		p.slots = slices.DeleteFunc(p.slots, retired)
		p.merge(now, true)
	}
}

// slotsFor makes slots of sources, to be arranged.
func (p *Pool) slotsFor(sources []Source) []*slot {
	var all []*slot
	for _, src := range sources {
		s := &slot{source: src, name: nameOf(src)}
		if static, ok := src.(*Static); ok {
			s.list, s.updated, s.spoken = p.usable(s, static.backends), time.Now(), true
		}
		all = append(all, s)
	}
	return all
}

// arrange replaces the sources. The caller holds mu.
func (p *Pool) arrange(now time.Time, slots []*slot) {
	old := p.slots
	p.slots = nil
	for _, s := range slots {
		if i := slices.IndexFunc(old, func(o *slot) bool { return !o.retired && sameSource(o.source, s.source) }); i >= 0 {
			p.slots = append(p.slots, old[i])
			old = slices.Delete(old, i, i+1)
			continue
		}
		if i := slices.IndexFunc(old, func(o *slot) bool { return s.name != "" && o.name == s.name }); i >= 0 {
			if !s.spoken {
				s.list, s.updated, s.spoken = old[i].list, old[i].updated, old[i].spoken
			}
			old[i].halt()
			old = slices.Delete(old, i, i+1)
		}
		p.slots = append(p.slots, s)
		p.start(s)
	}
	for _, s := range old {
		s.halt()
		s.retired = true
		p.slots = append(p.slots, s)
	}
	p.merge(now, true)
	p.dropRetired(now)
}

func (s *slot) halt() {
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// label names a source for the log.
func (s *slot) label() string {
	if s.name != "" {
		return s.name
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", s.source), "*")
}

func nameOf(s Source) string {
	if n, ok := s.(fmt.Stringer); ok {
		return n.String()
	}
	return ""
}

// sameSource reports whether two sources are one value; comparing values of a
// type that cannot be compared would panic.
func sameSource(a, b Source) bool {
	t := reflect.TypeOf(a)
	return t == reflect.TypeOf(b) && t.Comparable() && a == b
}
