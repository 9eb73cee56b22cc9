package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestTiers is the contract of Tiered, over every pair of a cache and a storage.
func TestTiers(t *testing.T) {
	storages := map[string]func(t *testing.T) Storage{
		"none": func(*testing.T) Storage { return nil },
		"bbolt": func(t *testing.T) Storage {
			b, err := OpenBolt(filepath.Join(t.TempDir(), "records.db"))
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
	}
	for s, storage := range storages {
		for c, cache := range caches(t) {
			t.Run(c+" and "+s, func(t *testing.T) {
				config := TieredConfig{Cache: cache, Storage: storage(t), CacheTimeout: time.Minute, StorageTimeout: time.Minute}
				tiers := NewTiered(config)
				ctx, cancel := context.WithCancel(context.Background())
				done := make(chan error, 1)
				go func() { done <- tiers.Run(ctx) }()
				checkTiers(t, tiers, config.Storage != nil)
				cancel()
				if err := errors.Join(<-done, tiers.Close()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func checkTiers(t *testing.T, tiers *Tiered, lasts bool) {
	ctx := context.Background()
	receipts := make(chan error, 100)
	stored := func(err error) { receipts <- err }
	get := func(name string, want Record) {
		t.Helper()
		if got, err := tiers.Get(ctx, name); err != nil || got != want {
			t.Fatalf("%s is %+v, %v; want %+v", name, got, err, want)
		}
	}
	write := func(name string, old int64, r Record, want Record, wantOK bool) {
		t.Helper()
		current, ok, err := tiers.Write(ctx, name, old, r, stored)
		if err != nil || ok != wantOK || current != want {
			t.Fatalf("writing %+v over %d: %+v, %t, %v; want %+v, %t", r, old, current, ok, err, want, wantOK)
		}
		if ok {
			if err := <-receipts; err != nil {
				t.Fatalf("receipt of %+v: %v", r, err)
			}
		}
	}
	v0, v1, v2 := Record{0, `{}`}, Record{1, `{"a":[1,"ü"]}`}, Record{2, `[]`}
	get("a", absent)
	write("a", 3, v0, absent, false)
	write("a", Missing, v0, v0, true)
	write("a", Missing, v1, v0, false)
	write("a", 0, v1, v1, true)
	write("a", 0, v2, v1, false)
	get("a", v1)

	// What the cache forgets is read from the storage, and writes go on from there.
	if err := tiers.Forget(ctx, []string{"a", "never"}); err != nil {
		t.Fatal(err)
	}
	if lasts {
		if versions, err := tiers.Versions(ctx, []string{"a"}); err != nil || versions[0] != Missing {
			t.Errorf("the cache still knows version %v, %v", versions, err)
		}
		write("a", 1, v2, v2, true)
		get("a", v2)
	} else {
		get("a", absent)
		write("a", Missing, v0, v0, true)
	}

	if err := tiers.Force(ctx, "a", Record{0, `{"hot":true}`}, stored); err != nil {
		t.Fatal(err)
	}
	if err := <-receipts; err != nil {
		t.Fatal(err)
	}
	get("a", Record{0, `{"hot":true}`})

	// A delete is one of both tiers, and a record can be made again after it.
	for range 2 {
		if err := tiers.Delete(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		get("a", absent)
	}
	write("a", Missing, v0, v0, true)
	versions, err := tiers.Versions(ctx, []string{"a", "never"})
	if err != nil || fmt.Sprint(versions) != "[0 -1]" {
		t.Errorf("versions %v, %v", versions, err)
	}
	checkCounting(t, tiers, lasts)
}

// checkCounting has several writers count in one record: none of their steps gets
// lost, and the storage ends with the last.
func checkCounting(t *testing.T, tiers *Tiered, lasts bool) {
	const writers, steps = 4, 25
	ctx := context.Background()
	var receipts, running sync.WaitGroup
	var order sync.Mutex // writes of a record come to Write one after the other
	for range writers {
		running.Go(func() {
			for done := 0; done < steps; {
				r, err := tiers.Get(ctx, "counter")
				if err != nil {
					t.Error(err)
					return
				}
				n := 0
				if r.Exists() {
					n, _ = strconv.Atoi(strings.Trim(r.Data, "[]")) // it was written here
				}
				receipts.Add(1)
				order.Lock()
				_, ok, err := tiers.Write(ctx, "counter", r.Version, Record{r.Version + 1, fmt.Sprintf("[%d]", n+1)}, func(err error) {
					if err != nil {
						t.Error(err)
					}
					receipts.Done()
				})
				order.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
				if ok {
					done++
				} else {
					receipts.Done()
				}
			}
		})
	}
	running.Wait()
	receipts.Wait()
	want := Record{writers*steps - 1, fmt.Sprintf("[%d]", writers*steps)}
	if r, err := tiers.Get(ctx, "counter"); err != nil || r != want {
		t.Errorf("the cache counted to %+v, %v; want %+v", r, err, want)
	}
	if lasts {
		if r, err := tiers.config.Storage.Get(ctx, "counter"); err != nil || r != want {
			t.Errorf("the storage counted to %+v, %v; want %+v", r, err, want)
		}
	}
}

// brokenCache fails as told.
type brokenCache struct {
	*Memory
	fail error
}

func (b *brokenCache) CompareAndPut(ctx context.Context, name string, old int64, r Record) (Record, bool, error) {
	if b.fail != nil {
		return absent, false, b.fail
	}
	return b.Memory.CompareAndPut(ctx, name, old, r)
}

func (b *brokenCache) Put(ctx context.Context, name string, r Record) error {
	if b.fail != nil {
		return b.fail
	}
	return b.Memory.Put(ctx, name, r)
}

// TestTierErrors: an error of either tier is the error of the write, and says which
// tier it was; the original acknowledges a write that the cache took and the
// storage did not.
func TestTierErrors(t *testing.T) {
	ctx := context.Background()
	broken := errors.New("disk is full")
	f := newFake()
	f.fail = func(Op) error { return broken }
	close(f.permit)
	cache := &brokenCache{Memory: NewMemory(0)}
	tiers := start(t, f, func(c *TieredConfig) { c.Cache = cache })

	check := func(what string, err error, storage bool) {
		t.Helper()
		var tier *TierError
		if !errors.Is(err, broken) || !errors.As(err, &tier) || tier.Storage != storage {
			t.Errorf("%s: %v, want %v of the storage: %t", what, err, broken, storage)
		}
	}
	receipt := make(chan error, 1)
	stored := func(err error) { receipt <- err }
	if _, ok, err := tiers.Write(ctx, "a", Missing, Record{0, "{}"}, stored); !ok || err != nil {
		t.Fatalf("the cache is whole, but: %t, %v", ok, err)
	}
	check("write", <-receipt, true)
	if err := tiers.Force(ctx, "a", Record{0, "{}"}, stored); err != nil {
		t.Fatal(err)
	}
	check("hot write", <-receipt, true)
	check("delete", tiers.Delete(ctx, "a"), true)
	if r, err := cache.Get(ctx, "a"); err != nil || !r.Exists() {
		t.Errorf("a delete that failed emptied the cache: %+v, %v", r, err)
	}

	cache.fail = broken
	_, ok, err := tiers.Write(ctx, "b", Missing, Record{0, "{}"}, stored)
	if ok {
		t.Error("won a write that the cache did not take")
	}
	check("write", err, false)
	check("hot write", tiers.Force(ctx, "b", Record{0, "{}"}, stored), false)
	select {
	case err := <-receipt:
		t.Errorf("a write that the cache did not take reached the storage: %v", err)
	default:
	}
}
