package http1

import "encoding/binary"

// ValidName reports whether b is a token (RFC 9110 section 5.6.2).
func ValidName[S string | []byte](b S) bool {
	for i := 0; i < len(b); i++ {
		if class[b[i]]&isToken == 0 {
			return false
		}
	}
	return len(b) > 0
}

// ValidValue reports whether b can be sent as a field value: no control bytes
// but HTAB, no surrounding white space.
func ValidValue[S string | []byte](b S) bool {
	for i := 0; i < len(b); i++ {
		if class[b[i]]&isText == 0 {
			return false
		}
	}
	if n := len(b); n > 0 {
		return b[0] != ' ' && b[0] != '\t' && b[n-1] != ' ' && b[n-1] != '\t'
	}
	return true
}

// Classes of bytes, from RFC 9110 section 5.6 and RFC 3986.
const (
	isToken  = 1 << iota // tchar
	isText               // field value: SP, HTAB, VCHAR, obs-text
	isTarget             // VCHAR without '#'
	isHost               // unreserved: what a host name or IPv4 address has
	isHex
	isLower
)

var class = func() (t [256]uint8) {
	for i := range t {
		b := byte(i)
		digit := '0' <= b && b <= '9'
		lowerCase := 'a' <= b && b <= 'z'
		letter := lowerCase || 'A' <= b && b <= 'Z'
		set := func(bit uint8, ok bool) {
			if ok {
				t[i] |= bit
			}
		}
		set(isToken, digit || letter || contains("!#$%&'*+-.^_`|~", b))
		set(isText, b == '\t' || b >= ' ' && b != 0x7f)
		set(isTarget, b > ' ' && b < 0x7f && b != '#')
		set(isHost, digit || letter || contains("-._~", b))
		set(isHex, digit || contains("abcdefABCDEF", b))
		set(isLower, lowerCase)
	}
	return
}()

func contains(s string, b byte) bool {
	for i := 0; i < len(s); i++ {
		if s[i] == b {
			return true
		}
	}
	return false
}

// badText returns the index of the first byte that may not be in a field
// value, or -1. Eight bytes at a time: a byte below 0x20 borrows into its high
// bit when 0x20 is subtracted, and DEL becomes 0 by xor. HTAB and, behind such
// a byte, innocent neighbours hit too, so a hit is looked at byte by byte.
func badText(b []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		del := x ^ 0x7f*ones
		if ((x-0x20*ones)&^x|(del-ones)&^del)&highs == 0 {
			continue
		}
		for j := i; j < i+8; j++ {
			if class[b[j]]&isText == 0 {
				return j
			}
		}
	}
	for ; i < len(b); i++ {
		if class[b[i]]&isText == 0 {
			return i
		}
	}
	return -1
}
