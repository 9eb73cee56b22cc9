package affinity

// wrapping is how a body is wrapped as a script.
type wrapping uint8

const (
	notWrapped   wrapping = iota
	wrappedValue          // callback({...});
	wrappedText           // callback("...");
)

// jsonpStart finds where the argument of a JSONP answer begins: after an
// optional comment, a name and a parenthesis. With wrappedText it is past the
// quote. A body that is no JSONP is notWrapped, and begins at 0.
func jsonpStart(b []byte) (start int, w wrapping, st found) {
	i := skipSpace(b, 0)
	const comment = "/**/"
	for n := 0; n < len(comment); n++ {
		if i+n == len(b) {
			return 0, notWrapped, partial
		}
		if b[i+n] != comment[n] {
			if n > 0 {
				return 0, notWrapped, whole
			}
			break
		}
		if n == len(comment)-1 {
			i += len(comment)
		}
	}
	i = skipSpace(b, i)
	name := i
	for i < len(b) && (isNameByte(b[i]) || i > name && (b[i] == '.' || b[i] == '[' || b[i] == ']')) {
		i++
	}
	if i == len(b) {
		return 0, notWrapped, partial
	}
	if i == name || b[i] != '(' || b[name] >= '0' && b[name] <= '9' {
		return 0, notWrapped, whole
	}
	if i++; i == len(b) {
		return 0, notWrapped, partial
	}
	if b[i] == '"' {
		return i + 1, wrappedText, whole
	}
	return i, wrappedValue, whole
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$'
}

// unwrapJSONP returns what a body says, whether or not it is wrapped as a
// script. A text has its escapes undone, in a new buffer; st is whole when its
// end was seen.
func unwrapJSONP(b []byte) (inner []byte, w wrapping, st found) {
	start, w, st := jsonpStart(b)
	if st != whole {
		return nil, w, st
	}
	b = b[start:]
	if w != wrappedText {
		return b, w, partial
	}
	end, cut := 0, 0 // cut: the end of what can be unescaped
	st = partial
	for end < len(b) {
		if b[end] == '"' {
			st = whole
			break
		}
		size := 1
		if b[end] == '\\' {
			size = 2
			if end+1 < len(b) && b[end+1] == 'u' {
				size = 6
			}
		}
		end += size
		if end <= len(b) {
			cut = end
		}
	}
	inner, ok := unescape(make([]byte, 0, cut+4), b[:cut])
	if !ok {
		return nil, w, broken
	}
	return inner, w, st
}
