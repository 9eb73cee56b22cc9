package http1

import (
	"bytes"
	"io"
)

// BodyReader pulls the body of the message whose head was read last.
type BodyReader struct {
	c        *Conn
	state    bodyState
	response bool
	left     int64  // bytes to come of the body, or of the chunk
	rest     []byte // of a piece that Read has not copied whole
	overhead int64  // bytes of extensions not yet outweighed by data

	chunkLineBytes, trailerBytes, trailerLines int // limits; trailers count down

	trailers []Field
}

type bodyState uint8

// From bodyChunkSize on it is a line that comes next.
const (
	bodyDone bodyState = iota
	bodyLength
	bodyUntilClose
	bodyChunkData
	bodyChunkSize
	bodyChunkEnd
	bodyTrailers
)

// Body returns the reader of the body that follows the head read last. It
// belongs to the Conn and is valid until the next head is read.
func (c *Conn) Body() *BodyReader { return &c.body }

func (b *BodyReader) start(f Framing, response bool, lim *Limits) {
	b.state, b.left, b.rest, b.trailers, b.response = bodyDone, 0, nil, nil, response
	switch f.Kind {
	case Length:
		if f.Length > 0 {
			b.state, b.left = bodyLength, f.Length
		}
	case UntilClose:
		b.state = bodyUntilClose
	case Chunked:
		b.state = bodyChunkSize
		b.overhead = 0
		b.chunkLineBytes = lim.ChunkLineBytes
		b.trailerBytes, b.trailerLines = lim.TrailerBytes, lim.Lines
	}
}

// Next returns the next piece of the body, never empty, decoded of its chunk
// framing; a slice of the Conn's buffer, valid until the next Next or Read. It
// returns what is there and blocks only when nothing is. At the end of the
// body io.EOF. If the connection ends before the body io.ErrUnexpectedEOF;
// malformed chunk framing is an *Error (status 400 in a request, 502 in a
// response). After os.ErrDeadlineExceeded it may be called again.
func (b *BodyReader) Next() ([]byte, error) {
	if len(b.rest) > 0 {
		p := b.rest
		b.rest = nil
		return p, nil
	}
	if b.state == bodyDone {
		return nil, io.EOF
	}
	if b.c.readErr != nil {
		return nil, b.c.readErr
	}
	p, err := b.next()
	if err != nil && err != io.EOF {
		err = b.broken(err)
	}
	return p, err
}

func (b *BodyReader) next() ([]byte, error) {
	for b.state >= bodyChunkSize {
		if err := b.step(); err != nil {
			return nil, err
		}
	}
	switch b.state {
	case bodyDone:
		return nil, io.EOF
	case bodyUntilClose:
		if err := b.await(); err != nil {
			if err == io.EOF {
				b.state = bodyDone
			}
			return nil, err
		}
		return b.c.consume(b.c.w - b.c.r), nil
	}
	return b.take()
}

// step takes in one line of the chunked coding.
func (b *BodyReader) step() error {
	switch b.state {
	case bodyChunkSize:
		return b.chunkSize()
	case bodyChunkEnd:
		if _, err := b.line(0, CauseChunkLine); err != nil {
			return err
		}
		b.state = bodyChunkSize
		return nil
	}
	return b.trailer()
}

// broken is Conn.broken for an error of the body.
func (b *BodyReader) broken(err error) error {
	if b.response {
		err = asBadGateway(err)
	}
	return b.c.broken(err)
}

// await makes at least one byte available, in a buffer whose size suits what
// is known to come.
func (b *BodyReader) await() error {
	if b.c.r < b.c.w {
		return nil
	}
	if b.left > smallSize {
		b.c.want = largeSize
	} else if b.state == bodyLength {
		b.c.want = smallSize
	}
	return b.c.fill()
}

// take returns what is there of the body or chunk.
func (b *BodyReader) take() ([]byte, error) {
	if err := b.await(); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	n := b.c.w - b.c.r
	if int64(n) > b.left {
		n = int(b.left)
	}
	b.left -= int64(n)
	if b.left == 0 {
		if b.state == bodyLength {
			b.state = bodyDone
		} else {
			b.state = bodyChunkEnd
		}
	}
	return b.c.consume(n), nil
}

func (c *Conn) consume(n int) []byte {
	p := c.in[c.r : c.r+n : c.r+n]
	c.r += n
	return p
}

// line consumes a line of at most max bytes and returns it without CRLF. On an
// error nothing is consumed.
func (b *BodyReader) line(max int, tooLong string) ([]byte, error) {
	c := b.c
	for seen := 0; ; {
		i := bytes.IndexByte(c.in[c.r+seen:c.w], '\n')
		if i >= 0 {
			i += seen
		} else {
			seen = c.w - c.r
			i = seen
		}
		if i > max+1 {
			return nil, fail(400, tooLong)
		}
		if i < c.w-c.r {
			line := c.in[c.r : c.r+i]
			if i == 0 || line[i-1] != '\r' {
				return nil, fail(400, CauseBareLF)
			}
			c.r += i + 1
			return line[:i-1], nil
		}
		if _, err := c.fillMore(); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// trailer takes one trailer line, or the empty one that ends the body.
func (b *BodyReader) trailer() error {
	line, err := b.line(b.trailerBytes, CauseTrailer)
	if err != nil {
		if e, ok := err.(*Error); ok && e.Cause == CauseTrailer {
			e.Status = 431
		}
		return err
	}
	if len(line) == 0 {
		b.state = bodyDone
		return nil
	}
	b.trailerBytes -= len(line) + 2
	b.trailerLines--
	if b.trailerBytes < 0 || b.trailerLines < 0 {
		return fail(431, CauseTrailer)
	}
	var f Field
	if f.parse(line) != "" || f.Kind == kindConfusable {
		return fail(400, CauseTrailer)
	}
	if f.Kind.inTrailer() {
		f.Name, f.Value = bytes.Clone(f.Name), bytes.Clone(f.Value)
		b.trailers = append(b.trailers, f)
	}
	return nil
}

// Read implements io.Reader by copying from Next.
func (b *BodyReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	piece, err := b.Next()
	if err != nil {
		return 0, err
	}
	n := copy(p, piece)
	b.rest = piece[n:]
	return n, nil
}

// Ready reports whether Next can go on without waiting for the connection:
// flush what was written before calling Next when it cannot. To know it takes
// in what chunk lines are there, so it belongs to the goroutine that calls
// Next; the piece that Next returned last stays valid.
func (b *BodyReader) Ready() bool {
	c := b.c
	for {
		switch {
		case b.state == bodyDone || len(b.rest) > 0 || c.readErr != nil:
			return true
		case b.state < bodyChunkSize:
			return c.r < c.w
		case bytes.IndexByte(c.in[c.r:c.w], '\n') < 0:
			return false
		}
		if err := b.step(); err != nil {
			b.broken(err)
		}
	}
}

// Done reports whether the body was read to its end.
func (b *BodyReader) Done() bool { return b.state == bodyDone && len(b.rest) == 0 }

// Trailers returns the trailer fields once Next has returned io.EOF, valid
// until the next head is read. Fields that must not be in a trailer (framing,
// routing, authentication, hop-by-hop; RFC 9110 section 6.5.1) are dropped.
func (b *BodyReader) Trailers() []Field { return b.trailers }
