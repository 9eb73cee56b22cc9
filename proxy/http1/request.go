package http1

// TargetForm is one of the request target forms of RFC 9112 section 3.2 that
// are served; authority-form (CONNECT) is an Error.
type TargetForm uint8

const (
	OriginForm   TargetForm = iota // /path?query
	AbsoluteForm                   // http://host/path?query
	AsteriskForm                   // *, with OPTIONS only
)

// Request is a parsed request head. It may be reused for any number of
// ReadRequest calls and does not allocate once Fields has grown to its usual
// size. The slices follow the rules of the package doc.
type Request struct {
	Method []byte
	Target []byte // as sent
	Form   TargetForm
	// Path and RawQuery are the raw, still escaped parts of the target; Path
	// is "/" for an absolute-form target without a path and "*" for the
	// asterisk-form. HasQuery tells "/a?" from "/a".
	Path, RawQuery []byte
	HasQuery       bool
	// Host is the authority asked for: host or host:port, validated, as sent.
	// It is empty only in HTTP/1.0 without a Host field. For absolute-form it
	// is the target's, and a Host field that differs is an Error.
	Host    []byte
	Minor   int // 0 or 1, of HTTP/1.x
	Fields  []Field
	Framing Framing
	// KeepAlive is what the client wishes: HTTP/1.1 without "close", or
	// HTTP/1.0 with "keep-alive" and without "close".
	KeepAlive bool
	Expect100 bool // Expect: 100-continue in HTTP/1.1
	// Upgrade is the value of the only Upgrade field when Connection lists
	// upgrade in HTTP/1.1, otherwise nil. It may be a list; see HasToken.
	Upgrade []byte
	// HeadBytes is the size of the head, request line and empty line included.
	HeadBytes int
}

// Reset empties the request and keeps its memory.
func (r *Request) Reset() { *r = Request{Fields: r.Fields[:0]} }

// Get returns the value of the first field with this name, in any case.
func (r *Request) Get(name string) ([]byte, bool) { return get(r.Fields, name) }

// Lookup returns the value of the first field of this kind.
func (r *Request) Lookup(k Kind) ([]byte, bool) { return lookup(r.Fields, k) }

// AppendTarget appends the target in the form to send to an origin server:
// origin-form for origin and absolute-form, or "*".
func (r *Request) AppendTarget(dst []byte) []byte {
	if r.Form != AbsoluteForm {
		return append(dst, r.Target...)
	}
	dst = append(dst, r.Path...)
	if r.HasQuery {
		dst = append(dst, '?')
		dst = append(dst, r.RawQuery...)
	}
	return dst
}
