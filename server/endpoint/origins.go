package endpoint

import (
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/dsproxy/dsproxy/server/session"
)

// Origins says which web pages may connect.
type Origins struct {
	// All lets every origin in; else an origin has to be in List.
	All  bool
	List []string
	// Host, when set and not All, is the host[:port] by which clients must call us.
	Host string
}

// Allowed judges a request by its Origin header; a request without one does not
// come from a web page and is let in.
func (o Origins) Allowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	return o.All || (o.Host == "" || o.Host == r.Host) && (origin == "" || slices.Contains(o.List, origin))
}

// RemoteAddr is the client's address as the authentication gets it: the first of
// X-Forwarded-For when a proxy set it, as in the original.
func RemoteAddr(r *http.Request) string {
	if f := r.Header.Get("X-Forwarded-For"); f != "" {
		first, _, _ := strings.Cut(f, ",")
		return strings.TrimSpace(first)
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// handshake is what the authentication may want to know of a request.
func handshake(r *http.Request) *session.Handshake {
	return &session.Handshake{Header: r.Header, Host: r.Host, RemoteAddress: RemoteAddr(r)}
}
