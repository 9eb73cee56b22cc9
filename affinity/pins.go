package affinity

import (
	"context"
	"log/slog"
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

// Stats are the counters and gauges of Pins. Counters only grow.
type Stats struct {
	Entries     int   // in the front, now
	MaxEntries  int   // bound of it
	Bytes       int64 // taken by the front, now
	Unpublished int   // pins not in the table yet, now
	Held        int   // pins with an open tunnel or streaming answer, now

	ReadsOpen, WritesOpen bool // breaker state: open means the table is not asked

	Evicted         uint64 // entries thrown out of a full front
	EvictedUnshared uint64 // of these, pins that were not in the table yet or held
	Republished     uint64 // pins written again or late, after a failure or a loss
	Conflicts       uint64 // of these, pins given up because the table had another backend
	Unprotected     uint64 // pins beyond MaxUnpublished
	QueueFull       uint64 // renewals put off because the queue was full
	BreakerOpened   uint64 // times a breaker opened
	Losses          uint64 // times the table was found to have lost its contents
}

// PinInfo is what the admin page shows of one pin this replica knows.
type PinInfo struct {
	Key       Key
	Backend   string
	Age       time.Duration // since this replica knows it
	Idle      time.Duration // since it was last used here
	Life      time.Duration // ends after so long without use
	Held      bool          // a tunnel or a streaming answer is open
	Published bool          // the table has it
}

// Pins is what the proxy asks where a session belongs. It keeps a bounded front
// of a Table in memory, so that a known session costs no round trip, and hides
// the failures of the table: while the table is away the front goes on alone,
// and what it took meanwhile is published when the table is back.
//
// All methods are safe for concurrent use. Run must be running for renewals,
// expiry of the front and recovery.
type Pins struct {
	table Table
}

// NewPins returns Pins over a table.
func NewPins(table Table, c PinsConfig) *Pins { return &Pins{table: table} }

// Lookup returns the backend of a session. A hit in the front takes no lock and
// allocates nothing; a miss asks the table once for all who ask for the key at
// the same time, for at most Budget, unless the breaker is open. ok is false
// for an unknown key, and for one the front does not know while the table
// cannot be asked; Status tells the two apart. A lookup is a sign of life: it
// renews the pin, lazily.
func (p *Pins) Lookup(ctx context.Context, key Key) (backend string, ok bool) {
	pin, err := p.table.Get(ctx, key)
	return pin.Backend, err == nil
}

// Recheck is Lookup past the front: it asks the table, for the case that the
// backend the front names is dead and another replica has moved the session
// already. While the table cannot be asked it answers from the front.
func (p *Pins) Recheck(ctx context.Context, key Key) (backend string, ok bool) {
	pin, err := p.table.Get(ctx, key)
	return pin.Backend, err == nil
}

// Pin binds a session to a backend that has vouched for it, unless it is bound
// already; kept is the backend it belongs to now. The table has the pin when
// Pin returns, or has failed to take it within Budget: then the pin is kept here
// and published later. life is raised to MinLife and lowered to MaxLife.
//
// When kept is a backend that is gone, Move the session away from it.
//
// The caller's cancellation does not stop a pin being made: the backend has the
// session either way.
func (p *Pins) Pin(ctx context.Context, key Key, backend string, life time.Duration) (kept string) {
	k, _ := p.table.Put(ctx, []Pin{{Key: key, Backend: backend, Life: life}})
	return k[0]
}

// Move binds a session to another backend if it is still on from or is not bound
// any more; kept is the backend it belongs to now. life is as for Pin; zero or
// less keeps the life the front knows, or else takes MinLife.
func (p *Pins) Move(ctx context.Context, key Key, from, to string, life time.Duration) (kept string) {
	k, _ := p.table.Put(ctx, []Pin{{Key: key, Backend: to, From: from, Life: life}})
	return k[0]
}

// Unpin ends a session that is still on backend ("" for any), here and in the
// table. Where the table cannot be reached the pin ends with its life.
func (p *Pins) Unpin(ctx context.Context, key Key, backend string) {
	_ = p.table.Delete(ctx, []Pin{{Key: key, Backend: backend}})
}

// Hold says that a tunnel of the session is open: until release is called its
// pin is renewed without being looked up, and Count leaves it out. Afterwards
// the pin stays for its life. release may be called more than once. Of a key
// the front does not know nothing is held.
func (p *Pins) Hold(key Key) (release func()) { return func() {} }

// Keep is Hold for an answer that streams: the pin is renewed until release is
// called, and Count goes on counting the session, for no tunnel stands for it.
func (p *Pins) Keep(key Key) (release func()) { return func() {} }

// Count returns how many sessions of a backend this replica knows that live by
// polling, leaving out those held. It may lag behind expiry by some seconds.
func (p *Pins) Count(backend string) int { return 0 }

// Drop forgets what this replica knows of the sessions of a backend that has
// vanished. The table is left alone.
func (p *Pins) Drop(backend string) {}

// Peek returns what the front knows of a session. It is no sign of life and
// does not ask the table.
func (p *Pins) Peek(key Key) (PinInfo, bool) { return PinInfo{}, false }

// Sessions returns up to limit sessions this replica knows, in no order.
func (p *Pins) Sessions(limit int) []PinInfo { return nil }

// Status tells whether the table is in use; if not, reason says why in words for
// an operator. It is not a reason to take no traffic: known sessions live on.
func (p *Pins) Status() (ok bool, reason string) { return true, "" }

// Stats returns the counters and gauges.
func (p *Pins) Stats() Stats { return Stats{} }

// Run renews and publishes pins, expires the front and looks after the table
// until ctx is done, then publishes what it can within a second. It returns nil.
func (p *Pins) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Bounds of the life of a pin.
const (
	MinLife = 10 * time.Second
	MaxLife = 7 * 24 * time.Hour
)
