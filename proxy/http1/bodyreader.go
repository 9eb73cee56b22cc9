package http1

// BodyReader pulls the body of the message whose head was read last.
type BodyReader struct {
	c *Conn
}

// Next returns the next piece of the body, never empty, decoded of its chunk
// framing; a slice of the Conn's buffer, valid until the next Next or Read. It
// returns what is there and blocks only when nothing is. At the end of the
// body io.EOF. If the connection ends before the body io.ErrUnexpectedEOF;
// malformed chunk framing is an *Error (status 400 in a request, 502 in a
// response).
func (b *BodyReader) Next() ([]byte, error) { panic("skeleton") }

// Read implements io.Reader by copying from Next.
func (b *BodyReader) Read(p []byte) (int, error) { panic("skeleton") }

// Ready reports whether Next can go on without waiting for the connection:
// flush what was written before calling Next when it cannot. It may be true
// and Next still need the rest of a chunk line.
func (b *BodyReader) Ready() bool { panic("skeleton") }

// Done reports whether the body was read to its end: Next returns io.EOF.
func (b *BodyReader) Done() bool { panic("skeleton") }

// Trailers returns the trailer fields once Next has returned io.EOF, valid
// until the next head is read. Fields that must not be in a trailer (framing,
// routing, authentication, hop-by-hop; RFC 9110 section 6.5.1) are dropped.
func (b *BodyReader) Trailers() []Field { panic("skeleton") }
