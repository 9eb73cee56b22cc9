package http1

// Response is a parsed response head; see Request for reuse and validity.
type Response struct {
	Status int // 100 to 999
	Reason []byte
	Minor  int
	Fields []Field
	// Framing is that of the bytes that follow on this connection: None for
	// HEAD, 1xx, 204 and 304 whatever the fields say.
	Framing Framing
	// Declared is the value of Content-Length, or -1. It differs from
	// Framing.Length for HEAD and 304, where a forwarder passes it on.
	Declared int64
	// KeepAlive is true when the connection can carry another exchange after
	// this message's body; false for 101 and for UntilClose.
	KeepAlive bool
	// Upgrade is the value of the only Upgrade field when Connection lists
	// upgrade, otherwise nil.
	Upgrade   []byte
	HeadBytes int
}

// Reset empties the response and keeps its memory.
func (r *Response) Reset() { *r = Response{Fields: r.Fields[:0]} }

// Get returns the value of the first field with this name, in any case.
func (r *Response) Get(name string) ([]byte, bool) { return get(r.Fields, name) }

// Lookup returns the value of the first field of this kind.
func (r *Response) Lookup(k Kind) ([]byte, bool) { return lookup(r.Fields, k) }

// Interim reports a 1xx other than 101: another response head follows.
func (r *Response) Interim() bool { return r.Status < 200 && r.Status != 101 }

// ReadResponse parses the next response head into resp; method is that of the
// request it answers. Interim (1xx) responses are returned as they come: call
// again for the final one, and bound their number. After a 101 only Buffered
// and Detach make sense. Errors as for ReadRequest, with Error.Status 502;
// lim.HeadTimeout is not used: the caller's read timeout bounds the wait.
func (c *Conn) ReadResponse(resp *Response, method []byte, lim Limits) error {
	if err := c.beginHead(); err != nil {
		return err
	}
	lim.fill()
	lim.HeadTimeout = 0
	if err := c.parseResponse(resp, method, &lim); err != nil {
		return c.broken(asBadGateway(err))
	}
	c.pin()
	c.headKeepAlive = resp.KeepAlive && !resp.Interim()
	c.body.start(resp.Framing, true, &lim)
	return nil
}

// asBadGateway makes an *Error one of a backend.
func asBadGateway(err error) error {
	if e, ok := err.(*Error); ok {
		e.Status = 502
		if e.Cause == CauseTargetBytes {
			e.Cause = CauseStatusLine
		}
	}
	return err
}

func (c *Conn) parseResponse(resp *Response, method []byte, lim *Limits) error {
	var h head
again:
	h = head{facts: facts{response: true}}
	resp.Reset()
	line, moved, err := c.line(&h, lim, lim.LineBytes)
	if err != nil {
		return err
	}
	if moved {
		goto again
	}
	if !resp.parseLine(line) {
		return fail(502, CauseStatusLine)
	}
	fields, moved, err := c.fields(&h, lim, resp.Fields)
	resp.Fields = fields
	if err != nil {
		return err
	}
	if moved {
		goto again
	}
	if e := resp.conclude(&h.facts, string(method) == "HEAD"); e != nil {
		return e
	}
	resp.HeadBytes = h.pos
	c.r += h.pos
	return nil
}

// parseLine reads HTTP/1.x SP 3DIGIT [SP reason]. The second space is
// required by RFC 9112 section 4, but servers without a reason leave it out.
func (r *Response) parseLine(line []byte) bool {
	if len(line) < 12 || line[8] != ' ' {
		return false
	}
	minor, known := version(line[:8])
	if !known {
		return false
	}
	r.Minor = minor
	for _, d := range line[9:12] {
		if d < '0' || d > '9' {
			return false
		}
		r.Status = r.Status*10 + int(d-'0')
	}
	if r.Status < 100 {
		return false
	}
	if len(line) == 12 {
		return true
	}
	r.Reason = line[13:]
	return line[12] == ' ' && badText(r.Reason) < 0
}

// conclude draws from the fields what the response means as a whole
// (RFC 9112 section 6.3).
func (r *Response) conclude(s *facts, head bool) *Error {
	r.Declared = -1
	if s.lengths > 0 {
		r.Declared = s.length
	}
	switch {
	case s.coded && r.Minor == 0:
		return fail(502, CauseCoding)
	case s.coding != nil:
		return s.coding
	}
	bodiless := r.Status < 200 || r.Status == 204
	switch {
	case bodiless && (s.coded || r.Declared > 0):
		return fail(502, CauseBody)
	case bodiless || head || r.Status == 304:
	case s.coded:
		r.Framing.Kind = Chunked
	case s.lengths > 0:
		r.Framing = Framing{Kind: Length, Length: s.length}
	default:
		r.Framing.Kind = UntilClose
	}
	r.KeepAlive = s.persistent(r.Minor) && r.Framing.Kind != UntilClose && r.Status != 101
	if s.upgrading {
		r.Upgrade = s.upgrade
	}
	s.markNamed(r.Fields)
	return nil
}
