package http1

import (
	"bytes"
	"net/netip"
	"unsafe"
)

var slash = []byte("/")

// setTarget validates the target and splits it (RFC 9112 section 3.2). The
// characters that RFC 3986 excludes but browsers send, such as '|', pass; an
// escape in the path must be complete.
func (r *Request) setTarget(target []byte) *Error {
	for _, b := range target {
		if class[b]&isTarget == 0 {
			return fail(400, CauseTarget)
		}
	}
	r.Target = target
	rest := target
	switch {
	case target[0] == '/':
		r.Form = OriginForm
	case len(target) == 1 && target[0] == '*':
		if string(r.Method) != "OPTIONS" {
			return fail(400, CauseTarget)
		}
		r.Form, r.Path = AsteriskForm, target
		return nil
	default:
		n := schemeLen(target)
		if n == 0 {
			return fail(400, CauseTarget)
		}
		r.Form = AbsoluteForm
		rest = target[n:]
		end := bytes.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		if !validAuthority(rest[:end]) {
			return fail(400, CauseTarget)
		}
		r.Host, rest = rest[:end:end], rest[end:]
	}
	r.Path = rest
	if i := bytes.IndexByte(rest, '?'); i >= 0 {
		r.Path, r.RawQuery, r.HasQuery = rest[:i:i], rest[i+1:], true
	}
	if len(r.Path) == 0 {
		r.Path = slash
	}
	if !validEscapes(r.Path) {
		return fail(400, CauseTarget)
	}
	return nil
}

// schemeLen is the length of the leading http:// or https://, or 0.
func schemeLen(b []byte) int {
	for _, s := range [...]string{"http://", "https://"} {
		if len(b) > len(s) && equalFold(b[:len(s)], s) {
			return len(s)
		}
	}
	return 0
}

func validEscapes(path []byte) bool {
	for {
		i := bytes.IndexByte(path, '%')
		if i < 0 {
			return true
		}
		if len(path) < i+3 || class[path[i+1]]&class[path[i+2]]&isHex == 0 {
			return false
		}
		path = path[i+3:]
	}
}

// validAuthority accepts host or host:port, where host is an IPv6 literal in
// brackets or of unreserved characters. The rest of what RFC 3986 would allow
// (userinfo, sub-delims, escapes, an empty port, zones) has no use in a Host
// and is read differently by different servers.
func validAuthority(b []byte) bool {
	host, port := b, []byte(nil)
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 {
			return false
		}
		addr := b[1:end]
		for _, d := range addr {
			if class[d]&isHex == 0 && d != ':' && d != '.' {
				return false
			}
		}
		if len(addr) > 0 {
			ip, err := netip.ParseAddr(unsafe.String(&addr[0], len(addr)))
			if err != nil || !ip.Is6() {
				return false
			}
		}
		if port = b[end+1:]; len(addr) == 0 {
			return false
		}
	} else {
		if i := bytes.IndexByte(b, ':'); i >= 0 {
			host, port = b[:i], b[i:]
		}
		if len(host) == 0 || len(host) > 255 {
			return false
		}
		for _, d := range host {
			if class[d]&isHost == 0 {
				return false
			}
		}
	}
	return len(port) == 0 || validPort(port)
}

// validPort checks ":" and 1 to 5 digits, at most 65535.
func validPort(b []byte) bool {
	if b[0] != ':' || len(b) < 2 || len(b) > 6 {
		return false
	}
	n := 0
	for _, d := range b[1:] {
		if d < '0' || d > '9' {
			return false
		}
		n = n*10 + int(d-'0')
	}
	return n <= 65535
}
