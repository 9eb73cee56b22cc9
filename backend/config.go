package backend

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
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

// Validate reports all that cannot work, each setting by its key in the
// configuration file. It reads the CA file.
func (c *Config) Validate() error {
	_, err := c.settle()
	return err
}

// settings is a valid Config in the form in which it is used. It never changes.
type settings struct {
	Config
	status []statusRange
	roots  *x509.CertPool // nil for the system's
}

func (c *Config) settle() (*settings, error) {
	s := &settings{Config: *c}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if !isRequestTarget(c.Path) {
		bad("health.path: %q is not a path; write it like /health", c.Path)
	}
	if strings.ContainsFunc(c.Host, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' }) {
		bad("health.host: %q is not a host; write it like node.example.com", c.Host)
	}
	var err error
	if s.status, err = parseStatus(c.Status); err != nil {
		bad("health.status: %w", err)
	}
	for _, d := range []struct {
		key      string
		d, least time.Duration
	}{
		{"health.interval", c.Interval, 10 * time.Millisecond}, {"health.timeout", c.Timeout, time.Millisecond},
		{"health.eject_for", c.EjectFor, time.Millisecond}, {"health.eject_max", c.EjectMax, c.EjectFor},
		{"health.slow_start", c.SlowStart, 0},
	} {
		if d.d < d.least {
			bad("%s: %v is too short; use %v or more", d.key, d.d, d.least)
		}
	}
	for _, n := range []struct {
		key      string
		n, least int
	}{
		{"health.rise", c.Rise, 1}, {"health.fall", c.Fall, 1}, {"health.parallel", c.Parallel, 1},
		{"health.eject_after", c.EjectAfter, 0}, {"health.eject_percent", c.EjectPercent, 0},
		{"limits.requests_per_backend", c.MaxInFlight, 0},
	} {
		if n.n < n.least {
			bad("%s: %d is too small; use %d or more", n.key, n.n, n.least)
		}
	}
	if c.EjectPercent > 100 {
		bad("health.eject_percent: %d is too much; use 0 to 100", c.EjectPercent)
	}
	if c.CAFile != "" {
		if s.roots, err = readRoots(c.CAFile); err != nil {
			bad("upstream.ca: %w", err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

func readRoots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate; it must be in PEM form", file)
	}
	return roots, nil
}

// tlsFor returns what to dial a backend with; nil for plain TCP. Session
// tickets are kept for each backend apart: a cache shared by name would offer
// one backend the tickets of another.
func (s *settings) tlsFor(b Backend) *tls.Config {
	if !b.TLS {
		return nil
	}
	return &tls.Config{
		RootCAs:            s.roots,
		ServerName:         b.serverName(),
		InsecureSkipVerify: s.InsecureSkipVerify,
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}
}

// isRequestTarget reports whether a GET can carry p as it stands; "" is no GET.
func isRequestTarget(p string) bool {
	if p == "" {
		return true
	}
	return p[0] == '/' && !strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' })
}

// statusRange is a range of HTTP status codes, both ends included.
type statusRange struct{ from, to int }

func parseStatus(s string) ([]statusRange, error) {
	var ranges []statusRange
	for _, part := range strings.Split(s, ",") {
		low, high, dash := strings.Cut(strings.TrimSpace(part), "-")
		if !dash {
			high = low
		}
		from, err1 := strconv.Atoi(low)
		to, err2 := strconv.Atoi(high)
		if err1 != nil || err2 != nil || from < 200 || to > 599 || from > to {
			return nil, fmt.Errorf("%q is not a status; write 200, 200-399 or a list of such, from 200 to 599", part)
		}
		ranges = append(ranges, statusRange{from, to})
	}
	return ranges, nil
}

func (s *settings) passes(status int) bool {
	for _, r := range s.status {
		if r.from <= status && status <= r.to {
			return true
		}
	}
	return false
}
