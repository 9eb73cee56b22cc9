package affinity

import (
	"strings"
	"testing"
)

func testCookie(t testing.TB, cfg CookieConfig) *Cookie {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "dsproxy"
	}
	if cfg.Secret == nil {
		cfg.Secret = []byte("a secret of 32 bytes, or thereby")
	}
	c, err := NewCookie(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCookieRoundTrip(t *testing.T) {
	ids := []string{"10.0.1.5:6020", "10.0.2.5:6020", "10.0.3.5:6020"}
	s := testCookie(t, CookieConfig{}).Set(ids)
	for _, id := range ids {
		header, ok := s.SetCookie(id, true)
		if !ok {
			t.Fatalf("no cookie for %s", id)
		}
		pair, _, _ := strings.Cut(header, ";")
		if strings.Contains(header, "10.0") {
			t.Errorf("%s shows the address", header)
		}
		if got, ok := s.Resolve([]byte("a=b; " + pair + "; c=d")); !ok || got != id {
			t.Errorf("Resolve(%s) = %s, %v; want %s", pair, got, ok, id)
		}
		// Another replica with the same secret agrees, whatever its order.
		other := testCookie(t, CookieConfig{}).Set([]string{ids[2], ids[0], ids[1], "new"})
		if got, _ := other.Resolve([]byte(pair)); got != id {
			t.Errorf("another replica says %s, want %s", got, id)
		}
		// One with another secret, or name, does not.
		for _, cfg := range []CookieConfig{{Secret: []byte("another secret of some length")}, {Name: "other"}} {
			stranger := testCookie(t, cfg).Set(ids)
			if got, ok := stranger.Resolve([]byte(stranger.cookie.cfg.Name + "=" + strings.TrimPrefix(pair, "dsproxy="))); ok {
				t.Errorf("a cookie that was not made with %+v names %s", cfg, got)
			}
		}
	}
	if header, ok := s.SetCookie("gone", true); ok {
		t.Errorf("a cookie for an unknown backend: %s", header)
	}
}

func TestCookieForgeries(t *testing.T) {
	s := testCookie(t, CookieConfig{}).Set([]string{"a", "b"})
	good, _ := s.SetCookie("a", false)
	good, _, _ = strings.Cut(good, ";")
	f := func(header string) {
		t.Helper()
		if id, ok := s.Resolve([]byte(header)); ok {
			t.Errorf("%q names %s", header, id)
		}
	}
	f("")
	f("dsproxy=")
	f("dsproxy=a")
	f("dsproxy=" + strings.Repeat("A", cookieValueSize))
	f(good + "x")
	f(good[:len(good)-1])
	f("x" + good)
	flipped := []byte(good)
	flipped[len(flipped)-1] ^= 1
	f(string(flipped))
}

func TestSetCookieAttributes(t *testing.T) {
	f := func(cfg CookieConfig, secure bool, want string) {
		t.Helper()
		got, _ := testCookie(t, cfg).Set([]string{"a"}).SetCookie("a", secure)
		if _, rest, _ := strings.Cut(got, "; "); rest != want {
			t.Errorf("%+v, secure %v: %s; want %s", cfg, secure, rest, want)
		}
	}
	f(CookieConfig{}, false, "Path=/; HttpOnly; SameSite=Lax")
	f(CookieConfig{}, true, "Path=/; HttpOnly; SameSite=Lax; Secure")
	f(CookieConfig{Path: "/app", SameSite: "Strict"}, true, "Path=/app; HttpOnly; SameSite=Strict; Secure")
	f(CookieConfig{SameSite: "None"}, true, "Path=/; HttpOnly; SameSite=None; Secure")
	f(CookieConfig{SameSite: "None"}, false, "Path=/; HttpOnly; SameSite=Lax")
}

func TestCookieConfig(t *testing.T) {
	secret := []byte(strings.Repeat("s", MinCookieSecret))
	f := func(cfg CookieConfig, want string) {
		t.Helper()
		_, err := NewCookie(cfg)
		if got := errorText(err); !strings.Contains(got, want) || (want == "") != (err == nil) {
			t.Errorf("%+v: %q, want %q", cfg, got, want)
		}
	}
	f(CookieConfig{Name: "a", Secret: secret}, "")
	f(CookieConfig{Name: "", Secret: secret}, "no name")
	f(CookieConfig{Name: "a;b", Secret: secret}, "no name")
	f(CookieConfig{Name: "a", Secret: secret[1:]}, "at least 16")
	f(CookieConfig{Name: "a", Secret: secret, Path: "x"}, "no path")
	f(CookieConfig{Name: "a", Secret: secret, Path: "/;x"}, "no path")
	f(CookieConfig{Name: "a", Secret: secret, SameSite: "lax"}, "SameSite")
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestResolveAllocatesNothing(t *testing.T) {
	s := testCookie(t, CookieConfig{}).Set([]string{"a", "b", "c"})
	set, _ := s.SetCookie("c", false)
	header := []byte("x=y; " + set)
	if n := testing.AllocsPerRun(100, func() {
		if _, ok := s.Resolve(header); !ok {
			t.Fatal("does not resolve")
		}
	}); n != 0 {
		t.Errorf("Resolve allocates %v times", n)
	}
}
