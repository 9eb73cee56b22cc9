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

func fail(status int, cause string) *Error { return &Error{Status: status, Cause: cause} }
