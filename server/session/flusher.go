package session

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Flusher writes the outboxes of all sessions. A session that gets its first
// waiting message is queued at one of a few workers; the worker takes everything
// that waits for it and makes one write that does not block. So a lone message
// leaves as soon as the worker runs, and messages that arrive while the workers
// are busy leave together. What the network does not take at once is left to a
// goroutine of that session alone, which ends when it has caught up.
type Flusher struct {
	workers []*worker
}

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
	first := len(w.list) == 1
	w.mu.Unlock()
	if first {
		select {
		case w.wake <- struct{}{}:
		default:
		}
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
