package http1

// FramingKind says how the end of a body is found (RFC 9112 section 6.3).
type FramingKind uint8

const (
	None       FramingKind = iota // no body
	Length                        // exactly Framing.Length bytes (0 is possible)
	Chunked                       // chunked transfer coding
	UntilClose                    // the rest of the connection; responses only
)

// String returns none, length, chunked or until_close.
func (k FramingKind) String() string {
	switch k {
	case None:
		return "none"
	case Length:
		return "length"
	case Chunked:
		return "chunked"
	case UntilClose:
		return "until_close"
	}
	return "invalid"
}

// Framing is how a body is delimited. Length is meaningful for kind Length
// only and is 0 otherwise.
type Framing struct {
	Kind   FramingKind
	Length int64
}

// Empty reports whether the body has no bytes for certain.
func (f Framing) Empty() bool {
	return f.Kind == None || f.Kind == Length && f.Length == 0
}
