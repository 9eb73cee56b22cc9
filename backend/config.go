package backend

import (
	"context"
	"log/slog"
	"time"
)

// Config is what an operator can set of a Pool. Start from Defaults.
type Config struct {
	// Path is requested with GET over HTTP/1.1; empty means that a TCP
	// connection (and a TLS handshake, with TLS) is enough.
	Path string
	// Host is the Host header of checks; empty means the backend's ServerName or Addr.
	Host string
	// Status lists what passes: "200-399", "200,204,301-302".
	Status   string
	Interval time.Duration // between two checks of a backend, give or take a tenth
	Timeout  time.Duration // of one check, all of it
	Rise     int           // passed checks in a row that make a backend up
	Fall     int           // failed checks in a row that make it down
	Parallel int           // checks in flight at once, over all backends

	// EjectAfter failures of real traffic in a row eject a backend for
	// EjectFor, doubled each time up to EjectMax; 0 never ejects. At most
	// EjectPercent of all backends are ejected at once.
	EjectAfter   int
	EjectFor     time.Duration
	EjectMax     time.Duration
	EjectPercent int

	// SlowStart is how long a backend that came (back) gets less than its share of new sessions; 0 is off.
	SlowStart time.Duration
	// MaxInFlight bounds what Member.Acquire gives out for each backend; 0 is no limit.
	MaxInFlight int

	// CAFile is a PEM file of the only authorities that certificates of
	// backends are verified against; empty means the system's.
	CAFile string
	// InsecureSkipVerify verifies nothing, and is warned of in the log: whoever
	// sits on the path to a backend can then read and change everything.
	InsecureSkipVerify bool
}

// Defaults returns TCP checks every 2 s, and ejection after 5 failures.
func Defaults() Config {
	return Config{
		Status: "200-399", Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3, Parallel: 16,
		EjectAfter: 5, EjectFor: 10 * time.Second, EjectMax: 300 * time.Second, EjectPercent: 50,
		SlowStart: 10 * time.Second,
	}
}

// Validate reports all that cannot work, each setting by its key in the configuration file.
func (c *Config) Validate() error { return nil }

// Deps is what a Pool is given by the program around it. All may be left out.
type Deps struct {
	// Log gets state changes and trouble of sources.
	Log *slog.Logger
	// Polling returns how many sessions without a tunnel this replica knows on
	// a backend: live pins of the polling kind. It must be fast and not block;
	// a new session asks it twice.
	Polling func(id string) int
	// OnChange is told of every change of state, one at a time, in order, after
	// Set shows it. It must not block; it may call the pool. To Gone, a backend
	// has vanished from all sources: close its idle connections; its live
	// tunnels go on until they end by themselves.
	OnChange func(Change)
	// Probe replaces the active check, for tests.
	Probe func(ctx context.Context, b Backend) error
	// Random returns uniform bits, for tests; the default is math/rand/v2.
	Random func() uint64
}

// Change is one change of a backend's state.
type Change struct {
	Backend  Backend
	From, To State // From Gone: it is new; To Gone: no source names it any more
	Reason   string
	At       time.Time
}
