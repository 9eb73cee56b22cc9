package record

import (
	"hash/maphash"
	"strings"
	"sync"

	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
)

// lines puts everything that happens to one record in a line: reads, writes and
// deletes of a name are done one after the other, in the order they came. With a
// store that answers at once the caller does its own work, and that of others that
// queued behind it; else each busy name has a goroutine, of which there are not
// more than maxBusy.
type lines struct {
	seed   maphash.Seed
	do     func(t *task)
	inline bool
	busy   chan struct{} // holds a token for each goroutine
	shards [lineShards]lineShard
}

const (
	lineShards = 64
	// maxLine bounds the tasks waiting for one name; who brings more waits, but for what
	// a task of the line itself makes needed: nobody else would make room. For other nodes
	// see offer.
	maxLine = 1024
	// maxBusy bounds the names worked on at a time.
	maxBusy = 256
	// patience is how many tasks of others a caller does before it leaves the
	// rest to a goroutine.
	patience = 64
)

type lineShard struct {
	mu    sync.Mutex
	lines map[string]*line // guarded by mu
}

// line is a name that is being worked on.
type line struct {
	name  string
	tasks []*task    // guarded by the shard's mu
	room  *sync.Cond // on the shard's mu; guarded by it: nil while nobody has waited
}

// task is one message about one name. from is nil for what another node said. A task
// that catches up brings what the store has to all subscribers, or to from alone.
type task struct {
	from    *session.Session
	m       *message.Message
	catchUp bool
	astray  bool   // from was when this was put down
	head    bool   // from waits for the version of what it is subscribed to
	done    func() // may be nil
}

// own tells what the node has itself do to a record.
func (t *task) own() bool { return t.catchUp }

// waits calls f, in which a task waits for its turn. Where its client brought it, the
// others that the same goroutine reads for need not wait with it.
func (t *task) waits(f func()) {
	if t.from == nil || t.catchUp || t.astray || t.head {
		f()
		return
	}
	t.from.Waits(f)
}

// catchesAll tells the tasks that bring what the store has to all subscribers.
func (t *task) catchesAll() bool { return t.catchUp && t.from == nil }

// quick tells the tasks that do not wait for a store: most of what other nodes say
// is passed on as it is. They are done at once where nothing is before them.
func (t *task) quick() bool {
	switch {
	case t.catchUp, t.astray, t.head:
		return false
	case t.from == nil:
		return t.m.Action != message.RecordNotify
	}
	return t.m.Action == message.RecordSubscribe || t.m.Action == message.RecordUnsubscribe
}

func newLines(inline bool, do func(t *task)) *lines {
	l := &lines{seed: maphash.MakeSeed(), do: do, inline: inline, busy: make(chan struct{}, maxBusy)}
	for i := range l.shards {
		l.shards[i].lines = make(map[string]*line)
	}
	return l
}

// add brings a task for name, and waits where there is too much to do. The message is
// only kept after add returns if the line copied it.
func (l *lines) add(name string, t task) { l.put(name, t, true) }

// offer is add for who must not wait, because all that other nodes say would wait with
// it: it reports false where there is too much to do.
func (l *lines) offer(name string, t task) bool { return l.put(name, t, false) }

func (l *lines) put(name string, t task, wait bool) bool {
	sh := &l.shards[maphash.String(l.seed, name)%lineShards]
	sh.mu.Lock()
	ln := sh.lines[name]
	for ln != nil && len(ln.tasks) >= maxLine && !t.own() {
		if !wait {
			sh.mu.Unlock()
			return false
		}
		if ln.room == nil {
			ln.room = sync.NewCond(&sh.mu)
		}
		t.waits(ln.room.Wait)
		ln = sh.lines[name]
	}
	if ln != nil {
		ln.join(t)
		sh.mu.Unlock()
		return true
	}
	direct := l.inline || t.quick()
	if !direct && !wait && !l.enter() {
		sh.mu.Unlock()
		return false
	}
	ln = &line{name: strings.Clone(name)}
	sh.lines[ln.name] = ln
	sh.mu.Unlock()

	switch {
	case l.inline:
		l.do(&t)
		if !l.next(sh, ln, patience) {
			go l.drain(sh, ln)
		}
	case direct:
		l.do(&t)
		if !l.next(sh, ln, 0) {
			go l.work(sh, ln)
		}
	default:
		kept := t.keep()
		if wait {
			l.await(kept)
		}
		go func() {
			defer func() { <-l.busy }()
			l.do(kept)
			l.drain(sh, ln)
		}()
	}
	return true
}

// await takes a token when one is left.
func (l *lines) await(t *task) {
	if !l.enter() {
		t.waits(func() { l.busy <- struct{}{} })
	}
}

// enter takes a token if one is left.
func (l *lines) enter() bool {
	select {
	case l.busy <- struct{}{}:
		return true
	default:
		return false
	}
}

// join puts a task at the end of a line; mu is held. To catch up twice running is to do
// so once.
func (ln *line) join(t task) {
	if n := len(ln.tasks); n > 0 && t.catchesAll() && ln.tasks[n-1].catchesAll() {
		return
	}
	ln.tasks = append(ln.tasks, t.keep())
}

// idle reports that nothing is done to a name now. What a client brought before has
// been done, then.
func (l *lines) idle(name string) bool {
	sh := &l.shards[maphash.String(l.seed, name)%lineShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.lines[name] == nil
}

// work does what waits in a line as one of the goroutines that are bounded.
func (l *lines) work(sh *lineShard, ln *line) {
	l.busy <- struct{}{}
	defer func() { <-l.busy }()
	l.drain(sh, ln)
}

// keep returns a copy of the task that outlives the call that brought it.
func (t task) keep() *task {
	m := *t.m
	t.m = &m
	return &t
}

func (l *lines) drain(sh *lineShard, ln *line) {
	for !l.next(sh, ln, patience) {
	}
}

// next does up to n waiting tasks and reports whether the line is empty, and gone.
func (l *lines) next(sh *lineShard, ln *line, n int) (empty bool) {
	for {
		sh.mu.Lock()
		switch {
		case len(ln.tasks) == 0:
			delete(sh.lines, ln.name)
			if ln.room != nil {
				ln.room.Broadcast()
			}
			sh.mu.Unlock()
			return true
		case n == 0:
			sh.mu.Unlock()
			return false
		}
		n--
		t := ln.tasks[0]
		ln.tasks[0] = nil
		ln.tasks = ln.tasks[1:]
		if ln.room != nil {
			ln.room.Signal()
		}
		sh.mu.Unlock()
		l.do(t)
	}
}
