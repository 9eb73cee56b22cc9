package proxy

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/dsproxy/dsproxy/affinity"
	"github.com/dsproxy/dsproxy/backend"
)

// cookieSet is the affinity cookie's values for one generation of backends.
type cookieSet struct {
	cookie     *affinity.Cookie
	generation uint64
	set        *affinity.CookieSet
}

// cookieSet returns the values for the backends as they are now; they are
// computed again only when a backend has come or gone.
func (p *Proxy) cookieSet(st *state, set *backend.Set) *affinity.CookieSet {
	now := p.cookies.Load()
	if now != nil && now.cookie == st.cookie && now.generation == set.Generation() {
		return now.set
	}
	var ids []string
	for m := range set.All() {
		ids = append(ids, m.ID)
	}
	made := &cookieSet{cookie: st.cookie, generation: set.Generation(), set: st.cookie.Set(ids)}
	p.cookies.Store(made)
	return made.set
}

// newCookie makes the affinity cookie, or nil while it is not asked for.
func (p *Proxy) newCookie(cfg Cookie) (*affinity.Cookie, error) {
	if cfg.Name == "" {
		return nil, nil
	}
	secret, err := p.cookieSecret(cfg)
	if err != nil {
		return nil, fmt.Errorf("affinity.cookie: %w", err)
	}
	return affinity.NewCookie(cookieConfig(cfg, secret))
}

func cookieConfig(cfg Cookie, secret []byte) affinity.CookieConfig {
	sameSite := map[string]string{"lax": "Lax", "strict": "Strict", "none": "None"}[strings.ToLower(cfg.SameSite)]
	return affinity.CookieConfig{Name: cfg.Name, Secret: secret, SameSite: sameSite}
}

// checkCookie reports whether the cookie can be made, as far as that can be told
// without asking the table.
func checkCookie(cfg Cookie) error {
	if cfg.Name == "" {
		return nil
	}
	secret := make([]byte, minSecretFile) // as the table would have it
	if cfg.SecretFile != "" {
		var err error
		if secret, err = readSecret(cfg.SecretFile); err != nil {
			return fmt.Errorf("affinity.cookie: %w", err)
		}
	}
	c := cookieConfig(cfg, secret)
	return c.Validate()
}

// minSecretFile is the least that the file of a secret holds, in bytes.
const minSecretFile = 32

func readSecret(file string) ([]byte, error) {
	secret, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("secret_file: %w", err)
	}
	if len(secret) < minSecretFile {
		return nil, fmt.Errorf("secret_file: %s holds %d bytes; %d or more are needed", file, len(secret), minSecretFile)
	}
	return secret, nil
}

func (p *Proxy) cookieSecret(cfg Cookie) ([]byte, error) {
	if cfg.SecretFile != "" {
		return readSecret(cfg.SecretFile)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	secret, err := p.table.SharedSecret(ctx)
	if err != nil {
		return nil, fmt.Errorf("no secret to share with the other replicas: %w; set affinity.cookie.secret_file to need no Redis for it", err)
	}
	return secret, nil
}
