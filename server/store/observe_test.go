package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestObserve: every call is passed on, and reported with its error.
func TestObserve(t *testing.T) {
	ctx := context.Background()
	broken := errors.New("disk is full")
	var seen []string
	saw := func(tier string) Observer {
		return func(op string, took time.Duration, err error) {
			if took < 0 {
				t.Errorf("%s took %v", op, took)
			}
			seen = append(seen, fmt.Sprintf("%s %s %v", tier, op, err))
		}
	}
	memory := &brokenCache{Memory: NewMemory(0)}
	c := ObserveCache(memory, saw("cache"))
	f := newFake()
	close(f.permit)
	s := ObserveStorage(f, saw("storage"))

	if _, ok, err := c.CompareAndPut(ctx, "a", Missing, Record{3, "{}"}); !ok || err != nil {
		t.Fatalf("%t, %v", ok, err)
	}
	if r, err := c.Get(ctx, "a"); r != (Record{3, "{}"}) || err != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if v, err := c.Versions(ctx, []string{"a"}); len(v) != 1 || v[0] != 3 || err != nil {
		t.Errorf("%v, %v", v, err)
	}
	memory.fail = broken
	if err := c.Put(ctx, "a", Record{}); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if err := c.Delete(ctx, "a"); err != nil {
		t.Errorf("%v", err)
	}
	if r, _ := memory.Get(ctx, "a"); r.Exists() {
		t.Error("the delete did not get there")
	}
	if err := s.Apply(ctx, []Op{put("b", 1, "[]")}); err != nil {
		t.Errorf("%v", err)
	}
	if r, err := s.Get(ctx, "b"); r != (Record{1, "[]"}) || err != nil {
		t.Errorf("%+v, %v", r, err)
	}
	f.fail = func(Op) error { return broken }
	if err := s.Apply(ctx, []Op{put("b", 0, "")}); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if err := errors.Join(c.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	want := []string{"cache compare_and_put <nil>", "cache get <nil>", "cache versions <nil>", "cache put disk is full", "cache delete <nil>",
		"storage apply <nil>", "storage get <nil>", "storage apply disk is full"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}
