package record

import (
	"sync"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
)

// checker compares what the subscribers of records were told with what the store
// has, where an update may have passed them by:
//
//   - A record that gets its first subscriber here may be written on a node that does
//     not know of it yet. It is looked at once all nodes do.
//   - After a gap in what a node is heard to say, and after its end, all are looked at,
//     and once more when it has learned anew what this node wants: it may have passed
//     it over until then.
//   - Every half minute all are looked at: a node that was taken for gone, or that was
//     never heard because the bus was away, may have written.
//
// Versions are compared, and more than that when the store has another server than
// before, which is looked for every few seconds: it may have lost a write that was told,
// and have another one of that version.
//
// Its goroutine lives while there is something to look at.
type checker struct {
	h *Handler

	mu      sync.Mutex
	fresh   []string // guarded by mu: to be looked at once all nodes know of them
	names   []string // guarded by mu: to be looked at
	all     bool     // guarded by mu: every record is
	routine bool     // guarded by mu: every record is that has versions
	running bool     // guarded by mu

	servers bool        // guarded by mu: those of the store are
	timer   *time.Timer // guarded by mu: of the routine, nil in a node that is always alone
	looks   int         // guarded by mu: how often the timer fired
	closed  bool        // guarded by mu

	generation string // of the store, when it was looked at last; run's
}

const (
	// checkBatch is how many versions are asked for at a time.
	checkBatch = 1000
	// maxCheck bounds the names that wait; with more, all are looked at.
	maxCheck = 100_000
	// serversPeriod is the time between two looks at the servers of the store, and
	// recordsPeriod the number of those between two looks at all records.
	serversPeriod = 3 * time.Second
	recordsPeriod = 10
	// checkPause is how long a store that failed is left alone.
	checkPause = time.Second
)

// settle has a record looked at when all nodes know that it is wanted here. It is
// called under a lock of the hub.
func (c *checker) settle(name string) {
	if len(c.h.cluster.Interest.Nodes()) < 2 {
		return // one that joins is a gap
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fresh = append(c.fresh, name)
	c.start()
}

// later has records looked at.
func (c *checker) later(names ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(names)
	c.start()
}

func (c *checker) checkAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = true
	c.start()
}

// watch begins the routine.
func (c *checker) watch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(serversPeriod, c.again)
	c.servers = true
	c.start()
}

func (c *checker) again() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.looks++
	c.servers, c.routine = true, c.routine || c.looks%recordsPeriod == 0
	c.start()
	c.timer.Reset(serversPeriod)
}

// close ends the routine.
func (c *checker) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
}

// put is called with mu held.
func (c *checker) put(names []string) {
	if len(c.names)+len(names) > maxCheck {
		c.all = true
		return
	}
	c.names = append(c.names, names...)
}

// start is called with mu held.
func (c *checker) start() {
	if !c.running {
		c.running = true
		go c.run()
	}
}

func (c *checker) run() {
	for c.h.ctx.Err() == nil {
		c.mu.Lock()
		fresh, names, all, routine, servers := c.fresh, c.names, c.all, c.routine, c.servers
		c.fresh, c.names, c.all, c.routine, c.servers = nil, nil, false, false, false
		if len(fresh) == 0 && len(names) == 0 && !all && !routine && !servers {
			c.running = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		if len(fresh) > 0 {
			c.h.cluster.Interest.Settle(func() { c.later(fresh...) })
		}
		if (all || servers) && c.moved(all) {
			c.h.versions.doubtAll()
			all = true
		}
		if all {
			names = nil
		}
		if all || routine {
			c.h.hub.All(func(name string) bool {
				if all || !c.h.hot(name) {
					names = append(names, name)
				}
				return true
			})
		}
		c.look(names)
	}
}

// moved reports whether the store has other servers than before, or after a gap may
// have.
func (c *checker) moved(gap bool) bool {
	generation, err := c.h.store.Generation(c.h.ctx)
	if err != nil {
		c.h.log.Debug("servers of the records are not known", "err", err)
		return gap
	}
	before := c.generation
	c.generation = generation
	return generation != before
}

// look puts into the lines what the store has another version of.
func (c *checker) look(names []string) {
	for len(names) > 0 {
		batch := names[:min(checkBatch, len(names))]
		versions, err := c.h.store.Versions(c.h.ctx, batch)
		if err != nil {
			c.h.log.Warn("records cannot be compared yet", "records", len(names), "err", err)
			c.mu.Lock()
			c.put(names)
			c.mu.Unlock()
			c.pause()
			return
		}
		for i, name := range batch {
			if last, wanted := c.h.versions.last(name); wanted && (last.told != versions[i] || last.doubt || c.h.isHot(name, last.told)) {
				c.h.lines.add(name, task{catchUp: true, m: &message.Message{Name: name}})
			}
		}
		names = names[len(batch):]
	}
}

func (c *checker) pause() {
	t := time.NewTimer(checkPause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.h.ctx.Done():
	}
}
