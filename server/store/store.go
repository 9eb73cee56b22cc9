// Package store keeps records. A Cache is what all nodes share and where versions
// are decided, by compare-and-put; a Storage is what outlives the cache; Tiered
// joins the two and is what the record topic works with.
//
// A read asks the cache, then what is on its way to the storage, then the
// storage, and promotes what it found there. A write is decided by the cache and
// then queued for the storage, which gets the writes of a record in order and many
// at a time; Write returns a Receipt that tells when both have answered.
package store

import (
	"context"
	"errors"

	"github.com/cespare/xxhash/v2"
)

// Record is the state of a record.
type Record struct {
	Version int64
	Data    string // JSON, an object or an array
}

// Missing is the version of a record that does not exist.
const Missing = -1

// absent is the state of a record that does not exist.
var absent = Record{Version: Missing}

// Exists reports whether the record does.
func (r Record) Exists() bool { return r.Version != Missing }

// Sum is a digest of the data, never 0. Two records of one version may differ where a
// server has lost the last writes.
func (r Record) Sum() uint64 { return max(1, xxhash.Sum64String(r.Data)) }

// ErrName is returned for names that the layout of a store cannot hold apart
// from its own keys.
var ErrName = errors.New("record name is reserved by the store")

// ErrData is returned for a record that others have written and that is none.
var ErrData = errors.New("not what a node writes")

// Lasting reports whether an error is one of the record, not of the way to it: to try
// again is of no use.
func Lasting(err error) bool { return errors.Is(err, ErrName) || errors.Is(err, ErrData) }

// Cache is shared by all nodes of a cluster.
type Cache interface {
	// Get returns the record; Exists is false for a missing one.
	Get(ctx context.Context, name string) (Record, error)
	// CompareAndPut replaces the record if its version is old; Missing demands
	// that there is none. If ok is false, current is what stands in the way.
	CompareAndPut(ctx context.Context, name string, old int64, r Record) (current Record, ok bool, err error)
	// Put replaces the record whatever its version.
	Put(ctx context.Context, name string, r Record) error
	Delete(ctx context.Context, names ...string) error
	// Versions returns the version of each name, Missing included. A record that
	// cannot be read is missing here; Get tells why.
	Versions(ctx context.Context, names []string) ([]int64, error)
	// Generation names the servers that hold the records now. When it changes, the
	// last writes may be lost: a server may have been restarted, or have taken
	// another's place, without them.
	Generation(ctx context.Context) (string, error)
	Close() error
}

// Op is a write to a Storage; a Record that does not exist is a delete.
type Op struct {
	Name   string
	Record Record
	// Force replaces the record whatever its version: those of hot paths have none.
	Force bool
}

// Storage outlives the cache.
type Storage interface {
	Get(ctx context.Context, name string) (Record, error)
	// Apply carries out the writes in order; they last when it returns. The cache
	// has decided their versions, but those of other nodes may have come first:
	// where the storage can tell, a write that is not newer than what it has is
	// done already. Deletes, and what follows one, apply whatever the version.
	Apply(ctx context.Context, ops []Op) error
	Close() error
}
