package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// runner is what belongs to one Run.
type runner struct {
	ctx  context.Context
	fail context.CancelCauseFunc
	wg   sync.WaitGroup // sources and checks
}

// Run runs the sources and the checks until ctx is done, and returns when all
// its goroutines have ended. The error is that of a source that gave up.
func (p *Pool) Run(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	run := &runner{ctx: ctx, fail: fail}

	p.mu.Lock()
	if p.runner != nil {
		p.mu.Unlock()
		return errors.New("the pool runs already")
	}
	p.runner = run
	for _, s := range p.slots {
		p.start(s)
	}
	p.mu.Unlock()

	p.schedule(ctx)

	p.mu.Lock()
	p.runner = nil
	p.mu.Unlock()
	run.wg.Wait()
	var gone *sourceError
	if errors.As(context.Cause(ctx), &gone) {
		return gone
	}
	return nil
}

// sourceError is a source's error that ends Run.
type sourceError struct {
	source string
	err    error
}

func (e *sourceError) Error() string { return fmt.Sprintf("source %s: %v", e.source, e.err) }
func (e *sourceError) Unwrap() error { return e.err }

// start has a source run, if Run does. The caller holds mu.
func (p *Pool) start(s *slot) {
	run := p.runner
	if run == nil || s.retired {
		return
	}
	ctx, stop := context.WithCancel(run.ctx)
	s.stop = stop
	run.wg.Add(1)
	go p.runSource(ctx, run, s)
}

func (p *Pool) runSource(ctx context.Context, run *runner, s *slot) {
	defer run.wg.Done()
	err := s.source.Run(ctx, func(list []Backend) { p.take(s, list) })
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		run.fail(&sourceError{s.label(), err})
		return
	}
	p.update(func(now time.Time) {
		s.spoken = true
		p.dropRetired(now)
	})
}

// schedule does what is due until ctx is done.
func (p *Pool) schedule(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-p.wake:
		}
		timer.Reset(p.turn())
	}
}

// rouse has schedule look again at what is due.
func (p *Pool) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// turn ends what time has ended, starts the checks that are due, as many as may
// run at once, and returns how long nothing else is due.
func (p *Pool) turn() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	c := p.settings.Load()
	var (
		due     []*record
		next    time.Time
		changed bool
	)
	if p.anyLost(now) {
		p.merge(now, true)
		changed = true
	}
	for _, r := range p.records {
		ch, n := r.expire(now, c)
		changed = changed || ch
		next = sooner(next, n)
		switch {
		case r.checking:
		case now.Before(r.nextCheck):
			next = sooner(next, r.nextCheck)
		default:
			due = append(due, r)
		}
	}
	// Those that wait longest come first, or some would never have a turn.
	slices.SortFunc(due, func(a, b *record) int { return a.nextCheck.Compare(b.nextCheck) })
	for _, r := range due[:min(len(due), max(c.Parallel-p.checks, 0))] {
		p.startCheck(r, c)
	}
	if changed {
		p.publish(now)
		p.deliver()
	}
	if next.IsZero() {
		return time.Hour
	}
	return max(next.Sub(now), 0)
}

// startCheck is called with mu held, by schedule alone.
func (p *Pool) startCheck(r *record, c *settings) {
	r.checking = true
	p.checks++
	run, b, t := p.runner, r.backend, r.tls
	run.wg.Add(1)
	go func() {
		defer run.wg.Done()
		started := time.Now()
		ctx, cancel := context.WithTimeout(run.ctx, c.Timeout)
		err := p.check(ctx, b, t, c)
		cancel()
		p.checkEnded(run, r, started, err)
	}()
}

// checkEnded takes the verdict of a check, unless the end of Run cut it short.
func (p *Pool) checkEnded(run *runner, r *record, started time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checks--
	r.checking = false
	defer p.rouse()
	if run.ctx.Err() != nil {
		return
	}
	now := time.Now()
	c := p.settings.Load()
	before, first := r.standing(), !r.checked
	if err != nil {
		r.checkFailed(now, err, c)
	} else {
		r.checkPassed(now, c)
	}
	switch {
	case r.hurry:
		r.nextCheck = now
	case first:
		// The first checks ran all at once; from here on they are spread.
		r.nextCheck = started.Add(time.Duration(float64(c.Interval) * unit(p.deps.Random())))
	case (r.suspect || r.backend.Doubt != "") && !r.down:
		r.nextCheck = started.Add(jitter(c.Interval/suspectChecks, p.deps.Random()))
	default:
		r.nextCheck = started.Add(jitter(c.Interval, p.deps.Random()))
	}
	r.hurry = false
	if r.standing() != before {
		p.publish(now)
		p.deliver()
	}
}

// checkSoon has a backend checked at once, or again when its check has ended.
// The caller holds mu.
func (p *Pool) checkSoon(r *record, now time.Time) {
	if r.checking {
		r.hurry = true
		return
	}
	r.nextCheck = now
	p.rouse()
}

// jitter makes d up to a tenth shorter or longer, by random bits: what runs at
// the same interval on many replicas must not run at the same moment.
func jitter(d time.Duration, random uint64) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*unit(random)))
}

// unit makes random bits a number from 0 to below 1.
func unit(random uint64) float64 { return float64(random>>11) / (1 << 53) }
