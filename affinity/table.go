package affinity

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// MaxBackend is the longest backend id a table takes, in bytes.
const MaxBackend = 255

var (
	// ErrNotFound is returned by Table.Get for a key that has no pin.
	ErrNotFound = errors.New("no pin for this key")

	// ErrRefused marks, under errors.Is, a write that a table answered but did
	// not take: it is full, read-only or set to refuse writes. Reads go on.
	ErrRefused = errors.New("the table takes no writes")
)

// Pin says that the session named by Key belongs to Backend.
type Pin struct {
	Key     Key
	Backend string // 1 to MaxBackend bytes
	// From, when set, is a backend the session may be taken away from: the pin
	// replaces one on From and yields to one on any other backend. Never
	// returned by a table.
	From string
	// Life is how long the pin lasts without being put again, 1 ms to MaxLife. It
	// is the whole life, not what is left of it, so any replica can renew a pin it
	// did not make.
	Life time.Duration
}

func (p *Pin) validate() error {
	switch {
	case p.Backend == "":
		return fmt.Errorf("pin %s: no backend", p.Key.Short())
	case len(p.Backend) > MaxBackend || len(p.From) > MaxBackend:
		return fmt.Errorf("pin %s: the backend id is longer than %d bytes", p.Key.Short(), MaxBackend)
	case p.Life < time.Millisecond || p.Life > MaxLife:
		return fmt.Errorf("pin %s: a life of %v is not between 1ms and %v", p.Key.Short(), p.Life, MaxLife)
	}
	return nil
}

// Table is the memory that all replicas share: which backend has which session.
// Its methods are safe for concurrent use, end when their context does, and
// treat a pin past its life as absent.
//
// All writes are idempotent, so whoever does not know whether a write arrived
// may send it again.
type Table interface {
	// Get returns the pin of a key, or ErrNotFound.
	Get(ctx context.Context, key Key) (Pin, error)

	// Put makes or renews pins, each one atomically: the first writer wins.
	// kept[i] is the backend that has pins[i].Key afterwards: pins[i].Backend
	// where there was no pin, one on the same backend (its life starts anew) or
	// one on pins[i].From; otherwise the other backend, whose pin is left as it
	// was. Where an entry failed kept[i] is empty and err says why; the others
	// hold. kept is as long as pins, always.
	Put(ctx context.Context, pins []Pin) (kept []string, err error)

	// Delete removes pins that are still on their Backend; an empty Backend
	// means any. A pin that is not there is not an error.
	Delete(ctx context.Context, pins []Pin) error

	// Check tests that the table can be read and written, and names its
	// contents: the answer changes when the table has lost them, as a Redis
	// restarted empty has. A table that can be read but not written returns
	// an error that is ErrRefused.
	Check(ctx context.Context) (generation string, err error)
}
