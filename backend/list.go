package backend

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// List is what --backends said.
type List struct {
	Static []Backend // by address
	Names  []Name    // by names that are looked up again and again
}

// Name is a name in the DNS that stands for backends.
type Name struct {
	// Host is looked up for addresses (A, AAAA), or for services (SRV) with SRV.
	Host string
	SRV  bool
	// Port goes with addresses; a service tells its own.
	Port string
	// The rest is copied to each backend found; see Backend. ServerName
	// defaults to Host, less its leading _service._proto labels: a certificate
	// is checked against what the operator wrote, never against what the DNS
	// answered (RFC 6125 section 6.2.1).
	TLS        bool
	ServerName string
	Zone       string
	Weight     int
}

// String returns the name as --backends has it.
func (n Name) String() string {
	kind := "dns"
	if n.SRV {
		kind = "srv"
	}
	if n.TLS {
		kind += "+https"
	}
	s := kind + "://" + n.Host
	if !n.SRV {
		s += ":" + n.Port
	}
	if n.Weight > 1 {
		s += ";w=" + strconv.Itoa(n.Weight)
	}
	if n.Zone != "" {
		s += ";zone=" + n.Zone
	}
	if n.ServerName != "" {
		s += ";sni=" + n.ServerName
	}
	return s
}

// ParseList reads --backends: entries separated by commas, in one string or several.
//
//	host:port  http://host[:port]  https://host[:port]   one backend
//	dns://name:port      dns+https://name[:port]          one for each A and AAAA record
//	srv://name           srv+https://name                 one for each target of the SRV records
//
// each followed by any of ;w=2 (weight), ;zone=a and ;sni=name (the name to
// verify a certificate against). An IPv6 address stands in brackets. http
// means port 80 and https 443 unless told. A host by name without dns:// is one
// backend, looked up by each dial. Nothing at all gives an empty List.
//
// The error joins all that is wrong, one line each: it names --backends, the
// entry and what would be right.
func ParseList(lists ...string) (List, error) {
	var (
		l    List
		errs []error
		seen = map[string]bool{}
	)
	for _, list := range lists {
		if strings.TrimSpace(list) == "" {
			continue
		}
		for _, text := range strings.Split(list, ",") {
			text = strings.TrimSpace(text)
			e, err := parseEntry(text)
			if err != nil {
				errs = append(errs, fmt.Errorf("--backends: %s: %w", quoteEntry(text), err))
				continue
			}
			id := e.id()
			if seen[id] {
				errs = append(errs, fmt.Errorf("--backends: %s: %s is listed twice; give one backend more sessions with ;w=2",
					quoteEntry(text), id))
				continue
			}
			seen[id] = true
			if e.lookup {
				l.Names = append(l.Names, e.name())
			} else {
				l.Static = append(l.Static, e.backend())
			}
		}
	}
	if len(errs) > 0 {
		return List{}, errors.Join(errs...)
	}
	return l, nil
}

// Sources returns a source for the static backends, if there are any, and one
// for each name.
func (l List) Sources(c DNSConfig) []Source {
	var all []Source
	if len(l.Static) > 0 {
		all = append(all, NewStatic(l.Static))
	}
	for _, n := range l.Names {
		all = append(all, NewDNS(n, c))
	}
	return all
}
