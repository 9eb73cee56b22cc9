package store

import (
	"context"
	"time"
)

// Observer is told of every call that a store answered: how long it took and with
// which error.
type Observer func(op string, took time.Duration, err error)

// observedCache reports what a Cache does.
type observedCache struct {
	cache Cache
	saw   Observer
}

// ObserveCache returns a cache that reports its calls to saw.
func ObserveCache(c Cache, saw Observer) Cache { return &observedCache{c, saw} }

func (o *observedCache) Get(ctx context.Context, name string) (Record, error) {
	start := time.Now()
	r, err := o.cache.Get(ctx, name)
	o.saw("get", time.Since(start), err)
	return r, err
}

func (o *observedCache) CompareAndPut(ctx context.Context, name string, old int64, r Record) (Record, bool, error) {
	start := time.Now()
	current, ok, err := o.cache.CompareAndPut(ctx, name, old, r)
	o.saw("compare_and_put", time.Since(start), err)
	return current, ok, err
}

func (o *observedCache) Put(ctx context.Context, name string, r Record) error {
	start := time.Now()
	err := o.cache.Put(ctx, name, r)
	o.saw("put", time.Since(start), err)
	return err
}

func (o *observedCache) Delete(ctx context.Context, names ...string) error {
	start := time.Now()
	err := o.cache.Delete(ctx, names...)
	o.saw("delete", time.Since(start), err)
	return err
}

func (o *observedCache) Versions(ctx context.Context, names []string) ([]int64, error) {
	start := time.Now()
	versions, err := o.cache.Versions(ctx, names)
	o.saw("versions", time.Since(start), err)
	return versions, err
}

func (o *observedCache) Generation(ctx context.Context) (string, error) {
	start := time.Now()
	generation, err := o.cache.Generation(ctx)
	o.saw("generation", time.Since(start), err)
	return generation, err
}

func (o *observedCache) Close() error { return o.cache.Close() }

// observedStorage reports what a Storage does.
type observedStorage struct {
	storage Storage
	saw     Observer
}

// ObserveStorage returns a storage that reports its calls to saw.
func ObserveStorage(s Storage, saw Observer) Storage { return &observedStorage{s, saw} }

func (o *observedStorage) Get(ctx context.Context, name string) (Record, error) {
	start := time.Now()
	r, err := o.storage.Get(ctx, name)
	o.saw("get", time.Since(start), err)
	return r, err
}

func (o *observedStorage) Apply(ctx context.Context, ops []Op) error {
	start := time.Now()
	err := o.storage.Apply(ctx, ops)
	o.saw("apply", time.Since(start), err)
	return err
}

func (o *observedStorage) Close() error { return o.storage.Close() }
