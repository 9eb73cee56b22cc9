package affinity

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// CookieConfig configures a Cookie.
type CookieConfig struct {
	Name     string // a token as in RFC 6265 section 4.1.1, at most 64 bytes
	Secret   []byte // at least MinCookieSecret bytes, the same on all replicas
	Path     string // "/" if empty
	SameSite string // "Lax" if empty, "Strict" or "None"
}

// MinCookieSecret is the shortest secret a Cookie takes, in bytes.
const MinCookieSecret = 16

// Validate reports what is wrong with the configuration.
func (c *CookieConfig) Validate() error {
	switch {
	case !tokenForm.MatchString(c.Name) || len(c.Name) > maxFieldName:
		return fmt.Errorf("cookie: %q is no name of a cookie", c.Name)
	case len(c.Secret) < MinCookieSecret:
		return fmt.Errorf("cookie: the secret must have at least %d bytes", MinCookieSecret)
	case c.Path != "" && (c.Path[0] != '/' || strings.ContainsFunc(c.Path, func(r rune) bool { return r <= ' ' || r > '~' || r == ';' })):
		return fmt.Errorf("cookie: %q is no path", c.Path)
	}
	switch c.SameSite {
	case "", "Lax", "Strict", "None":
		return nil
	}
	return errors.New("cookie: SameSite is Lax, Strict or None")
}

// Cookie keeps clients of plain HTTP on a backend without a table: its value is
// a keyed hash of the backend's id, so it reveals no address and a client
// cannot make one. It is for requests that no rule matches.
type Cookie struct {
	cfg CookieConfig
}

// NewCookie makes a Cookie.
func NewCookie(cfg CookieConfig) (*Cookie, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Secret = bytes.Clone(cfg.Secret)
	if cfg.Path == "" {
		cfg.Path = "/"
	}
	if cfg.SameSite == "" {
		cfg.SameSite = "Lax"
	}
	return &Cookie{cfg}, nil
}

// cookieValueSize is the length of a cookie's value: 16 bytes in base64.
const cookieValueSize = 22

func (c *Cookie) value(id string) (v [cookieValueSize]byte) {
	mac := hmac.New(sha256.New, c.cfg.Secret)
	fmt.Fprintf(mac, "dsproxy cookie\x00%s\x00%s", c.cfg.Name, id)
	base64.RawURLEncoding.Encode(v[:], mac.Sum(nil)[:16])
	return v
}

// CookieSet is a Cookie with the values of a set of backends worked out, to be
// made anew whenever the set changes. It never changes.
type CookieSet struct {
	cookie *Cookie
	ids    []string
	values [][cookieValueSize]byte // of ids
}

// Set works out the values of these backends.
func (c *Cookie) Set(ids []string) *CookieSet {
	s := &CookieSet{cookie: c, ids: append([]string(nil), ids...)}
	for _, id := range ids {
		s.values = append(s.values, c.value(id))
	}
	return s
}

// Resolve finds the backend that a Cookie request header names. It does not
// allocate, and compares in constant time.
func (s *CookieSet) Resolve(header []byte) (id string, ok bool) {
	value, ok := cookieValue(header, s.cookie.cfg.Name)
	if !ok {
		return "", false
	}
	at := -1
	for i := range s.values {
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(s.values[i][:], value), i, at)
	}
	if at < 0 {
		return "", false
	}
	return s.ids[at], true
}

// SetCookie returns the value of the Set-Cookie header that binds a client to a
// backend of the set until it closes its browser. secure is whether the client
// came over TLS; without it a browser refuses SameSite=None, so that is Lax.
func (s *CookieSet) SetCookie(id string, secure bool) (header string, ok bool) {
	for i := range s.ids {
		if s.ids[i] != id {
			continue
		}
		cfg := &s.cookie.cfg
		sameSite, end := cfg.SameSite, "; Secure"
		if !secure {
			end = ""
			if sameSite == "None" {
				sameSite = "Lax"
			}
		}
		return cfg.Name + "=" + string(s.values[i][:]) + "; Path=" + cfg.Path +
			"; HttpOnly; SameSite=" + sameSite + end, true
	}
	return "", false
}
