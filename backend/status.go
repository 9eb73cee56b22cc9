package backend

import (
	"slices"
	"time"
)

// Status is one backend as /backends shows it.
type Status struct {
	ID        string    `json:"id"`
	Addr      string    `json:"addr"`
	Zone      string    `json:"zone,omitempty"`
	Version   string    `json:"version,omitempty"` // of the node's program, where gossip tells
	TLS       bool      `json:"tls"`
	Weight    int       `json:"weight"`
	State     State     `json:"state"`
	Reason    string    `json:"reason"`
	Since     time.Time `json:"since"`
	Starting  bool      `json:"starting,omitempty"`   // no check has ended yet
	Suspect   bool      `json:"suspect,omitempty"`    // its last dials failed, see DialFailed
	SlowStart int       `json:"slow_start,omitempty"` // per cent of its weight it has now; 0 when not in slow start
	Sessions  int       `json:"sessions"`             // tunnels and polling sessions this replica knows
	Tunnels   int       `json:"tunnels"`              // of these, tunnels
	InFlight  int       `json:"in_flight"`            // slots taken with Acquire
	Overflows uint64    `json:"overflows"`            // Acquires refused, ever

	LastCheck        time.Time `json:"last_check,omitzero"`
	CheckError       string    `json:"check_error,omitempty"` // of the last check
	FailedChecks     int       `json:"failed_checks"`         // in a row
	FailedDials      int       `json:"failed_dials"`          // in a row
	FailedHandshakes int       `json:"failed_handshakes"`     // in a row
	Ejections        int       `json:"ejections"`             // ever
	EjectedUntil     time.Time `json:"ejected_until,omitzero"`
}

// Snapshot returns all that is known of each backend, ordered by id.
func (p *Pool) Snapshot() []Status {
	p.mu.Lock()
	now := time.Now()
	c := p.settings.Load()
	all := make([]Status, len(p.ids))
	for i, id := range p.ids {
		all[i] = p.records[id].status(now, c)
	}
	p.mu.Unlock()
	// Outside the lock: Polling is not ours.
	for i := range all {
		all[i].Sessions = all[i].Tunnels + p.deps.Polling(all[i].ID)
	}
	return all
}

func (r *record) status(now time.Time, c *settings) Status {
	s := Status{
		ID: r.backend.ID, Addr: r.backend.Addr, Zone: r.backend.Zone, Version: r.backend.Version, TLS: r.backend.TLS, Weight: r.backend.Weight,
		State: r.state, Reason: r.reason, Since: r.since, Starting: !r.checked, Suspect: r.suspect,
		Tunnels: int(r.load.tunnels.Load()), InFlight: int(r.load.inFlight.Load()), Overflows: r.load.overflows.Load(),
		LastCheck: r.lastCheck, FailedChecks: r.fails,
		FailedDials: int(r.failedDials.Load()), FailedHandshakes: int(r.failedHandshakes.Load()),
		Ejections: r.ejections, EjectedUntil: r.ejectedUntil,
	}
	if r.checkErr != nil {
		s.CheckError = r.checkErr.Error()
	}
	if !r.rampFrom.IsZero() {
		if part := ramp(now.Sub(r.rampFrom), c.SlowStart); part < 1 {
			s.SlowStart = int(100 * part)
		}
	}
	return s
}

// SourceStatus is one source as /backends and /readyz show it.
type SourceStatus struct {
	Name     string    `json:"name"`
	Backends int       `json:"backends"`
	Updated  time.Time `json:"updated,omitzero"`  // when its list last changed; zero if it has not spoken yet
	Retired  bool      `json:"retired,omitempty"` // of the configuration before, until the new sources have spoken
	Error    string    `json:"error,omitempty"`   // what keeps it from a new list; the last one stays
}

// Sources tells of each source how it fares.
func (p *Pool) Sources() []SourceStatus {
	p.mu.Lock()
	slots := slices.Clone(p.slots)
	all := make([]SourceStatus, len(slots))
	for i, s := range slots {
		all[i] = SourceStatus{Name: s.label(), Backends: len(s.list), Updated: s.updated, Retired: s.retired}
	}
	p.mu.Unlock()
	// Outside the lock: a source may hold one of its own while it calls set.
	for i, s := range slots {
		if e, ok := s.source.(interface{ Err() error }); ok && !all[i].Retired {
			if err := e.Err(); err != nil {
				all[i].Error = err.Error()
			}
		}
	}
	return all
}
