package affinity

import "errors"

// CookieConfig configures a Cookie.
type CookieConfig struct {
	Name     string // a token as in RFC 6265 section 4.1.1
	Secret   []byte // at least 16 bytes, the same on all replicas
	Path     string // "/" if empty
	SameSite string // "Lax" if empty, "Strict" or "None"
}

// Cookie keeps clients of plain HTTP on a backend: its value is an HMAC of the
// backend's id, so it reveals no address, cannot be made by a client, and
// needs no table. It is for requests that no rule matches.
type Cookie struct{}

// NewCookie makes a Cookie.
func NewCookie(cfg CookieConfig) (*Cookie, error) { return nil, errors.New("cookie: no name") }

// CookieSet is a Cookie with the values of a set of backends computed, to be
// made again whenever the set changes. It never changes.
type CookieSet struct{}

// Set computes the values of these backends.
func (c *Cookie) Set(ids []string) *CookieSet { return &CookieSet{} }

// Resolve finds the backend that a Cookie request header names.
func (s *CookieSet) Resolve(header []byte) (id string, ok bool) { return "", false }

// SetCookie returns the value of the Set-Cookie header that binds a client to
// a backend of the set. secure is whether the client came over TLS.
func (s *CookieSet) SetCookie(id string, secure bool) (header string, ok bool) { return "", false }
