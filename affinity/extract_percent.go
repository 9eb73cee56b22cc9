package affinity

// Session ids are compared in a canonical spelling, since one id may be written
// in several ways: "%2b", "%2B" and "+" are one, and so is a space, because a
// plus sign that was sent bare is a space to a backend that decodes forms. No
// protocol has ids that differ in nothing but that.

// canonicalID brings an id to its canonical spelling, decoding percent escapes
// if it comes from a URL. The result is raw itself or in buf. It reports false
// if the id is empty or longer than MaxID.
func canonicalID(buf *[MaxID]byte, raw []byte, percent bool) (id []byte, ok bool) {
	plain := true
	for _, c := range raw {
		if c == '%' && percent || c == ' ' {
			plain = false
			break
		}
	}
	if plain {
		return raw, len(raw) > 0 && len(raw) <= MaxID
	}
	n := 0
	for i := 0; i < len(raw); n++ {
		if n == MaxID {
			return nil, false
		}
		c, size := raw[i], 1
		if percent {
			c, size = percentByte(raw, i)
		}
		if c == ' ' {
			c = '+'
		}
		buf[n] = c
		i += size
	}
	return buf[:n], true
}

// percentByte decodes the byte at raw[i], leaving a broken escape as it is.
func percentByte(raw []byte, i int) (c byte, size int) {
	if raw[i] == '%' && i+2 < len(raw) {
		hi, ok1 := unhex(raw[i+1])
		lo, ok2 := unhex(raw[i+2])
		if ok1 && ok2 {
			return hi<<4 | lo, 3
		}
	}
	return raw[i], 1
}

// decodeForm appends the decoded form value to dst, until dst is full. Here a
// plus is a space.
func decodeForm(dst, raw []byte) []byte {
	for i := 0; i < len(raw) && len(dst) < cap(dst); {
		c, size := percentByte(raw, i)
		if size == 1 && c == '+' {
			c = ' '
		}
		dst = append(dst, c)
		i += size
	}
	return dst
}

// equalDecoded reports whether raw, percent-decoded, is want.
func equalDecoded(raw []byte, want string) bool {
	if len(raw) == len(want) {
		return string(raw) == want
	}
	if len(raw) < len(want) {
		return false
	}
	n := 0
	for i := 0; i < len(raw); n++ {
		c, size := percentByte(raw, i)
		if n == len(want) || c != want[n] {
			return false
		}
		i += size
	}
	return n == len(want)
}

// formField finds a field in a form or query: the raw value of the first of
// that name. With partial the value may go on.
func formField(b []byte, name string) (value []byte, st found) {
	for len(b) > 0 {
		pair, rest := b, []byte(nil)
		last := true
		for i, c := range b {
			if c == '&' {
				pair, rest, last = b[:i], b[i+1:], false
				break
			}
		}
		key, val := pair, []byte(nil)
		for i, c := range pair {
			if c == '=' {
				key, val = pair[:i], pair[i+1:]
				break
			}
		}
		if equalDecoded(key, name) && len(key) < len(pair) {
			if last {
				return val, partial
			}
			return val, whole
		}
		if last {
			return nil, partial
		}
		b = rest
	}
	return nil, partial
}
