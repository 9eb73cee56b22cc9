package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Resolver is the part of net.Resolver that a DNS source needs.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, addrs []*net.SRV, err error)
}

// DNSConfig sets up DNS sources. Zero fields take the default named beside them.
type DNSConfig struct {
	Resolver Resolver      // net.DefaultResolver
	Refresh  time.Duration // between two look-ups of a name, give or take a tenth: 10 s
	Timeout  time.Duration // of one look-up, with those of a service's targets: 5 s
	Log      *slog.Logger  // nil for none
}

// maxLookups bounds the look-ups of a service's targets that run at once.
const maxLookups = 8

// DNS is a Source that looks a name up again and again. The standard resolver
// does not tell how long an answer is valid, so a fixed interval stands in for
// the TTL. A look-up that fails or finds nothing keeps the last list: an empty
// answer is far more often a DNS in trouble than a service at its end. It is
// logged when it begins and when it is over, and Err tells it meanwhile.
//
// A backend's ID is its address, not its name: a node that comes back under
// another address has lost its sessions and is another backend. Of a service
// only the targets of the lowest priority number are used (RFC 2782); their
// weights count as they stand times the name's own, unless all are equal, when
// the name's own is used: some servers give each of n targets the weight 100/n.
// A target whose name cannot be looked up keeps the addresses it had.
type DNS struct {
	name Name
	cfg  DNSConfig

	err atomic.Pointer[error]

	// Owned by Run.
	targets map[string][]netip.Addr // the last addresses of a service's targets
}

// NewDNS returns a source of the backends that a name stands for.
func NewDNS(name Name, c DNSConfig) *DNS {
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	if c.Refresh <= 0 {
		c.Refresh = 10 * time.Second
	}
	if c.Timeout <= 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &DNS{name: name, cfg: c}
}

// String returns the name in the form it has in --backends.
func (d *DNS) String() string { return d.name.String() }

// Err returns what was wrong with the last look-up, or nil.
func (d *DNS) Err() error {
	if p := d.err.Load(); p != nil {
		return *p
	}
	return nil
}

// Run looks the name up until ctx is done, then returns nil.
func (d *DNS) Run(ctx context.Context, set func([]Backend)) error {
	var last []Backend
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		list, err := d.resolve(ctx)
		if ctx.Err() != nil {
			return nil
		}
		d.note(err, len(last))
		if len(list) > 0 && !slices.Equal(list, last) {
			last = list
			set(list)
		}
		wait := d.cfg.Refresh
		if last == nil {
			// Nothing to serve with yet.
			wait = min(wait, time.Second)
		}
		timer.Reset(jitter(wait, rand.Uint64()))
	}
}

// note keeps the error for Err and logs it when trouble begins and ends.
func (d *DNS) note(err error, kept int) {
	before := d.Err()
	switch {
	case err != nil:
		d.err.Store(&err)
		if before == nil {
			d.cfg.Log.Warn("backends cannot be looked up", "source", d.String(), "kept", kept, "err", err)
		}
	case before != nil:
		d.err.Store(nil)
		d.cfg.Log.Info("backends can be looked up again", "source", d.String())
	}
}

// resolve returns the backends, ordered by address. An error beside a list
// tells of a part of it that is not fresh.
func (d *DNS) resolve(ctx context.Context) ([]Backend, error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	var (
		list []Backend
		err  error
	)
	if d.name.SRV {
		list, err = d.service(ctx)
	} else {
		var addrs []netip.Addr
		addrs, err = d.addresses(ctx, d.name.Host)
		for _, a := range addrs {
			list = append(list, d.backend(a, d.name.Port, d.name.Weight))
		}
	}
	slices.SortFunc(list, func(a, b Backend) int { return strings.Compare(a.ID, b.ID) })
	return slices.CompactFunc(list, func(a, b Backend) bool { return a.ID == b.ID }), err
}

func (d *DNS) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs, err := d.cfg.Resolver.LookupNetIP(ctx, "ip", host)
	if err == nil && len(addrs) == 0 {
		err = fmt.Errorf("look up %s: no addresses", host)
	}
	return addrs, err
}

func (d *DNS) backend(a netip.Addr, port string, weight int) Backend {
	addr := net.JoinHostPort(a.Unmap().String(), port)
	b := Backend{ID: addr, Addr: addr, Zone: d.name.Zone, Weight: min(max(weight, 1), MaxWeight)}
	if d.name.TLS {
		b.TLS = true
		b.ServerName = d.serverName()
	}
	return b
}

func (d *DNS) serverName() string {
	if d.name.ServerName != "" {
		return d.name.ServerName
	}
	name := strings.TrimSuffix(d.name.Host, ".")
	for d.name.SRV && strings.HasPrefix(name, "_") {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			break
		}
		name = rest
	}
	return name
}

// service looks up the SRV records and the addresses of their targets.
func (d *DNS) service(ctx context.Context) ([]Backend, error) {
	_, records, err := d.cfg.Resolver.LookupSRV(ctx, "", "", d.name.Host)
	records = preferred(records)
	if len(records) == 0 {
		if err == nil {
			err = fmt.Errorf("look up %s: no services", d.name.Host)
		}
		return nil, err
	}
	weight := weights(records, max(d.name.Weight, 1))

	fresh := make([][]netip.Addr, len(records))
	errs := make([]error, len(records))
	var g errgroup.Group
	g.SetLimit(maxLookups)
	for i, r := range records {
		g.Go(func() error {
			fresh[i], errs[i] = d.addresses(ctx, r.Target)
			return nil
		})
	}
	_ = g.Wait() // its functions return nil; errs has what went wrong

	known := make(map[string][]netip.Addr, len(records))
	var list []Backend
	for i, r := range records {
		addrs := fresh[i]
		if errs[i] != nil {
			addrs = d.targets[r.Target]
		}
		known[r.Target] = addrs
		for _, a := range addrs {
			list = append(list, d.backend(a, strconv.Itoa(int(r.Port)), weight(r)))
		}
	}
	d.targets = known
	return list, errors.Join(errs...)
}

// preferred returns the records of the lowest priority number, without the
// target "." that says there is no service (RFC 2782).
func preferred(records []*net.SRV) []*net.SRV {
	var best []*net.SRV
	for _, r := range records {
		switch {
		case r.Target == "." || r.Target == "" || r.Port == 0:
		case len(best) == 0 || r.Priority < best[0].Priority:
			best = []*net.SRV{r}
		case r.Priority == best[0].Priority:
			best = append(best, r)
		}
	}
	return best
}

// weights returns what weight a backend gets by its record.
func weights(records []*net.SRV, own int) func(*net.SRV) int {
	least, most := records[0].Weight, records[0].Weight
	for _, r := range records {
		least, most = min(least, r.Weight), max(most, r.Weight)
	}
	if least == most {
		return func(*net.SRV) int { return own }
	}
	return func(r *net.SRV) int {
		if w := int(most) * own; w > MaxWeight {
			return max(1, int(r.Weight)*own*MaxWeight/w)
		}
		return max(1, int(r.Weight)*own)
	}
}
