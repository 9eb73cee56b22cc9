package record

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/dsproxy/dsproxy/server/wire"
)

// A path names a place in a record: keys divided by dots, array indices in
// brackets, as in "a.b[0].c". It is set in the JSON text itself, without making
// objects of it; the text has to be valid.

// Bounds on what a path may build.
const (
	maxDepth = 200    // keys and indices
	maxGap   = 10_000 // array elements that one path may add
)

var (
	errPath    = errors.New("path is not valid")
	errNoPlace = errors.New("record is neither an object nor an array")
)

type token struct {
	key     string
	index   int
	isIndex bool
}

func tokenize(path string) ([]token, error) {
	var tokens []token
	for part := range strings.SplitSeq(path, ".") {
		part = strings.TrimSpace(part)
		key, rest, _ := strings.Cut(part, "[")
		if key != "" {
			switch key {
			case "__proto__", "constructor", "prototype":
				return nil, errPath // they are poison to JavaScript clients
			}
			tokens = append(tokens, token{key: key})
		}
		for rest != "" {
			digits, after, closed := strings.Cut(rest, "]")
			i, err := strconv.Atoi(digits)
			if err != nil || i < 0 || !closed || (after != "" && after[0] != '[') {
				return nil, errPath
			}
			tokens = append(tokens, token{key: digits, index: i, isIndex: true})
			rest = strings.TrimPrefix(after, "[")
		}
	}
	if len(tokens) == 0 || len(tokens) > maxDepth {
		return nil, errPath
	}
	return tokens, nil
}

// setPath returns doc with value at path; an empty value removes what is there,
// which leaves null in an array. Objects and arrays on the way are made where
// there are none, as the original does.
func setPath(doc, path, value string) (string, error) {
	tokens, err := tokenize(path)
	if err != nil {
		return "", err
	}
	pos := skipSpace(doc, 0)
	if pos >= len(doc) || (doc[pos] != '{' && doc[pos] != '[') {
		return "", errNoPlace
	}
	for i, t := range tokens {
		last := i == len(tokens)-1
		at, ok := find(doc, pos, t)
		if !ok {
			return doc, nil // an array has no such place, and JSON would not keep it
		}
		if at.found && !last && (doc[at.start] == '{' || doc[at.start] == '[') {
			pos = at.start
			continue
		}
		if last && value == "" {
			return at.remove(doc), nil
		}
		if at.holes(tokens[i:]) > maxGap {
			return "", errPath
		}
		return at.put(doc, tokens[i:], value), nil
	}
	return doc, nil
}

// place is where a key or an index is or would be.
type place struct {
	found      bool
	start, end int // of the value if found; else both are before the closing mark
	// For a key: where its member begins, where the member before it ended and
	// whether there are others.
	memberStart, before int
	empty, inArray      bool
	gap                 int // missing elements before an index
}

// find looks for t in the object or array at pos; ok is false for a key that an
// array cannot have.
func find(doc string, pos int, t token) (p place, ok bool) {
	p.inArray = doc[pos] == '['
	if p.inArray && !t.isIndex {
		i, err := strconv.Atoi(t.key)
		if err != nil || i < 0 {
			return p, false
		}
		t.index = i
	}
	p.empty = true
	i := skipSpace(doc, pos+1)
	previous := pos + 1
	for n := 0; doc[i] != '}' && doc[i] != ']'; n++ {
		memberStart := i
		match := p.inArray && n == t.index
		if !p.inArray {
			keyEnd := skipString(doc, i)
			match = sameKey(doc[i:keyEnd], t.key)
			i = skipSpace(doc, skipSpace(doc, keyEnd)+1)
		}
		end := skipValue(doc, i)
		if match {
			// The last of equal keys counts, as in JavaScript.
			p.found, p.start, p.end = true, i, end
			p.memberStart, p.before = memberStart, previous
		}
		p.empty = false
		previous = end
		i = skipSpace(doc, end)
		if doc[i] == ',' {
			i = skipSpace(doc, i+1)
		}
		if p.inArray {
			p.gap = t.index - n - 1
		}
	}
	if p.inArray && p.empty {
		p.gap = t.index
	}
	if !p.found {
		p.start, p.end = i, i
	}
	return p, true
}

func (p place) remove(doc string) string {
	switch {
	case !p.found:
		return doc
	case p.inArray:
		return doc[:p.start] + "null" + doc[p.end:]
	}
	// Take the comma before the member, or that after it.
	if doc[p.before-1] != '{' {
		return doc[:p.before] + doc[p.end:]
	}
	after := skipSpace(doc, p.end)
	if doc[after] == ',' {
		after++
	} else {
		after = p.end
	}
	return doc[:p.memberStart] + doc[after:]
}

// put sets value below tokens[0], whose place p is.
func (p place) put(doc string, tokens []token, value string) string {
	var b []byte
	b = append(b, doc[:p.start]...)
	if !p.found {
		if !p.empty {
			b = append(b, ',')
		}
		if p.inArray {
			for range p.gap {
				b = append(b, "null,"...)
			}
		} else {
			b = append(wire.AppendQuoted(b, tokens[0].key), ':')
		}
	}
	b = build(b, tokens[1:], value)
	b = append(b, doc[p.end:]...)
	return string(b)
}

// holes is how many array elements put would add around the value.
func (p place) holes(tokens []token) int {
	n := max(p.gap, 0)
	for _, t := range tokens[1:] {
		if t.index > maxGap {
			return t.index
		}
		n += t.index
	}
	return n
}

// build adds value inside new objects and arrays for the rest of a path.
func build(b []byte, tokens []token, value string) []byte {
	if len(tokens) == 0 {
		return append(b, value...)
	}
	t := tokens[0]
	nothing := len(tokens) == 1 && value == ""
	if !t.isIndex {
		b = append(b, '{')
		if !nothing {
			b = append(wire.AppendQuoted(b, t.key), ':')
			b = build(b, tokens[1:], value)
		}
		return append(b, '}')
	}
	b = append(b, '[')
	if !nothing {
		for range t.index {
			b = append(b, "null,"...)
		}
		b = build(b, tokens[1:], value)
	}
	return append(b, ']')
}

// sameKey compares a key as it stands in the text, quotes included.
func sameKey(quoted, key string) bool {
	inner := quoted[1 : len(quoted)-1]
	if strings.IndexByte(inner, '\\') < 0 {
		return inner == key
	}
	var s string
	return json.Unmarshal([]byte(quoted), &s) == nil && s == key
}

func skipSpace(doc string, i int) int {
	for i < len(doc) && (doc[i] == ' ' || doc[i] == '\n' || doc[i] == '\t' || doc[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the place after the string that begins at i.
func skipString(doc string, i int) int {
	for i++; doc[i] != '"'; i++ {
		if doc[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// skipValue returns the place after the value that begins at i.
func skipValue(doc string, i int) int {
	depth := 0
	for i < len(doc) {
		switch doc[i] {
		case '"':
			i = skipString(doc, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}
