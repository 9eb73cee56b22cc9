package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeDNS answers what it is told, and counts what it is asked.
type fakeDNS struct {
	mu    sync.Mutex // guards the rest
	hosts map[string]string
	srv   map[string]string // "priority weight port target, ..."
	errs  map[string]error
	hang  bool
	asked int
}

func (f *fakeDNS) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	f.mu.Lock()
	f.asked++
	hang, err, text := f.hang, f.errs[host], f.hosts[host]
	f.mu.Unlock()
	if network != "ip" {
		return nil, fmt.Errorf("network %q", network)
	}
	if hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	var all []netip.Addr
	for _, s := range strings.Fields(text) {
		all = append(all, netip.MustParseAddr(s))
	}
	return all, nil
}

func (f *fakeDNS) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if service != "" || proto != "" {
		return "", nil, fmt.Errorf("service %q, protocol %q", service, proto)
	}
	var all []*net.SRV
	for _, s := range strings.Split(f.srv[name], ",") {
		var r net.SRV
		if _, err := fmt.Sscan(s, &r.Priority, &r.Weight, &r.Port, &r.Target); err == nil {
			all = append(all, &r)
		}
	}
	return name, all, f.errs[name]
}

func (f *fakeDNS) change(c func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c()
}

// render shows backends in one line.
func render(list []Backend) string {
	var all []string
	for _, b := range list {
		s := b.Addr
		if b.ID != b.Addr {
			s = b.ID + "@" + s
		}
		if b.Weight != 1 {
			s += fmt.Sprintf("=%d", b.Weight)
		}
		if b.TLS {
			s += "/" + b.ServerName
		}
		if b.Zone != "" {
			s += "~" + b.Zone
		}
		all = append(all, s)
	}
	return strings.Join(all, " ")
}

func TestResolve(t *testing.T) {
	dns := &fakeDNS{
		hosts: map[string]string{
			"one": "10.0.0.1", "three": "10.0.0.3 10.0.0.1 ::2 10.0.0.1 ::ffff:10.0.0.9",
			"n1.": "10.0.1.1", "n2.": "10.0.1.2 10.0.1.3", "n3.": "10.0.1.4", "empty": "",
		},
		srv: map[string]string{
			"_h._tcp.x.org": "10 5 6020 n1., 10 5 6021 n2.",
			"weighted":      "1 10 1 n1., 1 30 1 n2., 1 0 1 n3.",
			"heavy":         "1 60000 1 n1., 1 30 1 n2., 1 30000 1 n3.",
			"backup":        "2 1 1 n2., 1 7 1 n1., 2 1 1 n3.",
			"none":          "0 0 0 .",
			"partial":       "1 1 1 n1., 1 1 1 broken.",
			"broken srv":    "1 1 1 n1.",
		},
		errs: map[string]error{"broken.": errors.New("SERVFAIL"), "broken": errors.New("SERVFAIL"), "broken srv": errors.New("bad name dropped")},
	}
	f := func(n Name, want, wantErr string) {
		t.Helper()
		list, err := NewDNS(n, DNSConfig{Resolver: dns}).resolve(t.Context())
		if got := render(list); got != want {
			t.Errorf("%v: %s, want %s", n, got, want)
		}
		if fmt.Sprint(err) != wantErr {
			t.Errorf("%v: error %v, want %s", n, err, wantErr)
		}
	}
	f(Name{Host: "one", Port: "1"}, "10.0.0.1:1", "<nil>")
	f(Name{Host: "three", Port: "6020", Weight: 3, Zone: "z"},
		"10.0.0.1:6020=3~z 10.0.0.3:6020=3~z 10.0.0.9:6020=3~z [::2]:6020=3~z", "<nil>")
	f(Name{Host: "one", Port: "443", TLS: true}, "10.0.0.1:443/one", "<nil>")
	f(Name{Host: "one", Port: "443", TLS: true, ServerName: "a.b"}, "10.0.0.1:443/a.b", "<nil>")
	f(Name{Host: "empty", Port: "1"}, "", "look up empty: no addresses")
	f(Name{Host: "broken", Port: "1"}, "", "SERVFAIL")

	f(Name{Host: "_h._tcp.x.org", SRV: true}, "10.0.1.1:6020 10.0.1.2:6021 10.0.1.3:6021", "<nil>")
	f(Name{Host: "_h._tcp.x.org", SRV: true, TLS: true, Weight: 2},
		"10.0.1.1:6020=2/x.org 10.0.1.2:6021=2/x.org 10.0.1.3:6021=2/x.org", "<nil>")
	f(Name{Host: "weighted", SRV: true}, "10.0.1.1:1=10 10.0.1.2:1=30 10.0.1.3:1=30 10.0.1.4:1", "<nil>")
	f(Name{Host: "heavy", SRV: true, Weight: 2}, "10.0.1.1:1=1000 10.0.1.2:1 10.0.1.3:1 10.0.1.4:1=500", "<nil>")
	f(Name{Host: "backup", SRV: true}, "10.0.1.1:1", "<nil>")
	f(Name{Host: "none", SRV: true}, "", "look up none: no services")
	f(Name{Host: "nothing", SRV: true}, "", "look up nothing: no services")
	f(Name{Host: "partial", SRV: true}, "10.0.1.1:1", "SERVFAIL")
	f(Name{Host: "broken srv", SRV: true}, "10.0.1.1:1", "<nil>")
}

// dnsStage runs a DNS source in a bubble.
type dnsStage struct {
	dns *fakeDNS
	src *DNS
	log *strings.Builder

	mu   sync.Mutex // guards the rest
	list string
	sets int
}

func startDNS(t *testing.T, n Name, dns *fakeDNS) *dnsStage {
	s := &dnsStage{dns: dns, log: new(strings.Builder)}
	s.src = NewDNS(n, DNSConfig{Resolver: dns, Refresh: 10 * time.Second, Timeout: time.Second, Log: textLog(s.log)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- s.src.Run(ctx, func(l []Backend) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.list = render(l)
			s.sets++
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// expect lets time pass, and compares the list and how often it was handed over.
func (s *dnsStage) expect(t *testing.T, after time.Duration, list string, sets int) {
	t.Helper()
	<-time.After(after)
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list != list || s.sets != sets {
		t.Errorf("after %v: %q, set %d times; want %q, %d", after, s.list, s.sets, list, sets)
	}
}

func TestDNSFollowsTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &fakeDNS{hosts: map[string]string{"n": "10.0.0.1"}, errs: map[string]error{}}
		s := startDNS(t, Name{Host: "n", Port: "1"}, dns)
		s.expect(t, 0, "10.0.0.1:1", 1)
		s.expect(t, time.Minute, "10.0.0.1:1", 1)
		if dns.asked < 6 || dns.asked > 8 {
			t.Errorf("asked %d times in a minute, at an interval of 10 s", dns.asked)
		}
		dns.change(func() { dns.hosts["n"] = "10.0.0.2 10.0.0.1" })
		s.expect(t, 12*time.Second, "10.0.0.1:1 10.0.0.2:1", 2)
		dns.change(func() { dns.hosts["n"] = "10.0.0.1 10.0.0.2" })
		s.expect(t, 12*time.Second, "10.0.0.1:1 10.0.0.2:1", 2)

		// Neither failure nor an empty answer takes anything away.
		dns.change(func() { dns.errs["n"] = errors.New("SERVFAIL") })
		s.expect(t, time.Minute, "10.0.0.1:1 10.0.0.2:1", 2)
		if err := s.src.Err(); err == nil || err.Error() != "SERVFAIL" {
			t.Errorf("Err %v", err)
		}
		dns.change(func() { delete(dns.errs, "n"); dns.hosts["n"] = "" })
		s.expect(t, time.Minute, "10.0.0.1:1 10.0.0.2:1", 2)
		if err := s.src.Err(); err == nil || err.Error() != "look up n: no addresses" {
			t.Errorf("Err %v", err)
		}
		dns.change(func() { dns.hosts["n"] = "10.0.0.3" })
		s.expect(t, 12*time.Second, "10.0.0.3:1", 3)
		if err := s.src.Err(); err != nil {
			t.Errorf("Err %v", err)
		}
		want := `level=WARN msg="backends cannot be looked up" source=dns://n:1 kept=2 err=SERVFAIL
level=INFO msg="backends can be looked up again" source=dns://n:1
`
		if got := s.log.String(); got != want {
			t.Errorf("log:\n%s\nwant:\n%s", got, want)
		}
	})
}

func TestDNSHurriesForTheFirstList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &fakeDNS{hosts: map[string]string{"n": "10.0.0.1"}, hang: true}
		s := startDNS(t, Name{Host: "n", Port: "1"}, dns)
		s.expect(t, 900*time.Millisecond, "", 0)
		s.expect(t, 200*time.Millisecond, "", 0)
		if err := s.src.Err(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Err %v", err)
		}
		dns.change(func() { dns.hang = false })
		s.expect(t, 1200*time.Millisecond, "10.0.0.1:1", 1)
	})
}

func TestDNSTargetThatCannotBeLookedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &fakeDNS{
			hosts: map[string]string{"a.": "10.0.0.1", "b.": "10.0.0.2", "c.": "10.0.0.3"},
			srv:   map[string]string{"s": "1 1 1 a., 1 1 1 b."}, errs: map[string]error{},
		}
		s := startDNS(t, Name{Host: "s", SRV: true}, dns)
		s.expect(t, time.Second, "10.0.0.1:1 10.0.0.2:1", 1)
		// It keeps the addresses it had, while the others go on changing.
		dns.change(func() { dns.errs["b."] = errors.New("SERVFAIL"); dns.hosts["a."] = "10.0.0.9" })
		s.expect(t, 12*time.Second, "10.0.0.2:1 10.0.0.9:1", 2)
		// Once the service does not name it, it is gone.
		dns.change(func() { dns.srv["s"] = "1 1 1 a., 1 1 1 c." })
		s.expect(t, 12*time.Second, "10.0.0.3:1 10.0.0.9:1", 3)
		dns.change(func() { dns.srv["s"] = "1 1 1 a., 1 1 1 b." })
		s.expect(t, 12*time.Second, "10.0.0.9:1", 4)
	})
}
