package backend

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
	// defaults to Host, less the leading _service._proto labels: a certificate
	// is checked against what the operator wrote, never against what the DNS
	// answered (RFC 6125 section 6.2.1).
	TLS        bool
	ServerName string
	Zone       string
	Weight     int
}

// ParseList reads --backends: entries separated by commas, in one string or several.
//
//	host:port  http://host[:port]  https://host[:port]   one backend
//	dns://name:port      dns+https://name[:port]          one for each A and AAAA record
//	srv://name           srv+https://name                 one for each target of the SRV records
//
// each followed by any of ;w=2 (weight), ;zone=a and ;sni=name (the name to
// verify a certificate against). An IPv6 address stands in brackets. http
// means port 80 and https 443 unless told. The error joins all that is wrong:
// each part names --backends, the entry and what would be right.
func ParseList(lists ...string) (List, error) { return List{}, nil }

// Sources returns a source for the static backends, if there are any, and one
// for each name.
func (l List) Sources(c DNSConfig) []Source { return nil }
