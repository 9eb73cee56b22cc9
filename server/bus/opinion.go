package bus

import (
	"sync"
	"time"
)

// opinion is what somebody else says about a node.
type opinion uint8

const (
	none opinion = iota
	alive
	dead
)

// opinions are those that hold. They have a lock of their own, so that who has one is
// never held up by what the receiver does.
type opinions struct {
	mu sync.Mutex
	by map[string]verdict // guarded by mu
}

type verdict struct {
	opinion opinion
	at      time.Time
}

func (o *opinions) set(node string, isAlive bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := verdict{dead, time.Now()}
	if isAlive {
		v.opinion = alive
	}
	if o.by == nil {
		o.by = make(map[string]verdict)
	}
	if _, ok := o.by[node]; ok || len(o.by) < maxPeers {
		o.by[node] = v
	}
}

func (o *opinions) of(node string) (opinion, time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := o.by[node]
	return v.opinion, v.at
}

func (o *opinions) forget(node string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.by, node)
}

// tidy forgets verdicts about nodes that are not heard anyway.
func (o *opinions) tidy(now time.Time, heard func(node string) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for node, v := range o.by {
		if v.opinion == dead && !heard(node) && now.Sub(v.at) > 2*verdictGrace {
			delete(o.by, node)
		}
	}
}
