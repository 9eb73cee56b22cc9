package affinity

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxJSONDepth bounds the nesting that is followed. Deeper is broken.
const maxJSONDepth = 64

// jsonPath finds the value of a dotted path, such as "advice.timeout", in the
// object that b begins with. As with JSON.parse, the last of equal names counts.
// With partial, value is what was found so far.
func jsonPath(b []byte, path string) (value []byte, st found) {
	value, st = b, whole
	for more := true; more; {
		var name string
		name, path, more = cutByte(path, '.')
		inner, fst := jsonField(value, name)
		if fst != whole {
			st = fst
		}
		if inner == nil || fst == broken {
			return nil, st
		}
		value = inner
	}
	return value, st
}

func cutByte(s string, sep byte) (before, after string, ok bool) {
	for i := range len(s) {
		if s[i] == sep {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// jsonField finds the raw value of a field of the object that b begins with,
// without looking into the values of others. Of a value that is cut off it
// returns what there is only if that is an object or array.
func jsonField(b []byte, name string) (value []byte, st found) {
	i := skipSpace(b, 0)
	if i == len(b) {
		return nil, partial
	}
	if b[i] != '{' {
		return nil, broken
	}
	for first := true; ; first = false {
		i = skipSpace(b, i+1)
		if i == len(b) {
			return value, partial
		}
		if first && b[i] == '}' {
			return value, whole
		}
		end, st := jsonStringEnd(b, i)
		switch st {
		case broken:
			return nil, broken
		case partial:
			return value, partial
		}
		key := b[i:end]
		if i = skipSpace(b, end); i == len(b) {
			return value, partial
		}
		if b[i] != ':' {
			return nil, broken
		}
		i = skipSpace(b, i+1)
		end, st = jsonValueEnd(b, i)
		if st == broken {
			return nil, broken
		}
		if jsonKeyIs(key, name) && (st == whole || i < end && (b[i] == '{' || b[i] == '[')) {
			value = b[i:end]
		}
		if st == partial {
			return value, partial
		}
		if i = skipSpace(b, end); i == len(b) {
			return value, partial
		}
		switch b[i] {
		case ',':
		case '}':
			return value, whole
		default:
			return nil, broken
		}
	}
}

// jsonValueEnd returns the end of the value at i. A number at the very end of b
// is partial, since more digits may follow.
func jsonValueEnd(b []byte, i int) (end int, st found) {
	if i == len(b) {
		return i, partial
	}
	switch b[i] {
	case '"':
		return jsonStringEnd(b, i)
	case '{', '[':
		return jsonNestEnd(b, i)
	}
	for end = i; end < len(b); end++ {
		switch b[end] {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			if end == i {
				return i, broken
			}
			return end, whole
		case '"', '{', '[', ':':
			return i, broken
		}
	}
	return end, partial
}

// jsonNestEnd returns the end of the object or array at i. Only strings and
// brackets are understood: that is enough to find the end of a valid one.
func jsonNestEnd(b []byte, i int) (end int, st found) {
	var objects uint64 // bit n: the bracket at depth n is a brace
	depth := 0
	for i < len(b) {
		switch c := b[i]; c {
		case '"':
			end, st := jsonStringEnd(b, i)
			if st != whole {
				return end, st
			}
			i = end
			continue
		case '{', '[':
			if depth == maxJSONDepth {
				return i, broken
			}
			objects &^= 1 << depth
			if c == '{' {
				objects |= 1 << depth
			}
			depth++
		case '}', ']':
			depth--
			if (objects>>depth&1 == 1) != (c == '}') {
				return i, broken
			}
			if depth == 0 {
				return i + 1, whole
			}
		}
		i++
	}
	return i, partial
}

// jsonStringEnd returns the end of the string at i, past its closing quote.
func jsonStringEnd(b []byte, i int) (end int, st found) {
	if b[i] != '"' {
		return i, broken
	}
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1, whole
		case c == '\\':
			i++
		case c < ' ':
			return i, broken
		}
	}
	return len(b), partial
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// jsonKeyIs compares a raw string, quotes and all, with a plain name.
func jsonKeyIs(raw []byte, name string) bool {
	raw = raw[1 : len(raw)-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw) == name
	}
	var buf [maxFieldName]byte
	s, ok := unescape(buf[:0], raw)
	return ok && string(s) == name
}

// maxFieldName bounds the names of fields in rules, in bytes.
const maxFieldName = 64

// jsonText returns the text of a string or number. It appends to dst only what
// has to be unescaped, and never makes it grow.
func jsonText(dst, raw []byte) (text []byte, ok bool) {
	if len(raw) == 0 {
		return nil, false
	}
	switch c := raw[0]; {
	case c == '"':
		raw = raw[1 : len(raw)-1]
		if bytes.IndexByte(raw, '\\') < 0 {
			return raw, true
		}
		return unescape(dst, raw)
	case c == '-' || c >= '0' && c <= '9':
		return raw, true
	}
	return nil, false
}

// jsonNumber returns the value of a number, or of a string that holds one.
func jsonNumber(raw []byte) (float64, bool) {
	if len(raw) > 2 && raw[0] == '"' {
		raw = raw[1 : len(raw)-1]
	}
	if len(raw) == 0 || len(raw) > 24 {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	return f, err == nil
}

// unescape appends the text of the inside of a JSON or JavaScript string to
// dst. It reports false if there is a broken escape or no room left.
func unescape(dst, raw []byte) ([]byte, bool) {
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '\\' {
			if len(dst) == cap(dst) {
				return dst, false
			}
			dst = append(dst, c)
			continue
		}
		if i++; i == len(raw) {
			return dst, false
		}
		r := rune(raw[i])
		switch raw[i] {
		case 'b':
			r = '\b'
		case 'f':
			r = '\f'
		case 'n':
			r = '\n'
		case 'r':
			r = '\r'
		case 't':
			r = '\t'
		case 'u':
			var ok bool
			if r, ok = hex4(raw[i+1:]); !ok {
				return dst, false
			}
			i += 4
			if utf16.IsSurrogate(r) && i+6 < len(raw) && raw[i+1] == '\\' && raw[i+2] == 'u' {
				if low, ok := hex4(raw[i+3:]); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
					r = utf16.DecodeRune(r, low)
					i += 6
				}
			}
		default:
			if r >= utf8.RuneSelf {
				return dst, false
			}
		}
		if cap(dst)-len(dst) < utf8.UTFMax {
			return dst, false
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, true
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		d, ok := unhex(c)
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
