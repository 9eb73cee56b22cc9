package http1

import "bytes"

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

// ReadRequest parses the next request head into req. The body, if any, must
// then be read through Body. Errors: *Error for a request to be answered with
// Error.Status; io.EOF when the peer closed before the first byte;
// io.ErrUnexpectedEOF within the head; os.ErrDeadlineExceeded when the read
// deadline passed before the first byte; other errors of the connection.
//
// The head timeout of lim costs nothing for a head that comes in one piece:
// the read deadline is moved to now+HeadTimeout only when a head has begun and
// more bytes are needed; so set the read timeout again after ReadRequest. When
// it passes the Error is 408. At most one empty line before the request line
// is skipped.
func (c *Conn) ReadRequest(req *Request, lim Limits) error {
	if err := c.beginHead(); err != nil {
		return err
	}
	lim.fill()
	err := c.parseRequest(req, &lim)
	if err != nil {
		return c.broken(err)
	}
	c.pin()
	c.emptyLine = false
	c.headKeepAlive = req.KeepAlive
	c.body.start(req.Framing, false, &lim)
	return nil
}

func (c *Conn) parseRequest(req *Request, lim *Limits) error {
	var h head
again:
	h = head{timed: h.timed}
	req.Reset()
	line, err := c.requestLine(&h, lim)
	if err != nil {
		return err
	}
	if line == nil {
		goto again
	}
	if e := req.parseLine(line); e != nil {
		return e
	}
	fields, moved, err := c.fields(&h, lim, req.Fields)
	req.Fields = fields
	if err != nil {
		return err
	}
	if moved {
		goto again
	}
	if e := req.conclude(&h.facts); e != nil {
		return e
	}
	req.HeadBytes = h.pos
	c.r += h.pos
	return nil
}

// requestLine finds the first line, skipping one empty line before it: old
// clients send it behind a body (RFC 9112 section 2.2). A first byte that no
// method begins with, such as that of a TLS hello, is rejected without waiting
// for a line. A nil line says to start again.
func (c *Conn) requestLine(h *head, lim *Limits) (line []byte, err error) {
	if c.r == c.w {
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
	if b := c.in[c.r]; class[b]&isToken == 0 && b != '\r' && b != '\n' {
		return nil, fail(400, CauseMethod)
	}
	line, moved, err := c.line(h, lim, lim.LineBytes)
	if err != nil || moved {
		return nil, err
	}
	if len(line) == 0 {
		if c.emptyLine {
			return nil, fail(400, CauseEmptyLines)
		}
		c.emptyLine = true
		c.r += h.pos
		return nil, nil
	}
	return line, nil
}

// maxMethod bounds a method; the longest registered one has 18 bytes.
const maxMethod = 32

func (r *Request) parseLine(line []byte) *Error {
	if string(line) == "PRI * HTTP/2.0" {
		return fail(505, CausePreface)
	}
	if bytes.IndexByte(line, '\r') >= 0 {
		return fail(400, CauseBareCR)
	}
	sp := bytes.IndexByte(line, ' ')
	if sp < 0 {
		return fail(400, CauseRequestLine)
	}
	r.Method = line[:sp:sp]
	rest := line[sp+1:]
	sp = bytes.IndexByte(rest, ' ')
	if sp <= 0 || bytes.IndexByte(rest[sp+1:], ' ') >= 0 {
		return fail(400, CauseRequestLine)
	}
	if e := checkMethod(r.Method); e != nil {
		return e
	}
	minor, known := version(rest[sp+1:])
	if minor < 0 {
		return fail(400, CauseVersion)
	}
	if !known {
		return fail(505, CauseVersion)
	}
	r.Minor = minor
	return r.setTarget(rest[:sp:sp])
}

// checkMethod accepts a token without lower case letters: methods are
// case-sensitive and none has any, while a server that takes "head" for HEAD
// would frame its answer otherwise than we do.
func checkMethod(m []byte) *Error {
	if len(m) == 0 {
		return fail(400, CauseMethod)
	}
	for _, b := range m {
		if class[b]&(isToken|isLower) != isToken {
			return fail(400, CauseMethod)
		}
	}
	if len(m) > maxMethod {
		return fail(501, CauseMethod)
	}
	if string(m) == "CONNECT" {
		return fail(501, CauseConnect)
	}
	return nil
}

// version parses HTTP/d.d. known is true for 1.0 and 1.1; minor is -1 for
// anything that is no version at all.
func version(b []byte) (minor int, known bool) {
	if len(b) != 8 || string(b[:5]) != "HTTP/" || b[6] != '.' ||
		b[5] < '0' || b[5] > '9' || b[7] < '0' || b[7] > '9' {
		return -1, false
	}
	return int(b[7] - '0'), b[5] == '1' && b[7] <= '1'
}

// conclude draws from the fields what the request means as a whole.
func (r *Request) conclude(s *facts) *Error {
	if e := r.checkHost(s); e != nil {
		return e
	}
	switch {
	case s.coded && r.Minor == 0:
		return fail(400, CauseCoding)
	case s.coding != nil:
		return s.coding
	case s.coded:
		r.Framing.Kind = Chunked
	case s.lengths > 0:
		r.Framing = Framing{Kind: Length, Length: s.length}
	}
	r.KeepAlive = s.persistent(r.Minor)
	if r.Minor == 1 {
		r.Expect100 = s.continues
		if s.upgrading {
			r.Upgrade = s.upgrade
		}
	}
	s.markNamed(r.Fields)
	return nil
}

// checkHost applies RFC 9112 section 3.2, and rejects a Host that disagrees
// with an absolute-form target instead of overriding it: some server behind us
// would look at the other one.
func (r *Request) checkHost(s *facts) *Error {
	if s.hosts == 0 {
		if r.Minor == 1 {
			return fail(400, CauseHost)
		}
		return nil
	}
	if !validAuthority(s.host) {
		return fail(400, CauseHost)
	}
	if r.Form == AbsoluteForm {
		if !bytes.EqualFold(r.Host, s.host) {
			return fail(400, CauseHost)
		}
		return nil
	}
	r.Host = s.host
	return nil
}
