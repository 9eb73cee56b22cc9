package http1

// ValidName reports whether b is a token (RFC 9110 section 5.6.2).
func ValidName[S string | []byte](b S) bool {
	for i := 0; i < len(b); i++ {
		if !token[b[i]] {
			return false
		}
	}
	return len(b) > 0
}

// ValidValue reports whether b can be sent as a field value: no control bytes
// but HTAB, no surrounding white space.
func ValidValue[S string | []byte](b S) bool {
	for i := 0; i < len(b); i++ {
		if b[i] < ' ' && b[i] != '\t' || b[i] == 0x7f {
			return false
		}
	}
	if n := len(b); n > 0 {
		return b[0] != ' ' && b[0] != '\t' && b[n-1] != ' ' && b[n-1] != '\t'
	}
	return true
}

var token = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return
}()
