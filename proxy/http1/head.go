package http1

import (
	"bytes"
	"io"
	"os"
	"time"
)

// head is the work of parsing one head; its offsets count from Conn.r, which
// stays at the beginning of the head until all of it is there.
type head struct {
	pos   int // where the next line begins
	seen  int // bytes known to hold no LF
	timed bool
	facts
}

// facts are what the fields say about framing and connection.
type facts struct {
	host                     []byte
	upgrade                  []byte
	length                   int64
	lines                    int
	hosts, lengths, upgrades int
	coded                    bool // Transfer-Encoding seen
	coding                   *Error
	close, keepAlive         bool
	upgrading                bool // Connection: upgrade
	named                    int  // other tokens of Connection
	continues                bool
	response                 bool // Host and Expect mean nothing
}

// beginHead checks that the connection is where a head can start, and lets go
// of the head before.
func (c *Conn) beginHead() error {
	if c.readErr != nil {
		return c.readErr
	}
	if !c.body.Done() {
		return ErrBodyUnread
	}
	c.unpin()
	c.want = smallSize
	c.headKeepAlive = false
	return nil
}

// line returns the next whole line of the head without its CRLF. moved means
// that the buffer changed under the lines returned before: the caller starts
// again. maxLine of 0 leaves only the limit of the head.
func (c *Conn) line(h *head, lim *Limits, maxLine int) (line []byte, moved bool, err error) {
	for {
		if i := bytes.IndexByte(c.in[c.r+h.seen:c.w], '\n'); i >= 0 {
			end := h.seen + i
			line = c.in[c.r+h.pos : c.r+end]
			if maxLine > 0 && len(line) > maxLine+1 {
				return nil, false, fail(414, CauseTargetBytes)
			}
			if end >= lim.HeadBytes {
				return nil, false, fail(431, CauseHeadBytes)
			}
			n := len(line) - 1
			if n < 0 || line[n] != '\r' {
				return nil, false, fail(400, CauseBareLF)
			}
			h.pos, h.seen = end+1, end+1
			return line[:n], false, nil
		}
		h.seen = c.w - c.r
		if maxLine > 0 && h.seen-h.pos > maxLine+1 {
			return nil, false, fail(414, CauseTargetBytes)
		}
		if h.seen >= lim.HeadBytes {
			return nil, false, fail(431, CauseHeadBytes)
		}
		if !h.timed && lim.HeadTimeout > 0 {
			h.timed = true
			c.readDeadline.exactly(time.Now().Add(lim.HeadTimeout))
		}
		moved, err = c.fillMore()
		if err != nil {
			return nil, false, c.headCut(h, err)
		}
		if moved {
			return nil, true, nil
		}
	}
}

// headCut decides what an error of the connection means for a head.
func (c *Conn) headCut(h *head, err error) error {
	if h.seen == 0 {
		return err
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	if h.timed && os.IsTimeout(err) {
		return fail(408, CauseHeadTimeout)
	}
	return err
}

// fields parses field lines up to the empty one and appends them to dst.
func (c *Conn) fields(h *head, lim *Limits, dst []Field) (fields []Field, moved bool, err error) {
	for {
		line, moved, err := c.line(h, lim, 0)
		if moved || err != nil {
			return dst, moved, err
		}
		if len(line) == 0 {
			return dst, false, nil
		}
		if h.lines++; h.lines > lim.Lines {
			return dst, false, fail(431, CauseHeaderLines)
		}
		n := len(dst)
		if n == cap(dst) {
			dst = append(dst, Field{})
		} else {
			dst = dst[:n+1]
		}
		f := &dst[n]
		if cause := f.parse(line); cause != "" {
			return dst, false, fail(400, cause)
		}
		if f.Kind == KindOther {
			continue
		}
		if e := h.note(f); e != nil {
			return dst, false, e
		}
	}
}

// parse splits a field line and returns the cause of a rejection or "".
func (f *Field) parse(line []byte) (cause string) {
	n := 0
	for n < len(line) && class[line[n]]&isToken != 0 {
		n++
	}
	if n == 0 || n == len(line) || line[n] != ':' {
		if line[0] == ' ' || line[0] == '\t' {
			return CauseFold
		}
		if bytes.IndexByte(line, '\r') >= 0 {
			return CauseBareCR
		}
		return CauseBadName
	}
	value := trimOWS(line[n+1:])
	if i := badText(value); i >= 0 {
		if value[i] == '\r' {
			return CauseBareCR
		}
		return CauseBadValue
	}
	f.Name, f.Value, f.Named = line[:n:n], value[:len(value):len(value)], false
	f.Kind = KindOf(f.Name)
	return ""
}

// note takes in what a well-known field means for the message.
func (s *facts) note(f *Field) *Error {
	switch f.Kind {
	case KindConnection:
		return s.connection(f.Value)
	case KindContentLength:
		if s.lengths++; s.lengths > 1 || s.coded {
			return fail(400, CauseFraming)
		}
		n, ok := parseLength(f.Value)
		if !ok {
			return fail(400, CauseContentLength)
		}
		s.length = n
	case KindTransferEncoding:
		if s.coded || s.lengths > 0 {
			return fail(400, CauseFraming)
		}
		s.coded = true
		s.coding = checkCoding(f.Value)
	case KindHost:
		if s.response {
			break
		}
		if s.hosts++; s.hosts > 1 {
			return fail(400, CauseHost)
		}
		s.host = f.Value
	case KindUpgrade:
		if s.upgrades++; s.upgrades > 1 || !validProtocols(f.Value) {
			return fail(400, CauseUpgrade)
		}
		s.upgrade = f.Value
	case KindExpect:
		if !s.response && !equalFold(f.Value, "100-continue") {
			return fail(417, CauseExpect)
		}
		s.continues = true
	case kindConfusable:
		return fail(400, CauseFraming)
	}
	return nil
}

// maxNamed bounds the work of marking the fields that Connection lists.
const maxNamed = 32

func (s *facts) connection(list []byte) *Error {
	for len(list) > 0 {
		var t []byte
		t, list = nextElement(list)
		switch {
		case len(t) == 0:
		case equalFold(t, "keep-alive"):
			s.keepAlive = true
		case equalFold(t, "close"):
			s.close = true
		case equalFold(t, "upgrade"):
			s.upgrading = true
		case !ValidName(t):
			return fail(400, CauseConnection)
		default:
			if s.named++; s.named > maxNamed {
				return fail(400, CauseConnection)
			}
		}
	}
	return nil
}

// markNamed sets Named on the fields that Connection lists. The tokens that
// have a meaning of their own are hop-by-hop by Kind already.
func (s *facts) markNamed(fields []Field) {
	if s.named == 0 {
		return
	}
	for i := range fields {
		if fields[i].Kind != KindConnection {
			continue
		}
		for list := fields[i].Value; len(list) > 0; {
			var t []byte
			t, list = nextElement(list)
			for j := range fields {
				if bytes.EqualFold(fields[j].Name, t) {
					fields[j].Named = true
				}
			}
		}
	}
}

// persistent applies RFC 9112 section 9.3.
func (s *facts) persistent(minor int) bool {
	return !s.close && (minor == 1 || s.keepAlive)
}

// parseLength reads 1*DIGIT up to 2^63-1. Leading zeros have one meaning only
// and occur in practice, up to a width of 19.
func parseLength(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	var u uint64
	for _, d := range b {
		if d < '0' || d > '9' {
			return 0, false
		}
		u = u*10 + uint64(d-'0')
	}
	return int64(u), u <= 1<<63-1
}

// checkCoding accepts "chunked" alone. A list that ends in it names a coding
// that we do not have; anything else leaves the end of the body unknown.
func checkCoding(v []byte) *Error {
	if equalFold(v, "chunked") {
		return nil
	}
	for rest := v; ; {
		var t []byte
		t, rest = nextElement(rest)
		if len(rest) == 0 {
			if equalFold(t, "chunked") && v[len(v)-1] != ',' {
				return fail(501, CauseCoding)
			}
			break
		}
		if !ValidName(t) || equalFold(t, "chunked") || equalFold(t, "identity") {
			break
		}
	}
	return fail(400, CauseCoding)
}

// validProtocols checks a list of protocol names with optional versions.
func validProtocols(v []byte) bool {
	if len(v) == 0 {
		return false
	}
	for len(v) > 0 {
		var t []byte
		t, v = nextElement(v)
		if name, version, ok := bytes.Cut(t, []byte{'/'}); !ValidName(name) || ok && !ValidName(version) {
			return false
		}
	}
	return true
}

func fail(status int, cause string) *Error { return &Error{Status: status, Cause: cause} }
