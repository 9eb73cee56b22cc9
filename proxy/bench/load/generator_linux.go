package load

import (
	"fmt"
)

// openWindow is how many connections or handshakes a preparing phase has under
// way at the same time; below the accept queues of all proxies.
const openWindow = 128

// Generator carries out one Spec.
type Generator struct {
	spec   Spec
	engine *engine
	phase  phase
}

// New checks the spec; nothing is sent yet.
func New(spec Spec) (*Generator, error) {
	if err := spec.validate(); err != nil {
		return nil, err
	}
	target, sources, err := spec.addresses()
	if err != nil {
		return nil, err
	}
	slots := spec.Conns
	if spec.Workload == Idle {
		slots = spec.Ops
	}
	e, err := newEngine(target, sources, slots)
	if err != nil {
		return nil, err
	}
	return &Generator{spec: spec, engine: e}, nil
}

// Close closes all connections.
func (g *Generator) Close() { g.engine.close() }

// Prepare opens what the measured operations need and warms up.
func (g *Generator) Prepare() error {
	s := g.spec
	slots := len(g.engine.slots)
	switch s.Workload {
	case Small:
		g.phase = smallRequests()
		return g.all(step{connecting{}, slots}, step{g.phase, s.Warmup})
	case Sticky:
		var ss sessions
		g.phase = ss.polling()
		return g.all(step{connecting{}, slots}, step{ss.handshakes(), s.SIDs}, step{g.phase, s.Warmup})
	case Echo:
		g.phase = echoing{payload: s.Payload}
		return g.all(step{upgrading{}, slots}, step{g.phase, s.Warmup})
	case Connect:
		g.phase = cycling{}
		return g.all(step{g.phase, s.Warmup})
	default:
		g.phase = upgrading{payload: s.Payload}
		return g.all(step{cycling{}, s.Warmup})
	}
}

// step is one preparing phase and the number of its operations.
type step struct {
	phase phase
	ops   int
}

func (g *Generator) all(steps ...step) error {
	for _, st := range steps {
		if st.ops == 0 {
			continue
		}
		r, err := g.engine.run(st.phase, st.ops, min(openWindow, g.spec.Conns), 0)
		if err != nil {
			return fmt.Errorf("prepare %s: %w", g.spec.Workload, err)
		}
		if r.Errors > 0 {
			return fmt.Errorf("prepare %s: %d operations failed, the first: %s", g.spec.Workload, r.Errors, r.Error)
		}
	}
	return nil
}

// Run does the measured operations.
func (g *Generator) Run() (Result, error) {
	r, err := g.engine.run(g.phase, g.spec.Ops, g.spec.Conns, g.spec.Rate)
	if err != nil {
		return r, fmt.Errorf("%s: %w", g.spec.Workload, err)
	}
	return r, nil
}
