package store

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
)

// writer brings writes to a Storage: in the order they came, many in one Apply.
// While the storage owes an answer for longer than the timeout, all that wait and
// all that come are told so; what is queued is written when it answers again.
type writer struct {
	// Set by newWriter.
	storage Storage
	timeout time.Duration // of one Apply; 0 means none
	wake    chan struct{}

	mu       sync.Mutex
	room     *sync.Cond       // on mu
	queue    []*queued        // guarded by mu
	applying []*queued        // guarded by mu
	bytes    int              // guarded by mu: of queue and of applying
	last     map[string]state // guarded by mu: the newest write under way of each name
	calls    int              // guarded by mu: begun and ended Applies
	stuck    bool             // guarded by mu
	done     bool             // guarded by mu
}

type queued struct {
	op       Op
	done     func(error)
	answered bool // guarded by the writer's mu: done was or is being called
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

var (
	errWriterDone = errors.New("node is stopping")
	// errUnanswered is no context.DeadlineExceeded, which is said of reads.
	errUnanswered = errors.New("no answer to a write in time")
)

func newWriter(s Storage, timeout time.Duration) *writer {
	w := &writer{storage: s, timeout: timeout, wake: make(chan struct{}, 1), last: make(map[string]state)}
	w.room = sync.NewCond(&w.mu)
	return w
}

func (q *queued) size() int { return len(q.op.Name) + len(q.op.Record.Data) + overhead }

// add queues a write; done is called once it lasts or failed, unless add returns an
// error. It waits while too much is queued and the storage answers.
func (w *writer) add(ctx context.Context, op Op, done func(error)) error {
	op.Name = strings.Clone(op.Name)
	q := &queued{op: op, done: done}
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.bytes > maxQueued && !w.done && !w.stuck && ctx.Err() == nil {
		w.room.Wait()
	}
	if w.done {
		return errWriterDone
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.stuck && (w.bytes > maxQueued || !op.Record.Exists()) {
		return errUnanswered
	}
	w.queue = append(w.queue, q)
	w.bytes += q.size()
	w.last[op.Name] = state{op.Record, w.last[op.Name].count + 1}
	select {
	case w.wake <- struct{}{}:
	default:
	}
	if w.stuck {
		q.answered = true
		return errUnanswered
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

// unwritten is the number of writes that are queued or being applied.
func (w *writer) unwritten() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue) + len(w.applying)
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
func (w *writer) apply(batch []*queued) {
	batch = w.begin(batch)
	if len(batch) == 0 {
		return
	}
	ops := make([]Op, len(batch))
	for i, q := range batch {
		ops[i] = q.op
	}
	late, err := w.call(ops)
	for i, q := range batch {
		own := err
		if err != nil && len(ops) > 1 && !late {
			late, own = w.call(ops[i : i+1])
		}
		w.settle(q)
		w.answer(q, own)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.applying = nil
}

// begin notes what is being applied. It leaves out the deletes that nobody waits for
// any more: who was told that the record is still there must not lose it later.
func (w *writer) begin(batch []*queued) []*queued {
	keep := make([]*queued, 0, len(batch))
	for _, q := range batch {
		w.mu.Lock()
		stale := q.answered && !q.op.Record.Exists()
		w.mu.Unlock()
		if stale {
			w.settle(q)
		} else {
			keep = append(keep, q)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.applying = keep
	return keep
}

// call is one Apply; late says that its answer came after the timeout.
func (w *writer) call(ops []Op) (late bool, err error) {
	// Not the context of run: what was taken from the queue is written.
	ctx := context.Background()
	w.mu.Lock()
	w.calls++
	call := w.calls
	w.mu.Unlock()
	if w.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.timeout)
		defer cancel()
		t := time.AfterFunc(w.timeout, func() { w.giveUp(call) })
		defer t.Stop()
	}
	err = w.storage.Apply(ctx, ops)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	late, w.stuck = w.stuck, false
	if errors.Is(err, context.DeadlineExceeded) {
		return true, errUnanswered
	}
	return late, err
}

// giveUp tells all that wait that a call of the storage has no answer.
func (w *writer) giveUp(call int) {
	w.mu.Lock()
	if w.calls != call {
		w.mu.Unlock()
		return // it was answered just now
	}
	w.stuck = true
	waiting := append(append([]*queued(nil), w.applying...), w.queue...)
	w.room.Broadcast()
	w.mu.Unlock()
	for _, q := range waiting {
		w.answer(q, errUnanswered)
	}
}

// answer calls done, unless that has happened.
func (w *writer) answer(q *queued, err error) {
	w.mu.Lock()
	before := q.answered
	q.answered = true
	w.mu.Unlock()
	if before {
		return
	}
	if err != nil {
		err = &TierError{Storage: true, Err: err}
	}
	q.done(err)
}

func (w *writer) settle(q *queued) {
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
