package http1

import "strconv"

// AppendRequestLine appends "method target HTTP/1.1\r\n".
func AppendRequestLine[M, T string | []byte](dst []byte, method M, target T) []byte {
	dst = append(dst, method...)
	dst = append(dst, ' ')
	dst = append(dst, target...)
	return append(dst, " HTTP/1.1\r\n"...)
}

// AppendStatusLine appends "HTTP/1.1 status reason\r\n". The version is ours,
// not that of the message relayed (RFC 9110 section 2.5).
func AppendStatusLine[R string | []byte](dst []byte, status int, reason R) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, reason...)
	return append(dst, "\r\n"...)
}

// AppendField appends "name: value\r\n". It does not check either: they are
// parsed fields or constants of the caller; see ValidName and ValidValue.
func AppendField[N, V string | []byte](dst []byte, name N, value V) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// AppendFraming appends the Content-Length or Transfer-Encoding field that
// declares f; nothing for None and UntilClose.
func AppendFraming(dst []byte, f Framing) []byte {
	switch f.Kind {
	case Length:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, f.Length, 10)
		dst = append(dst, "\r\n"...)
	case Chunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	return dst
}

// AppendHeadEnd appends the empty line that ends a head.
func AppendHeadEnd(dst []byte) []byte { return append(dst, "\r\n"...) }
