package affinity

import "bytes"

// textPart returns the nth part of a text parted by colons, as in the handshake
// of socket.io 0.9: "sid:60:60:websocket,xhr-polling".
func textPart(b []byte, n int) (part []byte, st found) {
	for {
		i := bytes.IndexByte(b, ':')
		switch {
		case n == 0 && i < 0:
			return b, partial
		case n == 0:
			return b[:i], whole
		case i < 0:
			return nil, partial
		}
		b = b[i+1:]
		n--
	}
}

// browserChannelID finds the id, a raw JSON string, in the answer to a
// BrowserChannel handshake: a length, and an array of messages, the first of
// which creates the session: [[0,["c","id",null,8]]].
func browserChannelID(b []byte) (raw []byte, st found) {
	i := 0
	for i < len(b) && i < maxLengthDigits && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	if i == len(b) {
		return nil, partial
	}
	if i == 0 || b[i] != '\n' {
		return nil, broken
	}
	i++
	for _, want := range []string{"[", "[", "0", ",", "[", `"c"`, ","} {
		i = skipSpace(b, i)
		if n := min(len(b)-i, len(want)); string(b[i:i+n]) != want[:n] {
			return nil, broken
		} else if n < len(want) {
			return nil, partial
		}
		i += len(want)
	}
	if i = skipSpace(b, i); i == len(b) {
		return nil, partial
	}
	end, st := jsonStringEnd(b, i)
	if st != whole {
		return nil, st
	}
	return b[i:end], whole
}

// cookieValue finds a cookie in a Cookie header (RFC 6265 section 4.2).
func cookieValue(header []byte, name string) (value []byte, ok bool) {
	for len(header) > 0 {
		pair := header
		if i := bytes.IndexByte(header, ';'); i >= 0 {
			pair, header = header[:i], header[i+1:]
		} else {
			header = nil
		}
		pair = bytes.TrimSpace(pair)
		if len(pair) > len(name) && pair[len(name)] == '=' && string(pair[:len(name)]) == name {
			value = pair[len(name)+1:]
			if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
				value = value[1 : n-1]
			}
			return value, len(value) > 0
		}
	}
	return nil, false
}

// sockJSCloses reports whether what a SockJS receiver got ends its session: a
// frame c[code,"reason"], on its own line, as an event or in a script. Code
// 2010 does not: it turns away a second receiver only. The frame is looked for
// at the start of lines, where data cannot be: data frames begin with a[.
func sockJSCloses(b []byte) bool {
	for len(b) > 0 {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		line = bytes.TrimPrefix(line, []byte("data: "))
		if _, w, _ := jsonpStart(line); w == wrappedText {
			start, _, _ := jsonpStart(line)
			line = line[start:]
		}
		if bytes.HasPrefix(line, []byte("c[")) && len(line) > 6 && !bytes.HasPrefix(line, []byte("c[2010")) {
			return true
		}
	}
	return false
}
