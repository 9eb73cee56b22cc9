package session

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// Flusher writes the outboxes of all sessions. A session that gets its first
// waiting message is queued at one of a few workers; the worker takes everything
// that waits for it and makes one write that does not block. So a lone message
// leaves as soon as the worker runs, and messages that arrive while the workers
// are busy leave together. What the network does not take at once is left to a
// goroutine of that session alone, which ends when it has caught up.
//
// A goroutine that reads from many clients may Hold back the few messages that
// come of it and write them itself with Release, which spares the workers' waking.
type Flusher struct {
	workers []*worker
	held    atomic.Int32
}

// few is how many sessions of a worker are held back at most.
const few = 128

type worker struct {
	wake chan struct{}

	mu   sync.Mutex
	list []*Session // guarded by mu
}

// NewFlusher makes a Flusher of n workers, at least one.
func NewFlusher(n int) *Flusher {
	f := &Flusher{}
	for range max(n, 1) {
		f.workers = append(f.workers, &worker{wake: make(chan struct{}, 1)})
	}
	return f
}

// Run writes until ctx ends. Messages still waiting then are left unsent.
func (f *Flusher) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, w := range f.workers {
		g.Go(func() error { w.run(ctx); return nil })
	}
	return g.Wait()
}

func (f *Flusher) schedule(s *Session) {
	w := f.workers[s.id%uint64(len(f.workers))]
	w.mu.Lock()
	w.list = append(w.list, s)
	due := len(w.list) == 1
	// Whoever holds gives it back before it looks at the list.
	if f.held.Load() > 0 {
		due = len(w.list) == few
	}
	w.mu.Unlock()
	if due {
		w.rouse()
	}
}

func (w *worker) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Hold has messages to few sessions wait for a Release or LetGo, which must come
// soon.
func (f *Flusher) Hold() { f.held.Add(1) }

// Release writes what was held back.
func (f *Flusher) Release() {
	f.held.Add(-1)
	for _, w := range f.workers {
		w.help()
	}
}

// LetGo has the workers write what was held back.
func (f *Flusher) LetGo() {
	f.held.Add(-1)
	f.Rouse()
}

// Rouse has the workers write what has been held back so far.
func (f *Flusher) Rouse() {
	for _, w := range f.workers {
		w.rouse()
	}
}

// help does the work of a worker where it is little.
func (w *worker) help() {
	var batch [few]*Session
	w.mu.Lock()
	n := len(w.list)
	if n < few {
		copy(batch[:], w.list)
		clear(w.list)
		w.list = w.list[:0]
	}
	w.mu.Unlock()
	if n >= few {
		w.rouse()
		return
	}
	for _, s := range batch[:n] {
		s.flush()
	}
}

func (w *worker) run(ctx context.Context) {
	var batch []*Session
	for {
		w.mu.Lock()
		batch, w.list = w.list, batch[:0]
		w.mu.Unlock()
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-w.wake:
				continue
			}
		}
		for _, s := range batch {
			s.flush()
		}
		clear(batch)
	}
}
