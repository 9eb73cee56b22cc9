package backend

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// ErrUnknown says that no backend has the id.
var ErrUnknown = errors.New("unknown backend")

// Pool keeps what is known of the backends. All methods may be called from any
// goroutine, before, during and after Run.
type Pool struct {
	set atomic.Pointer[Set]
}

// NewPool returns a pool over its sources. Static ones are in its Set at once,
// taken for up; the others and the checks need Run.
func NewPool(c Config, d Deps, sources ...Source) (*Pool, error) {
	p := &Pool{}
	p.set.Store(&Set{})
	return p, nil
}

// Run runs the sources and the checks until ctx is done, and returns when all
// its goroutines have ended. The error is that of a source that gave up.
func (p *Pool) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Set returns the backends as they are now: one atomic load.
func (p *Pool) Set() *Set { return p.set.Load() }

// Reload takes another configuration and other sources. Health, load and
// drains of backends that stay are kept. A source with the String of an old
// one starts with that one's list; the backends of sources that are no more
// stay until all new sources have spoken, so a reload leaves no gap.
func (p *Pool) Reload(c Config, sources ...Source) error { return nil }

// Outcome is what real traffic met at a backend.
type Outcome uint8

// The outcomes. Failures to dial and failed handshakes are counted apart; both
// count against Config.EjectAfter.
const (
	// DialFailed: no connection could be made. Two in a row make the backend
	// suspect: Least puts it last and it is checked at once and more often.
	DialFailed Outcome = iota
	// HandshakeFailed: the request that would have begun a session got a 5xx,
	// or the connection died before an answer.
	HandshakeFailed
	// HandshakeServed: such a request got any other answer. Ends both counts.
	HandshakeServed
	// Answered: any other request got an answer. Ends the count of failed
	// dials only, for a backend may serve old sessions while it fails new ones.
	Answered
)

// Report tells what traffic met at a backend; an unknown id is ignored. Good
// news about a backend in good standing costs a map access and two atomic loads.
func (p *Pool) Report(id string, o Outcome) {}

// Drain has a backend take no new sessions until Undrain. It is forgotten when
// the backend vanishes from its sources. The error is ErrUnknown.
func (p *Pool) Drain(id string) error { return nil }

// Undrain ends a Drain. The error is ErrUnknown, or says that it is the source
// that drains the backend.
func (p *Pool) Undrain(id string) error { return nil }

// Snapshot returns all that is known of each backend, ordered by id.
func (p *Pool) Snapshot() []Status { return nil }

// Sources tells of each source how it fares.
func (p *Pool) Sources() []SourceStatus { return nil }

// Status is one backend as /backends shows it.
type Status struct {
	ID        string    `json:"id"`
	Addr      string    `json:"addr"`
	Zone      string    `json:"zone,omitempty"`
	TLS       bool      `json:"tls"`
	Weight    int       `json:"weight"`
	State     State     `json:"state"`
	Reason    string    `json:"reason"`
	Since     time.Time `json:"since"`
	Starting  bool      `json:"starting,omitempty"`   // no check has ended yet
	Suspect   bool      `json:"suspect,omitempty"`    // dials failed, see DialFailed
	SlowStart int       `json:"slow_start,omitempty"` // per cent of its weight it has now; 0 when not in slow start
	Sessions  int       `json:"sessions"`             // tunnels and polling sessions this replica knows
	Tunnels   int       `json:"tunnels"`              // of these, tunnels
	InFlight  int       `json:"in_flight"`            // slots taken with Acquire
	Overflows uint64    `json:"overflows"`            // Acquires refused

	LastCheck        time.Time `json:"last_check,omitzero"`
	CheckError       string    `json:"check_error,omitempty"` // of the last check
	FailedChecks     int       `json:"failed_checks"`         // in a row
	FailedDials      int       `json:"failed_dials"`          // in a row
	FailedHandshakes int       `json:"failed_handshakes"`     // in a row
	Ejections        int       `json:"ejections"`             // ever
	EjectedUntil     time.Time `json:"ejected_until,omitzero"`
}

// SourceStatus is one source as /backends and /readyz show it.
type SourceStatus struct {
	Name     string    `json:"name"`
	Backends int       `json:"backends"`
	Updated  time.Time `json:"updated,omitzero"` // when its list last came
	Error    string    `json:"error,omitempty"`  // of a source that has trouble and keeps its last list
}
