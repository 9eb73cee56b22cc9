package http1

// Field is one header or trailer line. Name is as sent; Value has no
// surrounding white space. Both are slices of the Conn's buffer.
type Field struct {
	Name, Value []byte
	Kind        Kind
	// Named is true when a Connection field of the same head lists Name: the
	// sender asks to drop it here (RFC 9110 section 7.6.1). Whether to obey is
	// the forwarder's choice.
	Named bool
}

// Is reports whether the field has this name, in any case.
func (f *Field) Is(name string) bool { return equalFold(f.Name, name) }

// get returns the value of the first field with this name.
func get(fields []Field, name string) ([]byte, bool) {
	for i := range fields {
		if equalFold(fields[i].Name, name) {
			return fields[i].Value, true
		}
	}
	return nil, false
}

// lookup returns the value of the first field of this kind.
func lookup(fields []Field, k Kind) ([]byte, bool) {
	for i := range fields {
		if fields[i].Kind == k {
			return fields[i].Value, true
		}
	}
	return nil, false
}

// HasToken reports whether a comma separated list, such as the value of a
// Connection field, has this token, in any case. Parameters are not split off.
func HasToken(list []byte, token string) bool {
	for len(list) > 0 {
		var t []byte
		t, list = nextElement(list)
		if equalFold(t, token) {
			return true
		}
	}
	return false
}

// nextElement cuts the first element, without surrounding white space, off a
// comma separated list.
func nextElement(list []byte) (elem, rest []byte) {
	for i, b := range list {
		if b == ',' {
			return trimOWS(list[:i]), list[i+1:]
		}
	}
	return trimOWS(list), nil
}

func trimOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// equalFold compares in ASCII, any case, without allocation.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := 0; i < len(b); i++ {
		if lower[b[i]] != lower[s[i]] {
			return false
		}
	}
	return true
}

var lower = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
		if 'A' <= i && i <= 'Z' {
			t[i] += 'a' - 'A'
		}
	}
	return
}()
