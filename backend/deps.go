package backend

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Deps is what a Pool is given by the program around it. All may be left out.
type Deps struct {
	// Log gets changes of state and trouble of sources.
	Log *slog.Logger
	// Polling returns how many sessions without a tunnel this replica knows on
	// a backend: live pins of the polling kind. It must be fast and not block;
	// a new session asks it once for each backend drawn.
	Polling func(id string) int
	// OnChange is told of every change of state, one at a time and in order,
	// when Set shows it already. It runs on the goroutine that caused the
	// change, often that of a request, so it must not block; it may call the
	// pool. The backends of static sources come up while NewPool runs.
	OnChange func(Change)
	// Probe replaces the active check, for tests.
	Probe func(ctx context.Context, b Backend) error
	// Random returns uniform bits, for tests; the default is math/rand/v2. It
	// must be safe for use by several goroutines.
	Random func() uint64
}

// Change is one change of a backend's state. From Gone: it is new. To Gone: no
// source names it any more, so its idle connections may be closed; tunnels to
// it go on until they end by themselves. A backend whose ID stays while its
// address changes is another one: it goes and comes.
type Change struct {
	Backend  Backend
	From, To State
	Reason   string
	At       time.Time
}

func (d *Deps) fill() {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Polling == nil {
		d.Polling = func(string) int { return 0 }
	}
	if d.OnChange == nil {
		d.OnChange = func(Change) {}
	}
	if d.Random == nil {
		d.Random = rand.Uint64
	}
}
