package affinity

import (
	"sync/atomic"
	"time"
)

// troubleLasts is how long after its last failure a table is taken to lack
// pins: other replicas may not have written again yet what they kept meanwhile.
const troubleLasts = 30 * time.Second

// trouble remembers when the table last failed, refused a write, or was found
// to have lost its contents.
type trouble struct{ last atomic.Int64 } // Pins.now, or 0

func (t *trouble) note(now int64) { t.last.Store(now) }

// Incomplete reports whether the table may lack pins that exist: it cannot be
// asked or written, or lately could not. A key that is unknown then may have a
// session all the same.
func (p *Pins) Incomplete() bool {
	if p.breaker.open.Load() || p.refusal.Load() != nil {
		return true
	}
	last := p.trouble.last.Load()
	return last > 0 && p.now()-last < int64(troubleLasts)
}
