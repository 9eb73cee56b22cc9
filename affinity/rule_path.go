package affinity

import (
	"bytes"
	"errors"
	"path"
	"strings"
)

// pathPattern matches the segments of a path as it was sent. A slash at the end
// of the path does not count.
type pathPattern struct {
	text        string
	lead, trail bool // begins, ends with **
	segments    []segment
	tail        string // what the path must end with, for a quick no
}

type segment struct {
	kind segmentKind
	text string
}

type segmentKind uint8

const (
	literalSegment segmentKind = iota
	anySegment                 // *
	idSegment                  // {id}
	globSegment                // [0-9]?x*
)

// maxSegments bounds the segments of a pattern.
const maxSegments = 16

func compilePath(text string) (p pathPattern, err error) {
	p.text = text
	parts := strings.Split(strings.TrimPrefix(text, "/"), "/")
	if parts[0] == "**" {
		p.lead, parts = true, parts[1:]
	} else if !strings.HasPrefix(text, "/") {
		return p, errors.New(`must begin with "/" or "**/"`)
	}
	if n := len(parts); n > 0 && parts[n-1] == "**" {
		p.trail, parts = true, parts[:n-1]
	}
	if len(parts) == 1 && parts[0] == "" && !p.lead && !p.trail {
		parts = nil
	}
	if len(parts) > maxSegments {
		return p, errors.New("has too many segments")
	}
	ids := 0
	for _, s := range parts {
		seg := segment{literalSegment, s}
		switch {
		case s == "":
			return p, errors.New("has an empty segment")
		case s == "**":
			return p, errors.New("can have ** only as its first and last segment")
		case s == "*":
			seg.kind = anySegment
		case s == "{id}":
			seg.kind = idSegment
			ids++
		case strings.ContainsAny(s, "{}"):
			return p, errors.New("can have {id} only as a whole segment")
		case strings.ContainsAny(s, `*?[\`):
			seg.kind = globSegment
			if _, err := path.Match(s, ""); err != nil {
				return p, errors.New("has a broken [class]")
			}
		}
		p.segments = append(p.segments, seg)
	}
	if ids > 1 {
		return p, errors.New("can have {id} once")
	}
	if n := len(p.segments); !p.trail && n > 0 && p.segments[n-1].kind == literalSegment {
		p.tail = p.segments[n-1].text
	}
	return p, nil
}

// lastSegment returns what follows the last slash of a path, one at its end not
// counted.
func lastSegment(path []byte) []byte {
	if n := len(path); n > 1 && path[n-1] == '/' {
		path = path[:n-1]
	}
	return path[bytes.LastIndexByte(path, '/')+1:]
}

// hasID reports whether the pattern captures the key.
func (p *pathPattern) hasID() bool {
	for _, s := range p.segments {
		if s.kind == idSegment {
			return true
		}
	}
	return false
}

// match reports whether the pattern fits, and the segment at {id}.
func (p *pathPattern) match(path []byte) (id []byte, ok bool) {
	if n := len(path); n > 1 && path[n-1] == '/' {
		path = path[:n-1]
	}
	if n := len(path) - len(p.tail); n < 0 || string(path[n:]) != p.tail {
		return nil, false
	}
	if len(path) == 1 && path[0] == '/' {
		path = nil
	}
	switch {
	case !p.lead:
		id, end, ok := p.matchAt(path, 0)
		return id, ok && (p.trail || end == len(path))
	case !p.trail:
		start := len(path)
		for range p.segments {
			if start = bytes.LastIndexByte(path[:start], '/'); start < 0 {
				return nil, false
			}
		}
		id, _, ok := p.matchAt(path, start)
		return id, ok
	}
	if len(p.segments) == 0 {
		return nil, true
	}
	first := "" // the first segment, if it is a literal
	if p.segments[0].kind == literalSegment {
		first = p.segments[0].text
	}
	for start := range path {
		if path[start] != '/' || len(path)-start <= len(first) || string(path[start+1:start+1+len(first)]) != first {
			continue
		}
		if id, _, ok := p.matchAt(path, start); ok {
			return id, true
		}
	}
	return nil, false
}

// matchAt matches the segments one after the other from start, a slash.
func (p *pathPattern) matchAt(path []byte, start int) (id []byte, end int, ok bool) {
	for i := range p.segments {
		if start >= len(path) || path[start] != '/' {
			return nil, 0, false
		}
		start++
		end := bytes.IndexByte(path[start:], '/')
		if end < 0 {
			end = len(path)
		} else {
			end += start
		}
		part := path[start:end]
		switch seg := &p.segments[i]; seg.kind {
		case literalSegment:
			if string(part) != seg.text {
				return nil, 0, false
			}
		case globSegment:
			if !globMatch(seg.text, part) {
				return nil, 0, false
			}
		case idSegment:
			id = part
			fallthrough
		case anySegment:
			if len(part) == 0 {
				return nil, 0, false
			}
		}
		start = end
	}
	return id, start, true
}

// globMatch is path.Match without a string made of the segment. A star matches
// at most once more for each byte, so the time is bounded by the square of the
// segment.
func globMatch(pattern string, s []byte) bool {
	star, mark := -1, 0 // pattern after the last *, and where it took up
	for p, i := 0, 0; ; {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			star, mark = p, i
			continue
		}
		if i == len(s) {
			return p == len(pattern)
		}
		if n := globByte(pattern[p:], s[i]); n > 0 {
			p, i = p+n, i+1
			continue
		}
		if star < 0 || mark == len(s) {
			return false
		}
		mark++
		p, i = star, mark
	}
}

// globByte matches one byte with the head of a pattern, and returns how much of
// the pattern that was; 0 is no match.
func globByte(pattern string, c byte) int {
	if pattern == "" {
		return 0
	}
	switch pattern[0] {
	case '?':
		return 1
	case '[':
		i, not, hit := 1, false, false
		if pattern[i] == '^' {
			not = true
			i++
		}
		for first := true; first || pattern[i] != ']'; first = false {
			low, n := globLetter(pattern[i:])
			i += n
			high := low
			if pattern[i] == '-' {
				high, n = globLetter(pattern[i+1:])
				i += n + 1
			}
			hit = hit || low <= c && c <= high
		}
		if hit == not {
			return 0
		}
		return i + 1
	}
	if want, n := globLetter(pattern); want == c {
		return n
	}
	return 0
}

func globLetter(pattern string) (c byte, size int) {
	if pattern[0] == '\\' {
		return pattern[1], 2
	}
	return pattern[0], 1
}
