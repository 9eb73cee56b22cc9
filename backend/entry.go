package backend

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// entry is one entry of --backends, taken apart.
type entry struct {
	lookup, srv, tls bool
	host, port       string
	weight           int
	zone, sni        string
}

func (e entry) id() string {
	if e.srv {
		return e.host
	}
	return net.JoinHostPort(e.host, e.port)
}

func (e entry) backend() Backend {
	addr := e.id()
	return Backend{ID: addr, Addr: addr, Zone: e.zone, TLS: e.tls, ServerName: e.sni, Weight: e.weight}
}

func (e entry) name() Name {
	return Name{Host: e.host, SRV: e.srv, Port: e.port, TLS: e.tls, ServerName: e.sni, Zone: e.zone, Weight: e.weight}
}

// quoteEntry is an entry as an error may show it: without a password that was
// put in front of the host.
func quoteEntry(s string) string {
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		start := 0
		if i := strings.Index(s, "://"); i >= 0 && i < at {
			start = i + len("://")
		}
		s = s[:start] + "..." + s[at:]
	}
	return strconv.Quote(s)
}

func parseEntry(text string) (entry, error) {
	if text == "" {
		return entry{}, errors.New("nothing stands between two commas; remove one")
	}
	e := entry{weight: 1}
	where, attrs, _ := strings.Cut(text, ";")
	if err := e.parseWhere(strings.TrimSpace(where)); err != nil {
		return entry{}, err
	}
	if len(e.id()) > MaxID {
		return entry{}, fmt.Errorf("longer than %d bytes; use a shorter name", MaxID)
	}
	if attrs == "" {
		return e, nil
	}
	seen := map[string]bool{}
	for _, attr := range strings.Split(attrs, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(attr), "=")
		if seen[key] {
			return entry{}, fmt.Errorf("%s is given twice; give it once", key)
		}
		seen[key] = true
		if err := e.parseAttr(key, value); err != nil {
			return entry{}, err
		}
	}
	return e, nil
}

func (e *entry) parseAttr(key, value string) error {
	switch key {
	case "w":
		n, err := strconv.Atoi(value)
		if err == nil && n == 0 {
			return errors.New("a weight of 0 would never be used; drain the backend by the admin listener instead")
		}
		if err != nil || n < 1 || n > MaxWeight {
			return fmt.Errorf("%q is not a weight; write ;w=1 to ;w=%d", value, MaxWeight)
		}
		e.weight = n
	case "zone":
		if !isZone(value) {
			return fmt.Errorf("%q is not a zone; write up to 63 letters, digits, '-', '_' or '.'", value)
		}
		e.zone = value
	case "sni":
		if !e.tls {
			return errors.New("sni is for https:// only; write https:// or leave it out")
		}
		name, err := parseHostname(value)
		if err != nil {
			return fmt.Errorf("sni: %w", err)
		}
		e.sni = strings.TrimSuffix(name, ".")
	default:
		return fmt.Errorf("%q is not known; after ; comes w=, zone= or sni=", key)
	}
	return nil
}

func (e *entry) parseWhere(s string) error {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		rest, scheme = s, ""
	}
	defaultPort := ""
	switch strings.ToLower(scheme) {
	case "":
	case "http":
		defaultPort = "80"
	case "https":
		defaultPort, e.tls = "443", true
	case "dns":
		e.lookup = true
	case "dns+https":
		defaultPort, e.lookup, e.tls = "443", true, true
	case "srv":
		e.lookup, e.srv = true, true
	case "srv+https":
		e.lookup, e.srv, e.tls = true, true, true
	case "ws", "wss":
		return fmt.Errorf("WebSockets go the way of all requests; write %s:// in place of %s://",
			strings.Replace(strings.ToLower(scheme), "ws", "http", 1), scheme)
	default:
		return fmt.Errorf("%s:// is not known; write host:port, http://, https://, dns:// or srv://", scheme)
	}
	if strings.ContainsRune(rest, '@') {
		return errors.New("a user does not belong here; write the host alone")
	}
	if scheme != "" {
		rest = strings.TrimSuffix(rest, "/")
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return fmt.Errorf("a path does not belong here, requests keep their own; leave out %q", rest[i:])
	}
	if e.srv {
		return e.parseService(rest)
	}
	host, port, err := splitHostPort(rest, defaultPort)
	if err != nil {
		return err
	}
	if e.lookup {
		if _, err := netip.ParseAddr(host); err == nil {
			return fmt.Errorf("%s needs no look-up; leave out %s://", host, scheme)
		}
	}
	e.host, e.port = host, port
	return nil
}

func (e *entry) parseService(s string) error {
	if strings.ContainsAny(s, ":[]") {
		return errors.New("a service tells its own ports; write the name alone, such as srv://_http._tcp.example.com")
	}
	name, err := parseHostname(s)
	if err != nil {
		return err
	}
	e.host = name
	return nil
}

// splitHostPort takes host:port apart and brings both into the form that makes
// equal addresses equal strings.
func splitHostPort(s, defaultPort string) (host, port string, err error) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", errors.New("a ] is missing; write [::1]:6020")
		}
		addr, err := netip.ParseAddr(s[1:end])
		if err != nil || !addr.Is6() || addr.Zone() != "" && !isZone(addr.Zone()) {
			return "", "", fmt.Errorf("%q is not an IPv6 address; write it like [::1]:6020", s[1:end])
		}
		host = s[1:end]
		switch rest := s[end+1:]; {
		case rest == "":
		case rest[0] == ':':
			port = rest[1:]
			if port == "" {
				return "", "", errors.New("the port is missing after the colon; write it like 10.0.1.5:6020")
			}
		default:
			return "", "", fmt.Errorf("%q follows the ]; write [::1]:6020", rest)
		}
	} else {
		if strings.Count(s, ":") > 1 {
			return "", "", errors.New("an IPv6 address stands in brackets; write it like [::1]:6020")
		}
		var colon bool
		host, port, colon = strings.Cut(s, ":")
		if colon && port == "" {
			return "", "", errors.New("the port is missing after the colon; write it like 10.0.1.5:6020")
		}
	}
	if host, err = parseHost(host); err != nil {
		return "", "", err
	}
	if port == "" {
		port = defaultPort
	}
	if port == "" {
		return "", "", fmt.Errorf("the port is missing; write it like %s", net.JoinHostPort(host, "6020"))
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", "", fmt.Errorf("%q is not a port; write a number from 1 to 65535", port)
	}
	return host, strconv.FormatUint(n, 10), nil
}

func parseHost(s string) (string, error) {
	if s == "" {
		return "", errors.New("the host is missing; write it like 10.0.1.5:6020")
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.IsUnspecified() {
			return "", fmt.Errorf("%s is no address to connect to; write that of the backend, such as 127.0.0.1", s)
		}
		return addr.Unmap().String(), nil
	}
	return parseHostname(s)
}

// parseHostname checks a name of the DNS, underscores allowed, and lowers its case.
func parseHostname(s string) (string, error) {
	name := strings.ToLower(s)
	bad := fmt.Errorf("%q is not a host name; write letters, digits, '-' and '.'", s)
	bare := strings.TrimSuffix(name, ".")
	if bare == "" || len(bare) > 253 {
		return "", bad
	}
	labels := strings.Split(bare, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", bad
		}
		for i := range len(label) {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return "", bad
			}
		}
	}
	// A last label of digits alone is a mistyped IPv4 address (RFC 3696 section 2).
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return "", fmt.Errorf("%q is neither an IPv4 address nor a host name", s)
	}
	return name, nil
}

func isZone(s string) bool {
	if s == "" || len(s) > 63 {
		return false
	}
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && !strings.ContainsRune("-_.", rune(s[i])) {
			return false
		}
	}
	return true
}
