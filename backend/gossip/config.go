package gossip

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
)

// DefaultPort is where members listen, by TCP and UDP, unless told.
const DefaultPort = 7946

// DefaultBind and DefaultCluster are what both programs use unless told.
const (
	DefaultBind    = "0.0.0.0:7946"
	DefaultCluster = "deepstream"
)

// Config is one member. Errors of Validate name the settings by their flags,
// which both programs have.
type Config struct {
	// Name tells members apart and must be another for each; the name of a node
	// is that which it has on the bus.
	Name string
	Role Role
	// Cluster keeps fleets apart: members of another one are not heard.
	Cluster string
	// Bind is the IP:port to listen on; port 0 takes a free one. Empty stands for
	// DefaultBind.
	Bind string
	// Advertise is the host[:port] at which other members reach this one; a name
	// is looked up once. Empty stands for Bind or, where that is every address,
	// a private address of this machine.
	Advertise string
	// Join lists members, each a host[:port] with DefaultPort for a default, or a
	// DNS name for all its A and AAAA records. Not all need be there.
	Join []string
	// Key encrypts: base64 of 16, 24 or 32 bytes, the same for all members. Without
	// it the network must be one that others cannot reach.
	Key string

	Log      *slog.Logger // nil for none
	Resolver Resolver     // nil for net.DefaultResolver
	Network  Network      // nil for the sockets of this machine; simulations have their own
	// Announcement is what is told at first.
	Announcement

	// For tests: change puts another network under it, pace stands for joinPace.
	change func(*memberlist.Config)
	pace   time.Duration
}

// Resolver is the part of net.Resolver that joining needs.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Validate reports all that cannot work. It opens nothing and looks nothing up.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !isWord(c.Name, maxName) {
		bad("--name: %q is not a name; use up to %d printable bytes without spaces", c.Name, maxName)
	}
	if roleNumbers[c.Role] == 0 {
		bad("role %q is unknown", c.Role)
	}
	if !isWord(c.Cluster, memberlist.LabelMaxSize) {
		bad("--cluster: %q is not a name; use up to %d printable bytes without spaces", c.Cluster, memberlist.LabelMaxSize)
	}
	if _, err := c.bind(); err != nil {
		bad("--bind: %w", err)
	}
	if c.Advertise != "" {
		if _, _, err := splitHostPort(c.Advertise, DefaultPort); err != nil {
			bad("--advertise: %w", err)
		}
	}
	for _, entry := range c.Join {
		if _, _, err := splitHostPort(entry, DefaultPort); err != nil {
			bad("--join: %w", err)
		}
	}
	if _, err := c.key(); err != nil {
		bad("--gossip-key: %w", err)
	}
	r := record{role: c.Role, Announcement: c.Announcement}
	if err := r.check(); err != nil {
		bad("announcement: %w", err)
	} else if _, err := r.encode(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c *Config) key() ([]byte, error) {
	if c.Key == "" {
		return nil, nil
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(c.Key))
	if err != nil || memberlist.ValidateKey(key) != nil {
		return nil, errors.New("must be base64 of 16, 24 or 32 bytes, such as openssl rand -base64 32 prints")
	}
	return key, nil
}

// bind returns the address to listen on.
func (c *Config) bind() (netip.AddrPort, error) {
	text := c.Bind
	if text == "" {
		text = DefaultBind
	}
	if strings.HasPrefix(text, ":") {
		text = "0.0.0.0" + text
	}
	addr, err := netip.ParseAddrPort(text)
	if err != nil {
		return addr, fmt.Errorf("%q is not an address to listen on; write IP:port, such as %s", c.Bind, DefaultBind)
	}
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), nil
}

// splitHostPort takes host[:port] apart. An IPv6 address with a port, and only
// then, stands in brackets.
func splitHostPort(s string, port uint16) (string, uint16, error) {
	bad := fmt.Errorf("%q is not an address; write host or host:port, such as 10.0.1.5:%d", s, DefaultPort)
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return a.Unmap().String(), port, nil
	}
	host := s
	if strings.Contains(s, ":") {
		h, p, err := net.SplitHostPort(s)
		n, err2 := strconv.ParseUint(p, 10, 16)
		if err != nil || err2 != nil || n == 0 {
			return "", 0, bad
		}
		host, port = h, uint16(n)
	}
	if !isWord(host, 253) || strings.ContainsAny(host, "/@,;[]") {
		return "", 0, bad
	}
	return host, port, nil
}
