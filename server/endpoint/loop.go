package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dsproxy/dsproxy/server/session"
)

// Loops read the connections of clients that are logged in, many on one goroutine:
// an idle client has no goroutine and no buffer, and of those that have something
// to say at the same moment each costs one read. What their messages give rise to
// is written when all have been read.
//
// A handler may wait, for a store that is slow say. A loop that gets no further
// for patience, or is told so (wsConn.Yield), goes on with another goroutine, and the
// one that is stuck ends when it comes back. A connection is read by one goroutine at a
// time all the same.
//
// Where there is no epoll, or a connection is wrapped in TLS, its own goroutine
// goes on reading.
type Loops struct {
	flusher *session.Flusher
	next    atomic.Uint32
	list    atomic.Pointer[[]*loop] // nil unless Run is running
	begun   chan struct{}           // closed when Run has begun
}

// NewLoops makes Loops, which take connections once they run.
func NewLoops(flusher *session.Flusher) *Loops {
	return &Loops{flusher: flusher, begun: make(chan struct{})}
}

// patience is how long other clients of a loop wait for one that keeps it busy.
const patience = 10 * time.Millisecond

// Run reads until ctx ends, and then cuts off who is left. It is called once.
func (ls *Loops) Run(ctx context.Context, n int) error {
	var list []*loop
	g := new(errgroup.Group)
	for range max(n, 1) {
		l, err := newLoop(ls.flusher)
		if errors.Is(err, errors.ErrUnsupported) {
			break // the connections keep their goroutines
		}
		if err != nil {
			closeAll(list)
			return errors.Join(fmt.Errorf("loop that reads clients: %w", err), g.Wait())
		}
		list = append(list, l)
		g.Go(l.run)
	}
	if len(list) > 0 {
		ls.list.Store(&list)
	}
	close(ls.begun)
	<-ctx.Done()
	ls.list.Store(nil)
	closeAll(list)
	return g.Wait()
}

func closeAll(list []*loop) {
	for _, l := range list {
		l.close()
	}
}

// take goes on reading c in place of its goroutine, unless that must do it.
func (ls *Loops) take(c *wsConn) bool {
	l := ls.pick()
	return l != nil && l.take(c)
}

// running returns the loops; there are none where Run is not running.
func (ls *Loops) running() []*loop {
	if ls == nil {
		return nil
	}
	if list := ls.list.Load(); list != nil {
		return *list
	}
	return nil
}

// pick returns the loop that is to read a connection, nil if there are none. Each
// gets as many as the others.
func (ls *Loops) pick() *loop {
	list := ls.running()
	if len(list) == 0 {
		return nil
	}
	return list[ls.next.Add(1)%uint32(len(list))]
}

// reading is what a loop knows of a connection; guarded by the loop's mu.
type reading struct {
	loop *loop // guarded by wsConn.mu as well; owned by who reads, too
	id   uint64
	now  reads
	// drain says that the end has come, behind what is left to read.
	drain bool
	// newcomer is how often it is to be read until it moves; owned by who reads.
	newcomer int
}

type reads uint8

const (
	idle    reads = iota
	queued        // among the loop's ready
	serving       // by some goroutine
	again         // serving, and there is more
)

// loop is one epoll descriptor and the goroutine in charge of it.
type loop struct {
	poller
	flusher *session.Flusher
	workers sync.WaitGroup

	newcomers atomic.Int32 // how many there are that are not logged in, as a rule

	mu     sync.Mutex
	conns  map[uint64]*wsConn // guarded by mu
	lastID uint64             // guarded by mu
	ready  []*wsConn          // guarded by mu: to be read, from first on
	first  int                // guarded by mu
	round  int                // guarded by mu: where those begin that wait for the next round
	last   *wsConn            // guarded by mu: the one that the goroutine in charge reads, or has read
	shift  int                // guarded by mu: counts the goroutines in charge
	busy   bool               // guarded by mu: the one in charge is not waiting for events
	served uint64             // guarded by mu: connections that were read
	closed bool               // guarded by mu
	// watch calls look while the loop is busy.
	watch   *time.Timer
	watched bool   // guarded by mu: watch is going to call
	seen    uint64 // guarded by mu: served, when it called last
}

func newLoop(flusher *session.Flusher) (*loop, error) {
	l := &loop{flusher: flusher, conns: make(map[uint64]*wsConn)}
	if err := l.open(); err != nil {
		return nil, err
	}
	l.watch = time.AfterFunc(time.Hour, l.look)
	l.watch.Stop()
	return l, nil
}

// run returns when the loop is closed and no connection is being read.
func (l *loop) run() error {
	l.workers.Add(1)
	l.work(0)
	l.workers.Wait()
	return nil
}

// close cuts off the connections. Those that are being read are finished by who
// reads, when it finds out.
func (l *loop) close() {
	l.mu.Lock()
	l.closed = true
	l.watch.Stop()
	var unread, read []*wsConn
	for _, c := range l.conns {
		if c.reading.now < serving {
			unread = append(unread, c)
		} else {
			read = append(read, c)
		}
	}
	l.mu.Unlock()
	l.shut()
	for _, c := range read {
		c.cut()
	}
	for _, c := range unread {
		l.finish(c)
	}
}

func (l *loop) take(c *wsConn) bool {
	return c.leave(func(fd int) error { return l.add(c, fd, 0) })
}

// add has the loop read a connection from now on.
func (l *loop) add(c *wsConn, fd, newcomer int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	l.lastID++
	c.reading = reading{loop: l, id: l.lastID, newcomer: newcomer}
	if err := l.watchSocket(fd, c.reading.id); err != nil {
		return err
	}
	if newcomer > 0 {
		l.newcomers.Add(1)
	}
	l.conns[c.reading.id] = c
	return nil
}

// work is a goroutine in charge. It goes in rounds: a client that sends without a pause
// is read once in each, however much it has to say, and between two of them what came
// of the others is noticed, and what all of it gave rise to is written.
func (l *loop) work(shift int) {
	defer l.workers.Done()
	w := newReader()
	defer w.free()
	// Who takes over begins with the connections that are ready already.
	for ready := shift > 0; ready || l.gather(w); ready = false {
		if !l.begin(shift) {
			return
		}
		for {
			c, mine := l.pop(shift)
			if !mine {
				return
			}
			if c == nil {
				break
			}
			l.serve(w, c, shift)
		}
		l.flusher.Release()
	}
}

// serve reads a connection that the caller popped.
func (l *loop) serve(w *reader, c *wsConn, shift int) {
	for {
		more, ok := w.read(c)
		if !ok {
			l.finish(c)
			return
		}
		if l.visited(c) && l.move(c) {
			return
		}
		if l.settle(c, more, shift) {
			return
		}
	}
}

// mark notes that a connection has something to be read; mu is held.
func (l *loop) mark(c *wsConn) {
	switch c.reading.now {
	case idle:
		c.reading.now = queued
		l.ready = append(l.ready, c)
	case serving:
		c.reading.now = again
	}
}

func (l *loop) begin(shift int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shift != shift {
		return false
	}
	l.flusher.Hold()
	l.busy = true
	waiting := copy(l.ready, l.ready[l.first:])
	clear(l.ready[waiting:])
	l.ready, l.first, l.round = l.ready[:waiting], 0, waiting
	if !l.watched && !l.closed {
		l.watched = true
		l.seen = l.served
		l.watch.Reset(patience)
	}
	return true
}

// pop returns the next connection to be read, nil at the end of the round. A goroutine
// that is not in charge any more gets none, and messages are held for it no longer.
func (l *loop) pop(shift int) (c *wsConn, mine bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shift != shift {
		return nil, false
	}
	if l.first >= l.round || l.closed {
		l.busy, l.last = false, nil
		return nil, true
	}
	c = l.ready[l.first]
	l.ready[l.first] = nil
	l.first++
	l.served++
	c.reading.now = serving
	l.last = c
	return c, true
}

// settle notes that a connection has been read for now. It reports false where the
// caller must go on: it is not in charge any more, and the one that is may be
// waiting for events; or the loop is closed, and the end of the connection is next.
func (l *loop) settle(c *wsConn, more bool, shift int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	more = more || c.reading.now == again
	if more && l.shift != shift || l.closed {
		c.reading.now = serving
		return false
	}
	c.reading.now = idle
	if more {
		l.mark(c)
	}
	return true
}

// finish ends a connection, once.
func (l *loop) finish(c *wsConn) {
	l.mu.Lock()
	_, there := l.conns[c.reading.id]
	delete(l.conns, c.reading.id)
	if there && c.reading.newcomer > 1 {
		l.newcomers.Add(-1)
	}
	l.mu.Unlock()
	if there {
		c.finish()
	}
}

// waiting reports whether connections wait for the next round.
func (l *loop) waiting() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first < len(l.ready)
}

// look has another goroutine take over where the one in charge got no further. Where it
// did, but its round is long, nothing is held back any longer.
func (l *loop) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watched = false
	if !l.busy || l.closed {
		return
	}
	if l.served == l.seen {
		l.handOver()
		return
	}
	l.flusher.Rouse()
	l.seen = l.served
	l.watched = true
	l.watch.Reset(patience)
}

// yield has another goroutine take over where the one in charge is about to wait while it
// serves c.
func (l *loop) yield(c *wsConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy && l.last == c && !l.closed {
		l.handOver()
	}
}

// handOver puts another goroutine in charge; mu is held.
func (l *loop) handOver() {
	l.shift++
	l.busy, l.last = false, nil
	l.workers.Add(1)
	go l.work(l.shift)
	l.flusher.LetGo()
}
