package affinity

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// runner is the state of Run.
type runner struct {
	republished atomic.Uint64
	losses      atomic.Uint64

	// Owned by the goroutine of Run.
	generation string // of the table's contents, once known
	checked    int64  // when Check was called last
	backoff    time.Duration
	swept      int // next shard to sweep

	retryAt      int64 // when to try again the pins that wait
	retryBackoff time.Duration
	waiting      int   // next shard to look for pins that wait
	all          int   // next shard to write again whole; -1 when there is no need
	allSince     int64 // entries confirmed since are left out
	allFailed    bool  // some were not taken, so once more

	entries []*entry // buffers of write
	pins    []Pin
}

const (
	// checkEvery is how often the table is checked while it answers.
	checkEvery = time.Second
	// batch is how many pins go into one call of Put. It ends within batchBudgets
	// times the budget of a request.
	batch        = 256
	batchBudgets = 5
	// sweepEvery is how long it takes to sweep the whole front, less than a third
	// of MinLife.
	sweepEvery = 3 * time.Second
	// partingTime is how long Run goes on publishing when it is told to end.
	partingTime = time.Second
)

// Run renews and publishes pins, expires the front and looks after the table
// until ctx is done, then publishes what it can within a second. It returns nil.
// It is called once.
func (p *Pins) Run(ctx context.Context) error {
	r := &p.run
	r.all = -1
	r.backoff, r.retryBackoff = p.conf.MinBackoff, p.conf.MinBackoff
	tick := time.NewTicker(p.conf.FlushEvery)
	defer tick.Stop()
	p.check(ctx)
	for {
		select {
		case <-ctx.Done():
			p.part(context.WithoutCancel(ctx))
			return nil
		case <-tick.C:
			p.tick(ctx)
		}
	}
}

func (p *Pins) tick(ctx context.Context) {
	r := &p.run
	wait := int64(checkEvery)
	if p.breaker.open.Load() {
		wait = int64(r.backoff)
	}
	if p.now()-r.checked >= wait {
		p.check(ctx)
	}
	allowance := int(float64(p.conf.RepublishRate) * p.conf.FlushEvery.Seconds())
	p.renewQueued(ctx)
	allowance = p.publishWaiting(ctx, max(allowance, 1))
	p.publishAll(ctx, allowance)

	n := len(p.front.shards)
	for range min(n, 1+int(time.Duration(n)*p.conf.FlushEvery/sweepEvery)) {
		p.front.sweep(&p.front.shards[r.swept], p.now(), p.renew)
		r.swept = (r.swept + 1) % n
	}
}

// check asks the table whether it works and still is the one it was. It is the
// probe of an open breaker.
func (p *Pins) check(ctx context.Context) {
	r := &p.run
	open := p.breaker.open.Load()
	ctx, cancel := context.WithTimeout(ctx, p.conf.Budget)
	defer cancel()
	r.checked = p.now()
	generation, err := p.table.Check(ctx)
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return
	}
	p.observe(opCheck, r.checked, err, false)
	if open {
		failure := err
		if errors.Is(err, ErrRefused) {
			failure = nil
		}
		closed, away := p.breaker.probed(failure, time.Duration(p.now()))
		if !closed {
			r.backoff = min(2*r.backoff, p.conf.MaxBackoff)
			return
		}
		p.conf.Log.Info("affinity table back", "away", away, "unpublished", p.front.unpublished.Load())
		r.retryBackoff = p.conf.MinBackoff
		r.startAll(p.now())
	}
	r.backoff = p.conf.MinBackoff
	if err != nil {
		return
	}
	if r.generation != generation && r.generation != "" {
		r.losses.Add(1)
		p.trouble.note(p.now())
		r.startAll(p.now())
		p.conf.Log.Warn("affinity table has lost its contents; writing again what is known here")
	}
	r.generation = generation
	if p.refusal.Load() != nil && p.front.unpublished.Load() == 0 {
		p.refusal.Store(nil)
		p.conf.Log.Info("affinity table takes writes again")
	}
}

// renewQueued writes the entries that were used or are held.
func (p *Pins) renewQueued(ctx context.Context) {
	for range cap(p.queue)/batch + 1 {
		if ctx.Err() != nil {
			return
		}
		entries := p.run.entries[:0]
		// Nobody else takes from the queue.
		for range min(len(p.queue), batch) {
			entries = append(entries, <-p.queue)
		}
		p.run.entries = entries
		if len(entries) == 0 {
			return
		}
		p.write(ctx, entries)
		for _, e := range entries {
			e.queued.Store(false)
		}
	}
}

// publishWaiting writes the pins that could not be written when they were made.
// It returns what is left of the allowance.
func (p *Pins) publishWaiting(ctx context.Context, allowance int) int {
	r := &p.run
	if p.front.unpublished.Load() == 0 || p.now() < r.retryAt {
		return allowance
	}
	failed := 0
	for n := 0; n < len(p.front.shards) && allowance > 0; n++ {
		wrote, bad := p.writeShard(ctx, r.waiting, true)
		allowance -= wrote
		failed += bad
		r.waiting = (r.waiting + 1) % len(p.front.shards)
	}
	if failed == 0 {
		r.retryBackoff = p.conf.MinBackoff
	} else {
		p.putOffRetry()
	}
	return allowance
}

// publishAll goes on with writing all of the front, if that is to be done, and
// comes back later to what the table did not take. Should the breaker open, it
// starts anew when that closes.
func (p *Pins) publishAll(ctx context.Context, allowance int) {
	r := &p.run
	for r.all >= 0 && allowance > 0 && p.now() >= r.retryAt {
		n, failed := p.writeShard(ctx, r.all, false)
		allowance -= n
		r.allFailed = r.allFailed || failed > 0
		r.all++
		switch {
		case p.breaker.open.Load():
			r.all = -1
		case r.all < len(p.front.shards):
		case r.allFailed:
			r.all, r.allFailed = 0, false
			p.putOffRetry()
		default:
			r.all = -1
		}
	}
}

// putOffRetry makes Run wait, longer each time, before it tries again what the
// table did not take.
func (p *Pins) putOffRetry() {
	r := &p.run
	r.retryAt = p.now() + int64(r.retryBackoff)
	r.retryBackoff = min(2*r.retryBackoff, p.conf.MaxBackoff)
}

// startAll makes Run write all of the front again.
func (r *runner) startAll(now int64) {
	r.all, r.allSince, r.allFailed, r.retryAt = 0, now, false, 0
}

// writeShard writes the live entries of a shard, or only those that wait.
func (p *Pins) writeShard(ctx context.Context, shard int, onlyWaiting bool) (n, failed int) {
	entries := p.front.shards[shard].collect(onlyWaiting, p.run.allSince, p.now())
	for i := 0; i < len(entries) && ctx.Err() == nil; i += batch {
		part := entries[i:min(i+batch, len(entries))]
		good := p.write(ctx, part)
		p.run.republished.Add(uint64(good))
		failed += len(part) - good
	}
	return len(entries), failed
}

// write puts entries into the table and into the front what the table has kept.
// It returns how many the table took or answered.
func (p *Pins) write(ctx context.Context, entries []*entry) (good int) {
	if p.breaker.open.Load() {
		return 0
	}
	pins := p.run.pins[:0]
	for _, e := range entries {
		s := p.front.shard(p.front.hash(e.key))
		s.mu.Lock()
		pin := Pin{Key: e.key, Backend: e.member.Load().id, From: e.from, Life: time.Duration(e.life.Load())}
		s.mu.Unlock()
		pins = append(pins, pin)
	}
	p.run.pins = pins
	// The end of Run does not tear a batch in two.
	kept, _ := p.put(context.WithoutCancel(ctx), batchBudgets*p.conf.Budget, pins)
	now := p.now()
	var undo []Pin
	for i, e := range entries {
		if kept[i] == "" {
			p.front.untaken(e, now)
			continue
		}
		good++
		if p.confirm(e, pins[i].Backend, kept[i], now) {
			undo = append(undo, Pin{Key: e.key, Backend: kept[i]})
		}
	}
	if len(undo) > 0 {
		_ = p.delete(context.WithoutCancel(ctx), undo)
	}
	return good
}

// confirm takes the table's answer to a pin written for an entry. It returns
// true if the session ended while it was on its way, so that the table has a pin
// again that Unpin has just removed.
func (p *Pins) confirm(e *entry, sent, kept string, now int64) (undo bool) {
	s := p.front.shard(p.front.hash(e.key))
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case e.gone:
		return e.ended && kept == sent
	case e.member.Load().id != sent:
		// Pinned or moved here since: that write has its own answer.
		return false
	case kept != sent:
		if !e.shared() {
			p.conflicts.Add(1)
		}
		p.front.reassign(e, kept)
	}
	p.front.setUnpublished(s, e, false)
	e.from = ""
	e.checked.Store(now)
	return false
}

// part publishes what waits when the replica ends.
func (p *Pins) part(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, partingTime)
	defer cancel()
	p.renewQueued(ctx)
	for i := range p.front.shards {
		if ctx.Err() != nil {
			return
		}
		p.writeShard(ctx, i, true)
	}
}
