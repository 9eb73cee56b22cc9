package affinity

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"
)

// PinsConfig sets up Pins. Zero fields take the default named beside them.
type PinsConfig struct {
	// MaxEntries and MaxBytes bound the local front: 200,000 entries, 64 MiB.
	// Whichever is reached first counts.
	MaxEntries int
	MaxBytes   int64
	// MaxUnpublished bounds the pins that could not be written to the table yet
	// and that eviction therefore spares: half of the front. Those beyond it are
	// kept too, but evicted like any other.
	MaxUnpublished int
	// Budget is the longest a request waits for the table: 50 ms.
	Budget time.Duration
	// Trust is the age at which a local entry is compared with the table, in the
	// background, when it is used: 5 s. So it is also how long a replica may
	// send requests of a busy session to a backend it was moved from.
	Trust time.Duration
	// Missing is how long a key that has no pin is not asked for again: 1 s.
	Missing time.Duration
	// Failures in a row open the breaker: 5.
	Failures int
	// MinBackoff and MaxBackoff bound the time between two tries to reach a
	// table whose breaker is open: 100 ms, doubling to 5 s.
	MinBackoff, MaxBackoff time.Duration
	// FlushEvery is the time between two batches of renewals: 100 ms.
	FlushEvery time.Duration
	// RepublishRate bounds the entries a second that are written again after the
	// table was away or lost its contents: 20,000.
	RepublishRate int

	// Observer learns of each table operation; nil for none.
	Observer Observer
	// Log takes a line when the table fails and one when it is back; nil for none.
	Log *slog.Logger
}

// Observer is told how long the operations of a table take and how they end.
// It must not block.
type Observer interface {
	// TableOp reports one operation: op is one of "get", "put", "delete",
	// "check"; class is "" for success and else one of "timeout", "refused",
	// "unavailable". A key without a pin is a success.
	TableOp(op string, took time.Duration, class string)
}

// Bounds of the life of a pin.
const (
	MinLife = 10 * time.Second
	MaxLife = 7 * 24 * time.Hour
)

func (c PinsConfig) withDefaults() PinsConfig {
	def := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.Budget, 50*time.Millisecond)
	def(&c.Trust, 5*time.Second)
	def(&c.Missing, time.Second)
	def(&c.MinBackoff, 100*time.Millisecond)
	def(&c.MaxBackoff, 5*time.Second)
	def(&c.FlushEvery, 100*time.Millisecond)
	if c.MaxEntries <= 0 {
		c.MaxEntries = 200_000
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 64 << 20
	}
	c.MaxEntries = max(min(c.MaxEntries, int(c.MaxBytes/entryBytes)), 1)
	if c.MaxUnpublished <= 0 {
		c.MaxUnpublished = c.MaxEntries / 2
	}
	if c.Failures <= 0 {
		c.Failures = 5
	}
	if c.RepublishRate <= 0 {
		c.RepublishRate = 20_000
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Pins is what the proxy asks where a session belongs. It keeps a bounded front
// of a Table in memory, so that a known session costs no round trip, and hides
// the failures of the table: while the table is away the front goes on alone,
// and what it took meanwhile is published when the table is back.
//
// All methods are safe for concurrent use. Run must be running for renewals,
// expiry of the front and recovery. Locks: that of a shard of the front, and
// inside it that of its registry of backends; neither is held while the table is
// asked.
type Pins struct {
	// Set before use.
	table Table
	conf  PinsConfig
	start time.Time

	front   *front
	breaker breaker
	queue   chan *entry // waiting for a renewal; their queued is set

	refusal   atomic.Pointer[string] // why the table takes no writes, if so
	conflicts atomic.Uint64
	queueFull atomic.Uint64

	run     runner // owned by Run but for its counters
	trouble trouble
}

// renewalQueue bounds the entries that wait for a renewal.
const renewalQueue = 16 << 10

// NewPins returns Pins over a table.
func NewPins(table Table, c PinsConfig) *Pins {
	c = c.withDefaults()
	return &Pins{
		table:   table,
		conf:    c,
		start:   time.Now(),
		front:   newFront(c.MaxEntries, c.MaxUnpublished),
		breaker: breaker{limit: int32(c.Failures)},
		queue:   make(chan *entry, renewalQueue),
	}
}

// now is always more than 0.
func (p *Pins) now() int64 { return int64(time.Since(p.start)) + 1 }

// Lookup returns the backend of a session. A hit in the front takes no lock and
// allocates nothing; a miss asks the table once for all who ask for the key at
// the same time, for at most Budget, unless the breaker is open. ok is false
// for an unknown key, and for one the front does not know while the table
// cannot be asked; Status tells the two apart. A lookup is a sign of life: it
// renews the pin, lazily.
func (p *Pins) Lookup(ctx context.Context, key Key) (backend string, ok bool) {
	h := p.front.hash(key)
	s := p.front.shard(h)
	now := p.now()
	if e := s.find(h, key); e != nil && e.live(now) {
		return p.hit(e, now), true
	}
	return p.load(ctx, s, h, key, false)
}

// Recheck is Lookup past the front: it asks the table, for the case that the
// backend the front names is dead and another replica has moved the session
// already. While the table cannot be asked it answers from the front.
func (p *Pins) Recheck(ctx context.Context, key Key) (backend string, ok bool) {
	h := p.front.hash(key)
	return p.load(ctx, p.front.shard(h), h, key, true)
}

// hit uses a live entry.
func (p *Pins) hit(e *entry, now int64) string {
	e.use(now)
	if e.due(now, int64(p.conf.Trust)) {
		p.renew(e)
	}
	return e.member.Load().id
}

// renew queues an entry for a renewal, once.
func (p *Pins) renew(e *entry) {
	if e.queued.Load() || p.breaker.open.Load() || !e.queued.CompareAndSwap(false, true) {
		return
	}
	select {
	case p.queue <- e:
	default:
		e.queued.Store(false)
		p.queueFull.Add(1)
	}
}

// load asks the table, or waits for one who does.
func (p *Pins) load(ctx context.Context, s *frontShard, h uint64, key Key, past bool) (backend string, ok bool) {
	s.mu.Lock()
	now := p.now()
	e := s.find(h, key)
	if e != nil && !e.live(now) {
		e = nil
	}
	open := p.breaker.open.Load()
	if e != nil && (open || !past) {
		s.mu.Unlock()
		return p.hit(e, now), true
	}
	if open || !past && s.missed(h, key, now) {
		s.mu.Unlock()
		return "", false
	}
	if fl := s.flights[key]; fl != nil && !fl.stale {
		s.mu.Unlock()
		select {
		case <-fl.done:
			return fl.backend, fl.ok
		case <-ctx.Done():
			return "", false
		}
	}
	fl := &flight{done: make(chan struct{})}
	s.flights[key] = fl
	s.mu.Unlock()

	defer func() {
		s.mu.Lock()
		if s.flights[key] == fl {
			delete(s.flights, key)
		}
		s.mu.Unlock()
		close(fl.done)
	}()
	pin, err := p.get(ctx, key)
	fl.backend, fl.ok = p.land(s, h, fl, key, pin, err)
	return fl.backend, fl.ok
}

// land takes what the table answered to a question into the front.
func (p *Pins) land(s *frontShard, h uint64, fl *flight, key Key, pin Pin, err error) (backend string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := p.now()
	e := s.find(h, key)
	if e != nil && !e.live(now) {
		e = nil
	}
	switch {
	case err != nil && !errors.Is(err, ErrNotFound), fl.stale:
		// No answer, or one that may be older than what is here.
		if e != nil {
			return p.hit(e, now), true
		}
		return pin.Backend, err == nil
	case err != nil:
		if e != nil && !e.shared() {
			return p.hit(e, now), true
		}
		if e != nil {
			p.front.remove(s, h, e)
		}
		s.remember(h, key, now+int64(p.conf.Missing))
		return "", false
	}
	if e != nil && !e.shared() {
		if here := e.member.Load().id; here != pin.Backend {
			if e.from == pin.Backend {
				return p.hit(e, now), true
			}
			p.conflicts.Add(1)
		}
	}
	e = p.front.set(s, h, key, state{backend: pin.Backend, life: pin.Life, published: true}, now)
	// How much is left of its life is not known.
	p.renew(e)
	return pin.Backend, true
}

// Pin binds a session to a backend that has vouched for it, unless it is bound
// already; kept is the backend it belongs to now. The table has the pin when
// Pin returns, or has failed to take it within Budget: then the pin is kept here
// and published later. life is raised to MinLife and lowered to MaxLife. A
// backend with an id that no table takes, see MaxBackend, is returned unpinned.
//
// When kept is a backend that is gone, Move the session away from it.
//
// The caller's cancellation does not stop a pin being made: the backend has the
// session either way.
func (p *Pins) Pin(ctx context.Context, key Key, backend string, life time.Duration) (kept string) {
	return p.bind(ctx, Pin{Key: key, Backend: backend, Life: life})
}

// Move binds a session to another backend if it is still on from or is not bound
// any more; kept is the backend it belongs to now. life is as for Pin; zero or
// less keeps the life the front knows, or else takes MinLife.
func (p *Pins) Move(ctx context.Context, key Key, from, to string, life time.Duration) (kept string) {
	if life <= 0 {
		h := p.front.hash(key)
		if e := p.front.shard(h).find(h, key); e != nil {
			life = time.Duration(e.life.Load())
		}
	}
	return p.bind(ctx, Pin{Key: key, Backend: to, From: from, Life: life})
}

func (p *Pins) bind(ctx context.Context, pin Pin) (kept string) {
	pin.Life = min(max(pin.Life, MinLife), MaxLife)
	if pin.validate() != nil {
		return pin.Backend
	}
	h := p.front.hash(pin.Key)
	s := p.front.shard(h)
	if !p.breaker.open.Load() {
		if kept, err := p.put(context.WithoutCancel(ctx), p.conf.Budget, []Pin{pin}); err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			p.front.set(s, h, pin.Key, state{backend: kept[0], life: pin.Life, published: true}, p.now())
			return kept[0]
		}
	}
	return p.bindHere(s, h, pin)
}

// bindHere is what the table does with a pin, done in the front alone.
func (p *Pins) bindHere(s *frontShard, h uint64, pin Pin) (kept string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := p.now()
	if e := s.find(h, pin.Key); e != nil && e.live(now) {
		here := e.member.Load().id
		switch {
		case here != pin.Backend && here != pin.From:
			return p.hit(e, now)
		case here == pin.Backend && e.shared():
			e.life.Store(int64(pin.Life))
			return p.hit(e, now)
		case e.from != "":
			// The table has it where the first of several moves began.
			pin.From = e.from
		}
	}
	p.front.set(s, h, pin.Key, state{backend: pin.Backend, from: pin.From, life: pin.Life}, now)
	return pin.Backend
}

// Unpin ends a session that is still on backend ("" for any), here and in the
// table. Where the table cannot be reached the pin ends with its life.
func (p *Pins) Unpin(ctx context.Context, key Key, backend string) {
	h := p.front.hash(key)
	s := p.front.shard(h)
	s.mu.Lock()
	if fl := s.flights[key]; fl != nil {
		fl.stale = true
	}
	if e := s.find(h, key); e != nil && (backend == "" || e.member.Load().id == backend) {
		e.ended = true
		p.front.remove(s, h, e)
	}
	s.mu.Unlock()
	if !p.breaker.open.Load() {
		_ = p.delete(context.WithoutCancel(ctx), []Pin{{Key: key, Backend: backend}})
	}
}

// Names of operations for Observer.
const (
	opGet    = "get"
	opPut    = "put"
	opDelete = "delete"
	opCheck  = "check"
)

func (p *Pins) get(ctx context.Context, key Key) (pin Pin, err error) {
	// For others who wait for it too, so it outlives its first asker.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.conf.Budget)
	defer cancel()
	begin := p.now()
	pin, err = p.table.Get(ctx, key)
	p.observe(opGet, begin, err, errors.Is(err, ErrNotFound))
	return pin, err
}

// put writes pins; kept may be of use even if err is not nil.
func (p *Pins) put(ctx context.Context, budget time.Duration, pins []Pin) (kept []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	begin := p.now()
	kept, err = p.table.Put(ctx, pins)
	some := false
	for _, k := range kept {
		some = some || k != ""
	}
	p.observe(opPut, begin, err, some)
	return kept, err
}

func (p *Pins) delete(ctx context.Context, pins []Pin) error {
	ctx, cancel := context.WithTimeout(ctx, p.conf.Budget)
	defer cancel()
	begin := p.now()
	err := p.table.Delete(ctx, pins)
	p.observe(opDelete, begin, err, false)
	return err
}

// observe tells breaker, log and observer how an operation ended. answered says
// that the table did answer, whatever err is.
func (p *Pins) observe(op string, begin int64, err error, answered bool) {
	now := p.now()
	if p.conf.Observer != nil {
		class := errorClass(err)
		if op == opGet && answered {
			class = ""
		}
		p.conf.Observer.TableOp(op, time.Duration(now-begin), class)
	}
	if errors.Is(err, ErrRefused) {
		answered = true
		p.refused(err)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		p.trouble.note(now)
	}
	if answered {
		err = nil
	}
	if p.breaker.report(err, time.Duration(now)) {
		p.conf.Log.Warn("affinity table away; known sessions go on, new ones are kept here", "err", err)
	}
}

// refused notes that the table takes no writes.
func (p *Pins) refused(err error) {
	why := err.Error()
	if p.refusal.Swap(&why) == nil {
		p.conf.Log.Warn("affinity table takes no writes; new sessions are kept here", "err", err)
	}
}

// errorClass sorts errors for metrics.
func errorClass(err error) string {
	var timeout net.Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrRefused):
		return "refused"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return "unavailable"
}
