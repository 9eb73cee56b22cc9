package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// Backend is one server that sessions can be on. It is a value and never
// changed: a source that knows better hands over a new one with the same ID.
type Backend struct {
	// ID names the backend in the table, on all replicas and across restarts
	// of the proxy: the normalised host:port for static and DNS backends, the
	// node's name for gossip. At most MaxID bytes; empty stands for Addr. It is
	// for operators and the table; clients must only ever see a keyed hash of
	// it, because a plain hash of an address can be undone by trying them all.
	ID string
	// Addr is the host:port to dial; an IP literal needs no resolver. Of two
	// backends with one Addr and ServerName a Pool keeps the first.
	Addr string
	// Zone is where it runs, for display; it may be empty.
	Zone string
	// Version is that of its program, for display; it may be empty.
	Version string
	// TLS has connections to it encrypted and its certificate verified for
	// ServerName, which defaults to the host of Addr.
	TLS        bool
	ServerName string
	// Weight is its share of sessions relative to the others: 1 to MaxWeight;
	// 0 stands for 1.
	Weight int
	// Draining: the source wants no new sessions on it, while those it has go on.
	Draining bool
	// Doubt, when it is not empty, says in words for an operator why the source
	// takes the backend for dead without being sure. It gets no new sessions and is
	// checked often; those it has go on until its checks fail too. If that stays so
	// it vanishes, until its source doubts it no more.
	Doubt string
}

// Bounds of a Backend's fields.
const (
	MaxID     = 255  // bytes of an ID, as the affinity table takes it
	MaxWeight = 1000 // of a Weight
)

// Source knows a list of backends. Run calls set with the complete list
// whenever it changed, from one goroutine, until ctx is done; set copies the
// list and does not block. A Run that returns nil early has nothing more to
// say: its last list stays. One that returns an error ends the Pool's Run with
// it, so passing trouble (a failed look-up) is for the source to report and to
// sit out, keeping its last list.
//
// A String method gives the source the name under which its list outlives a
// reload, see Pool.Reload; an Err method tells Pool.Sources of passing trouble.
// Both are optional.
type Source interface {
	Run(ctx context.Context, set func([]Backend)) error
}

// normal returns b with its defaults filled in, or why it cannot be used.
func (b Backend) normal() (Backend, error) {
	host, port, err := net.SplitHostPort(b.Addr)
	if err != nil {
		return b, fmt.Errorf("address of backend: %w", err)
	}
	if host == "" || port == "" {
		return b, fmt.Errorf("address of backend: %q lacks a host or a port", b.Addr)
	}
	if b.ID == "" {
		b.ID = b.Addr
	}
	if len(b.ID) > MaxID {
		return b, errors.New("id of backend is too long")
	}
	b.Weight = min(max(b.Weight, 1), MaxWeight)
	return b, nil
}

// serverName is the name that its certificate must have.
func (b Backend) serverName() string {
	if b.ServerName != "" {
		return b.ServerName
	}
	host, _, err := net.SplitHostPort(b.Addr)
	if err != nil {
		return b.Addr
	}
	return host
}

// sameServer reports whether connections to a and b reach the same place.
func sameServer(a, b Backend) bool {
	return a.Addr == b.Addr && a.TLS == b.TLS && a.serverName() == b.serverName()
}
