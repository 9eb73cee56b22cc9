package affinity

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// failing is a table that fails while err is set.
type failing struct {
	Table
	err error
}

func (f *failing) Get(ctx context.Context, k Key) (Pin, error) {
	if f.err != nil {
		return Pin{}, f.err
	}
	return f.Table.Get(ctx, k)
}

func TestIncomplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := &failing{Table: NewMemory(10)}
		p := NewPins(table, PinsConfig{})
		n := 0
		ask := func() { n++; p.Lookup(context.Background(), MakeKey("t", []byte{byte(n)})) }
		ask()
		if p.Incomplete() {
			t.Error("an unknown key is no trouble")
		}
		table.err = errors.New("away")
		ask()
		table.err = nil
		if !p.Incomplete() {
			t.Error("a failed question is trouble")
		}
		time.Sleep(troubleLasts - time.Second)
		ask()
		if !p.Incomplete() {
			t.Error("trouble ended early")
		}
		time.Sleep(2 * time.Second)
		if p.Incomplete() {
			t.Error("trouble did not end")
		}
	})
}
