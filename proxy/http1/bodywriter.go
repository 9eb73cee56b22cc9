package http1

// BodyWriter pushes a body into a Conn in a given framing. Small pieces are
// appended to Out, behind the head; what does not fit there is written at once
// together with what Out holds. Nothing is flushed otherwise: the caller calls
// Flush when the peer should see what was written, and after Close.
type BodyWriter struct {
	c *Conn
}

// Write adds p to the body; p may be reused when it returns. For a Length
// framing more bytes than declared are ErrBodyTooLong and nothing is written.
func (w *BodyWriter) Write(p []byte) (int, error) { panic("skeleton") }

// Flush writes everything so far to the connection.
func (w *BodyWriter) Flush() error { return w.c.Flush() }

// Close ends the body: for Chunked it appends the last chunk and the trailers,
// for Length it checks that all bytes came (ErrBodyTooShort). It does not
// flush. Trailers are ignored in other framings. A body that cannot be
// finished is not closed: close the connection instead, so that the peer sees
// it cut.
func (w *BodyWriter) Close(trailers []Field) error { panic("skeleton") }
