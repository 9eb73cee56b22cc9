package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Bolt is a Storage in one file of this machine. Each Apply is one transaction
// with one fsync.
type Bolt struct {
	db *bbolt.DB
}

var bucket = []byte("records")

// lockWait is how long to wait for another process to let go of the file.
const lockWait = 2 * time.Second

// OpenBolt opens or creates the file.
func OpenBolt(path string) (*Bolt, error) {
	db, err := bbolt.Open(path, os.FileMode(0o600), &bbolt.Options{Timeout: lockWait})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open storage file %s: another process has it open", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open storage file %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucket)
		return err
	})
	if err != nil {
		_ = db.Close() // the first error is the one that matters
		return nil, fmt.Errorf("prepare storage file %s: %w", path, err)
	}
	return &Bolt{db}, nil
}

// maxKey is what bbolt takes as a key, in bytes.
const maxKey = bbolt.MaxKeySize

// Get implements Storage. A value is the version, 8 bytes big-endian, and then
// the data.
func (b *Bolt) Get(_ context.Context, name string) (Record, error) {
	r := absent
	err := b.db.View(func(tx *bbolt.Tx) error {
		v := tx.Bucket(bucket).Get([]byte(name))
		if v == nil {
			return nil
		}
		if len(v) < 8 {
			return fmt.Errorf("record %.100q is damaged in the storage file", name)
		}
		r = Record{Version: int64(binary.BigEndian.Uint64(v)), Data: string(v[8:])}
		return nil
	})
	return r, err
}

// Apply implements Storage.
func (b *Bolt) Apply(_ context.Context, ops []Op) error {
	err := b.db.Update(func(tx *bbolt.Tx) error {
		bk := tx.Bucket(bucket)
		for _, op := range ops {
			if len(op.Name) == 0 || len(op.Name) > maxKey {
				return fmt.Errorf("record name of %d bytes: %w", len(op.Name), ErrName)
			}
			if !op.Record.Exists() {
				if err := bk.Delete([]byte(op.Name)); err != nil {
					return err
				}
				continue
			}
			if old := bk.Get([]byte(op.Name)); !op.Force && len(old) >= 8 && int64(binary.BigEndian.Uint64(old)) >= op.Record.Version {
				continue
			}
			v := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(op.Record.Data)), uint64(op.Record.Version))
			if err := bk.Put([]byte(op.Name), append(v, op.Record.Data...)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write to storage file: %w", err)
	}
	return nil
}

// Close implements Storage.
func (b *Bolt) Close() error { return b.db.Close() }
