package http1

import (
	"net"
	"strconv"
)

// BodyWriter pushes a body into a Conn in a given framing. Small pieces are
// appended to Out, behind the head; what does not fit there is written at once
// together with what Out holds. Nothing is flushed otherwise: the caller calls
// Flush when the peer should see what was written, and after Close.
type BodyWriter struct {
	c      *Conn
	kind   FramingKind
	closed bool
	left   int64 // of a Length body
	parts  [3][]byte
	vec    net.Buffers
}

var crlf = []byte("\r\n")

// StartBody begins the body of the message whose head has been appended to
// Out. With an empty framing no Write is needed, only Close; so the answer to
// HEAD has framing None, whatever its head declares. The writer belongs to the
// Conn.
func (c *Conn) StartBody(f Framing) *BodyWriter {
	w := &c.writer
	w.kind, w.left, w.closed = f.Kind, 0, false
	if f.Kind == Length {
		w.left = f.Length
	}
	return w
}

// Write adds p to the body; p may be reused when it returns. For a Length
// framing more bytes than declared are ErrBodyTooLong and nothing is written.
func (w *BodyWriter) Write(p []byte) (int, error) {
	switch {
	case w.c.writeErr != nil:
		return 0, w.c.writeErr
	case w.closed:
		return 0, ErrBodyClosed
	case len(p) == 0:
		return 0, nil
	}
	var err error
	switch w.kind {
	case None:
		return 0, ErrBodyTooLong
	case Length:
		if int64(len(p)) > w.left {
			return 0, ErrBodyTooLong
		}
		w.left -= int64(len(p))
		err = w.put(p, nil)
	case UntilClose:
		err = w.put(p, nil)
	case Chunked:
		out := strconv.AppendInt(w.c.Reserve(18), int64(len(p)), 16)
		w.c.out = append(out, crlf...)
		err = w.put(p, crlf)
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// put appends p and tail to Out, or writes them at once if they do not fit.
func (w *BodyWriter) put(p, tail []byte) error {
	c := w.c
	out := c.Out()
	n := len(p) + len(tail)
	if n > cap(out)-len(out) {
		if c.vectors {
			return w.writeVec(out, p, tail)
		}
		// Below may be TLS, where every write is a record: gather small ones
		// and send big ones as they are.
		if len(out)+n > largeSize {
			if err := c.Flush(); err != nil {
				return err
			}
			if len(p) >= largeSize/2 {
				return w.writeDirect(p, tail)
			}
		}
		out = c.Reserve(n)
	}
	c.out = append(append(out, p...), tail...)
	return nil
}

func (w *BodyWriter) writeVec(out, p, tail []byte) error {
	w.vec = append(w.parts[:0], out, p)
	if len(tail) > 0 {
		w.vec = append(w.vec, tail)
	}
	n, err := w.vec.WriteTo(w.c.nc)
	w.parts, w.vec = [3][]byte{}, nil
	w.c.given += n
	w.c.writeErr = err
	w.c.dropOutput()
	return err
}

func (w *BodyWriter) writeDirect(p, tail []byte) error {
	w.c.writeErr = w.c.write(p)
	if w.c.writeErr == nil && len(tail) > 0 {
		w.c.out = append(w.c.Out(), tail...)
	}
	return w.c.writeErr
}

// Flush writes everything so far to the connection.
func (w *BodyWriter) Flush() error { return w.c.Flush() }

// Close ends the body: for Chunked it appends the last chunk and the trailers,
// for Length it checks that all bytes came (ErrBodyTooShort). It does not
// flush. Trailers are ignored in other framings. A body that cannot be
// finished is not closed: close the connection instead, so that the peer sees
// it cut.
func (w *BodyWriter) Close(trailers []Field) error {
	switch {
	case w.c.writeErr != nil:
		return w.c.writeErr
	case w.closed:
		return ErrBodyClosed
	case w.left > 0:
		return ErrBodyTooShort
	}
	if w.kind == Chunked {
		out := append(w.c.Reserve(8), "0\r\n"...)
		for i := range trailers {
			out = AppendField(out, trailers[i].Name, trailers[i].Value)
		}
		w.c.out = AppendHeadEnd(out)
	}
	w.closed = true
	return nil
}
