package wire

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The text protocols carry values as one type letter and the rest: S string,
// O object or array, N number, T true, F false, L null, U undefined. Inside the
// node a value is JSON text, absent for undefined.

// fromTyped turns a typed value into JSON; ok is false for an unknown letter or
// a number that is none. Objects are not checked here.
func fromTyped(s string) (data string, ok bool) {
	if s == "" {
		return "", false
	}
	switch rest := s[1:]; s[0] {
	case 'S':
		return string(AppendQuoted(make([]byte, 0, len(s)+8), rest)), true
	case 'O':
		return rest, rest != ""
	case 'N':
		if _, err := strconv.ParseFloat(rest, 64); err != nil || !json.Valid([]byte(rest)) {
			// JavaScript writes NaN and Infinity here, which JSON calls null.
			return "null", rest == "NaN" || rest == "Infinity" || rest == "-Infinity"
		}
		return rest, true
	case 'T':
		return "true", true
	case 'F':
		return "false", true
	case 'L':
		return "null", true
	case 'U':
		return "", true
	}
	return "", false
}

// appendTyped is the reverse of fromTyped. A string with marks of the protocol in
// it is written as O and its JSON, where they are escaped: the clients take any JSON
// there.
func appendTyped(dst []byte, data string) []byte {
	data = strings.Trim(data, " \t\r\n")
	if data == "" {
		return append(dst, 'U')
	}
	switch data[0] {
	case '"':
		if s := unquote(data); !HasMarks(s) {
			return append(append(dst, 'S'), s...)
		}
		return appendPart(append(dst, 'O'), data)
	case '{', '[':
		return appendPart(append(dst, 'O'), data)
	case 't':
		return append(dst, 'T')
	case 'f':
		return append(dst, 'F')
	case 'n':
		return append(dst, 'L')
	default:
		return appendPart(append(dst, 'N'), data)
	}
}

// unquote returns the content of a JSON string, or the text itself if it is
// none.
func unquote(data string) string {
	data = strings.Trim(data, " \t\r\n")
	if len(data) < 2 || data[0] != '"' {
		return data
	}
	if strings.IndexByte(data, '\\') < 0 {
		return data[1 : len(data)-1]
	}
	var s string
	if json.Unmarshal([]byte(data), &s) != nil {
		return data
	}
	return s
}

const hexDigits = "0123456789abcdef"

// AppendQuoted adds s as a JSON string. Unlike encoding/json it leaves <, > and
// & alone, as JavaScript does; bytes that are not UTF-8 become U+FFFD.
func AppendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(dst, "\uFFFD"...)
			} else {
				dst = append(dst, s[i:i+n]...)
			}
			i += n
			continue
		}
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
		i++
	}
	return append(dst, '"')
}
