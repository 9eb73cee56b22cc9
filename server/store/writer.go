package store

import (
	"context"
	"errors"
	"strings"
	"sync"
)

// writer brings writes to a Storage: in the order they came, many in one Apply.
type writer struct {
	storage Storage
	wake    chan struct{}

	mu    sync.Mutex
	room  *sync.Cond       // on mu
	queue []queued         // guarded by mu
	bytes int              // guarded by mu: of queue and of what is being applied
	last  map[string]state // guarded by mu: the newest write under way of each name
	done  bool             // guarded by mu
}

type queued struct {
	op   Op
	done func(error)
}

type state struct {
	rec   Record
	count int
}

// maxQueued bounds what waits for the storage, in bytes; writers wait beyond it.
// maxBatch bounds one Apply.
const (
	maxQueued = 64 << 20
	maxBatch  = 1000
)

var errWriterDone = errors.New("node is stopping")

func newWriter(s Storage) *writer {
	w := &writer{storage: s, wake: make(chan struct{}, 1), last: make(map[string]state)}
	w.room = sync.NewCond(&w.mu)
	return w
}

func (q *queued) size() int { return len(q.op.Name) + len(q.op.Record.Data) + overhead }

// add queues a write; done is called once it lasts or failed. It waits while too
// much is queued.
func (w *writer) add(ctx context.Context, op Op, done func(error)) error {
	op.Name = strings.Clone(op.Name)
	q := queued{op, done}
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.bytes > maxQueued && !w.done && ctx.Err() == nil {
		w.room.Wait()
	}
	if w.done {
		return errWriterDone
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w.queue = append(w.queue, q)
	w.bytes += q.size()
	w.last[op.Name] = state{op.Record, w.last[op.Name].count + 1}
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return nil
}

// pending returns the newest write of a name that the storage may not have yet.
func (w *writer) pending(name string) (Record, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, ok := w.last[name]
	return s.rec, ok
}

// run writes until ctx ends and the queue is empty. What is queued later fails.
func (w *writer) run(ctx context.Context) error {
	for {
		w.mu.Lock()
		n := min(len(w.queue), maxBatch)
		batch := w.queue[:n:n]
		w.queue = w.queue[n:]
		if n == 0 {
			w.queue = nil
			if ctx.Err() != nil {
				w.done = true
				w.room.Broadcast()
				w.mu.Unlock()
				return nil
			}
		}
		w.mu.Unlock()
		if n == 0 {
			select {
			case <-ctx.Done():
			case <-w.wake:
			}
			continue
		}
		w.apply(batch)
	}
}

// apply writes a batch. If it fails as a whole, each write gets its own chance,
// so that one bad record does not fail its neighbours.
func (w *writer) apply(batch []queued) {
	ops := make([]Op, len(batch))
	for i, q := range batch {
		ops[i] = q.op
	}
	// Not the context of run: what was taken from the queue is written.
	ctx := context.Background()
	err := w.storage.Apply(ctx, ops)
	for i, q := range batch {
		own := err
		if err != nil && len(ops) > 1 {
			own = w.storage.Apply(ctx, ops[i:i+1])
		}
		if own != nil {
			own = &TierError{Storage: true, Err: own}
		}
		w.settle(q)
		q.done(own)
	}
}

func (w *writer) settle(q queued) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes -= q.size()
	s := w.last[q.op.Name]
	if s.count--; s.count == 0 {
		delete(w.last, q.op.Name)
	} else {
		w.last[q.op.Name] = s
	}
	w.room.Broadcast()
}
