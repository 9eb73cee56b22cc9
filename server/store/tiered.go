package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// TierError says which tier failed.
type TierError struct {
	Storage bool // else the cache
	Err     error
}

func (e *TierError) Error() string {
	tier := "cache"
	if e.Storage {
		tier = "storage"
	}
	return fmt.Sprintf("%s: %v", tier, e.Err)
}

func (e *TierError) Unwrap() error { return e.Err }

// Timeout reports that the tier did not answer in time.
func (e *TierError) Timeout() bool { return errors.Is(e.Err, context.DeadlineExceeded) }

// TieredConfig is what Tiered works with.
type TieredConfig struct {
	Cache   Cache
	Storage Storage // nil for none
	// Excluded names are kept from the storage.
	Excluded func(name string) bool
	// CacheTimeout and StorageTimeout bound one answer of a tier; 0 means no bound.
	// A write that failed for it may still reach the storage; a delete that did so
	// only if the storage was at it.
	CacheTimeout   time.Duration
	StorageTimeout time.Duration
}

// Tiered is a cache with a storage behind it. Its methods are safe for concurrent
// use; the writes of one record have to come one after the other to reach the
// storage in that order.
type Tiered struct {
	config TieredConfig
	local  bool // the cache answers without waiting
	writer *writer
}

// NewTiered makes a Tiered; Run has to be running for writes to reach the
// storage.
func NewTiered(c TieredConfig) *Tiered {
	t := &Tiered{config: c}
	_, t.local = c.Cache.(*Memory)
	if c.Storage != nil {
		t.writer = newWriter(c.Storage, c.StorageTimeout)
	}
	return t
}

// Immediate reports that no call waits for the network or a disk, so that
// callers need no goroutine to make one.
func (t *Tiered) Immediate() bool { return t.local && t.writer == nil }

// Run writes to the storage until ctx ends and all that was queued is written.
func (t *Tiered) Run(ctx context.Context) error {
	if t.writer == nil {
		return nil
	}
	return t.writer.run(ctx)
}

// Unwritten is the number of writes that the storage has not answered.
func (t *Tiered) Unwritten() int {
	if t.writer == nil {
		return 0
	}
	return t.writer.unwritten()
}

// Close closes both tiers. Run has to have returned.
func (t *Tiered) Close() error {
	err := t.config.Cache.Close()
	if t.config.Storage != nil {
		err = errors.Join(err, t.config.Storage.Close())
	}
	return err
}

func (t *Tiered) cacheContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if t.local || t.config.CacheTimeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, t.config.CacheTimeout)
}

func cacheError(err error) error {
	if err == nil {
		return nil
	}
	return &TierError{Err: err}
}

// stored reports whether a name is kept in the storage.
func (t *Tiered) stored(name string) bool {
	return t.writer != nil && (t.config.Excluded == nil || !t.config.Excluded(name))
}

// Get returns a record from the first tier that has it. What only the storage
// has is promoted to the cache.
func (t *Tiered) Get(ctx context.Context, name string) (Record, error) {
	cctx, cancel := t.cacheContext(ctx)
	defer cancel()
	r, err := t.config.Cache.Get(cctx, name)
	if err != nil || r.Exists() || !t.stored(name) {
		return r, cacheError(err)
	}
	r, queued := t.writer.pending(name)
	if !queued {
		sctx, cancel := ctx, func() {}
		if t.config.StorageTimeout > 0 {
			sctx, cancel = context.WithTimeout(ctx, t.config.StorageTimeout)
		}
		r, err = t.config.Storage.Get(sctx, name)
		cancel()
		if err != nil {
			return absent, &TierError{Storage: true, Err: err}
		}
	}
	if !r.Exists() {
		return absent, nil
	}
	pctx, cancel := t.cacheContext(ctx)
	defer cancel()
	current, _, err := t.config.Cache.CompareAndPut(pctx, name, Missing, r)
	return current, cacheError(err)
}

// Write replaces a record of version old. If ok, stored (which may be nil) is
// called once the storage has the record too, or has failed; else current is what
// stands in the way.
func (t *Tiered) Write(ctx context.Context, name string, old int64, r Record, stored func(error)) (current Record, ok bool, err error) {
	current, ok, err = t.compareAndPut(ctx, name, old, r)
	if err != nil {
		return absent, false, err
	}
	if !ok && !current.Exists() && old != Missing {
		// The cache may have forgotten the record, or it was deleted: see what
		// the storage says, which promotes it.
		if current, err = t.Get(ctx, name); err != nil || current.Version != old {
			return current, false, err
		}
		current, ok, err = t.compareAndPut(ctx, name, old, r)
	}
	if err != nil || !ok {
		return current, false, err
	}
	t.store(ctx, Op{Name: name, Record: r}, stored)
	return current, true, nil
}

func (t *Tiered) compareAndPut(ctx context.Context, name string, old int64, r Record) (Record, bool, error) {
	ctx, cancel := t.cacheContext(ctx)
	defer cancel()
	current, ok, err := t.config.Cache.CompareAndPut(ctx, name, old, r)
	return current, ok, cacheError(err)
}

// store queues a write to the storage.
func (t *Tiered) store(ctx context.Context, op Op, stored func(error)) {
	if stored == nil {
		stored = func(error) {}
	}
	if !t.stored(op.Name) {
		stored(nil)
		return
	}
	if err := t.writer.add(ctx, op, stored); err != nil {
		stored(&TierError{Storage: true, Err: err})
	}
}

// Force replaces a record whatever its version.
func (t *Tiered) Force(ctx context.Context, name string, r Record, stored func(error)) error {
	cctx, cancel := t.cacheContext(ctx)
	defer cancel()
	if err := t.config.Cache.Put(cctx, name, r); err != nil {
		return cacheError(err)
	}
	t.store(ctx, Op{Name: name, Record: r, Force: true}, stored)
	return nil
}

// Delete removes a record from both tiers, the storage first: a reader that came
// in between would promote from there what the cache no longer has.
func (t *Tiered) Delete(ctx context.Context, name string) error {
	if t.stored(name) {
		answer := make(chan error, 1)
		t.store(ctx, Op{Name: name, Record: absent}, func(err error) { answer <- err })
		select {
		case err := <-answer:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return &TierError{Storage: true, Err: ctx.Err()}
		}
	}
	cctx, cancel := t.cacheContext(ctx)
	defer cancel()
	return cacheError(t.config.Cache.Delete(cctx, name))
}

// Forget drops names from the cache, so that they are read from the storage.
func (t *Tiered) Forget(ctx context.Context, names []string) error {
	ctx, cancel := t.cacheContext(ctx)
	defer cancel()
	return cacheError(t.config.Cache.Delete(ctx, names...))
}

// Versions returns the versions that the cache knows; a name that it does not
// know has the version Missing and may be in the storage.
func (t *Tiered) Versions(ctx context.Context, names []string) ([]int64, error) {
	ctx, cancel := t.cacheContext(ctx)
	defer cancel()
	versions, err := t.config.Cache.Versions(ctx, names)
	return versions, cacheError(err)
}

// Generation names the servers of the cache, see Cache.
func (t *Tiered) Generation(ctx context.Context) (string, error) {
	ctx, cancel := t.cacheContext(ctx)
	defer cancel()
	generation, err := t.config.Cache.Generation(ctx)
	return generation, cacheError(err)
}
