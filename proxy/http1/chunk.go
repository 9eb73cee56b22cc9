package http1

// freeOverhead is how many bytes of extensions a body may have beyond one for
// each byte of data.
const freeOverhead = 16 << 10

func (b *BodyReader) chunkSize() error {
	line, err := b.line(b.chunkLineBytes, CauseChunkBytes)
	if err != nil {
		return err
	}
	size, digits, ok := parseChunkSize(line)
	if !ok || !validExtensions(line[digits:]) {
		return fail(400, CauseChunkLine)
	}
	b.overhead = max(b.overhead+int64(len(line)-digits)-size, 0)
	if b.overhead > freeOverhead {
		return fail(400, CauseChunkBytes)
	}
	if size == 0 {
		b.state = bodyTrailers
		return nil
	}
	b.left, b.state = size, bodyChunkData
	return nil
}

// parseChunkSize reads up to 16 hex digits, at most 2^63-1.
func parseChunkSize(line []byte) (size int64, digits int, ok bool) {
	var u uint64
	for digits < len(line) {
		d := line[digits]
		if class[d]&isHex == 0 {
			break
		}
		if digits++; digits > 16 {
			return 0, 0, false
		}
		if d > '9' {
			d = d | 0x20 - 'a' + 10
		} else {
			d -= '0'
		}
		u = u<<4 | uint64(d)
	}
	return int64(u), digits, digits > 0 && u <= 1<<63-1
}

// validExtensions checks *( ";" name [ "=" ( token / quoted-string ) ] ). The
// "bad white space" that RFC 9112 section 7.1.1 asks recipients to bear is not
// borne: parsers disagree about it, and nobody sends it.
func validExtensions(b []byte) bool {
	for len(b) > 0 {
		if b[0] != ';' {
			return false
		}
		n := tokenLen(b[1:])
		if n == 0 {
			return false
		}
		if b = b[1+n:]; len(b) == 0 || b[0] != '=' {
			continue
		}
		if b = b[1:]; len(b) > 0 && b[0] == '"' {
			n = quotedLen(b)
		} else {
			n = tokenLen(b)
		}
		if n == 0 {
			return false
		}
		b = b[n:]
	}
	return true
}

func tokenLen(b []byte) int {
	for i, d := range b {
		if class[d]&isToken == 0 {
			return i
		}
	}
	return len(b)
}

// quotedLen is the length of the quoted-string that b begins with, or 0.
func quotedLen(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch d := b[i]; {
		case d == '"':
			return i + 1
		case d == '\\':
			if i++; i == len(b) || class[b[i]]&isText == 0 {
				return 0
			}
		case class[d]&isText == 0:
			return 0
		}
	}
	return 0
}
