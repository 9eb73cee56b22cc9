package listen

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// translation turns a regular expression of JavaScript, without flags and with the
// web's tolerance (ECMA-262, annex B.1.2), into one of Go that finds the same, and
// finds out what Go cannot say. Both engines see characters where JavaScript sees
// UTF-16 units.
type translation struct {
	in string
	// out is for Go's regexp, back for the other engine, which needs the groups.
	out, back []byte
	// backtracks is set by what Go's regexp has not.
	backtracks bool

	at     int
	groups int            // that capture, in the whole pattern
	names  map[string]int // of groups, and their numbers
	seen   map[string]bool
	open   []bool // groups that are open, and whether each looks behind
	// repeatable: what was read last may be followed by a quantifier.
	repeatable bool
}

var (
	errGroup   = errors.New("parentheses do not match")
	errClass   = errors.New("a class has no end")
	errRange   = errors.New("a range is out of order")
	errRepeat  = errors.New("there is nothing to repeat")
	errEscape  = errors.New("a backslash at the end")
	errUnknown = errors.New("a group of an unknown kind")
	errName    = errors.New("a group's name is not valid")
	errNoGroup = errors.New("there is no such group")
)

// Character sets that Go writes differently; in and not in them.
const (
	anything  = `[\x00-\x{10ffff}]`
	nothing   = `[^\x00-\x{10ffff}]`
	noNewline = `[^\n\r\x{2028}\x{2029}]`
	space     = `\t-\r\x20\xa0\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`
	notSpace  = `\x00-\x08\x0e-\x1f!-\x9f\xa1-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}` +
		`\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}`
)

// The edge of a word, for an engine that has its own idea of a word.
const (
	boundary   = `(?:(?<=[A-Za-z0-9_])(?![A-Za-z0-9_])|(?<![A-Za-z0-9_])(?=[A-Za-z0-9_]))`
	noBoundary = `(?:(?<=[A-Za-z0-9_])(?=[A-Za-z0-9_])|(?<![A-Za-z0-9_])(?![A-Za-z0-9_]))`
)

// maxRepeat is the largest count that Go takes.
const maxRepeat = 1000

func (t *translation) run() error {
	t.survey()
	for t.at < len(t.in) {
		if err := t.term(); err != nil {
			return err
		}
	}
	if len(t.open) > 0 {
		return errGroup
	}
	return nil
}

// survey counts the groups, which decide what a backslash and a digit mean.
func (t *translation) survey() {
	t.names, t.seen = make(map[string]int), make(map[string]bool)
	class := false
	for i := 0; i < len(t.in); i++ {
		switch t.in[i] {
		case '\\':
			i++
		case '[':
			class = true
		case ']':
			class = false
		case '(':
			rest := t.in[i+1:]
			named := strings.HasPrefix(rest, "?<") && !strings.HasPrefix(rest, "?<=") && !strings.HasPrefix(rest, "?<!")
			if !class && (named || !strings.HasPrefix(rest, "?")) {
				t.groups++
			}
			if name, _, ok := strings.Cut(strings.TrimPrefix(rest, "?<"), ">"); !class && named && ok {
				t.names[name] = t.groups
			}
		}
	}
}

func (t *translation) next() (r rune) {
	r, size := utf8.DecodeRuneInString(t.in[t.at:])
	t.at += size
	return r
}

func (t *translation) take(prefix string) bool {
	if !strings.HasPrefix(t.in[t.at:], prefix) {
		return false
	}
	t.at += len(prefix)
	return true
}

func (t *translation) put(s string, repeatable bool) { t.put2(s, s, repeatable) }

func (t *translation) put2(out, back string, repeatable bool) {
	t.out = append(t.out, out...)
	t.back = append(t.back, back...)
	t.repeatable = repeatable
}

var numbers = regexp.MustCompile(`\\x\{[0-9a-f]+\}`)

// backtracking returns the pattern for the other engine, which writes characters
// by number in its own way.
func (t *translation) backtracking() string {
	return numbers.ReplaceAllStringFunc(string(t.back), func(s string) string {
		n, err := strconv.ParseUint(s[3:len(s)-1], 16, 32)
		if err != nil || n > 0xffff {
			return string(rune(n)) // beyond \uFFFF nothing has a meaning of its own
		}
		return fmt.Sprintf(`\u%04x`, n)
	})
}

func (t *translation) literal(r rune) { t.put(single(r), true) }

// single is a character by its number, in a class or outside. Half of a surrogate
// pair is in no name.
func single(r rune) string {
	if r >= 0xd800 && r <= 0xdfff {
		return nothing
	}
	return fmt.Sprintf(`\x{%x}`, r)
}

// term reads one thing outside a class.
func (t *translation) term() error {
	switch r := t.next(); r {
	case '^', '$':
		t.put(string(r), false)
	case '|':
		t.put("|", false)
	case '.':
		t.put(noNewline, true)
	case '[':
		return t.class()
	case '(':
		return t.group()
	case ')':
		if len(t.open) == 0 {
			return errGroup
		}
		last := len(t.open) - 1
		t.put(")", !t.open[last])
		t.open = t.open[:last]
	case '*', '+', '?':
		return t.quantifier(string(r))
	case '{':
		return t.braces()
	case '\\':
		return t.escape()
	default:
		t.literal(r)
	}
	return nil
}

func (t *translation) group() error {
	back, behind := "(", false
	switch from := t.at; {
	case t.take("?:"):
		back = "(?:"
	case t.take("?="), t.take("?!"), t.take("?<="), t.take("?<!"):
		t.backtracks = true
		back += t.in[from:t.at]
		behind = t.in[from+1] == '<'
	case t.take("?<"):
		name, rest, ok := strings.Cut(t.in[t.at:], ">")
		if !ok || !isName(name) || t.seen[name] {
			return errName
		}
		t.seen[name] = true
		t.at = len(t.in) - len(rest)
	case t.take("?"):
		return errUnknown
	}
	t.open = append(t.open, behind)
	t.put2("(?:", back, false)
	return nil
}

func isName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r == '$' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r > 0x7f
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

func (t *translation) quantifier(q string) error {
	if !t.repeatable {
		return errRepeat
	}
	if t.take("?") {
		q += "?"
	}
	t.put(q, false)
	return nil
}

// braces reads {n}, {n,} and {n,m}; anything else stands for itself.
func (t *translation) braces() error {
	body, _, ok := strings.Cut(t.in[t.at:], "}")
	low, high, two := strings.Cut(body, ",")
	from, fromOK := number(low)
	to, toOK := number(high)
	if !ok || !fromOK || two && high != "" && !toOK {
		t.literal('{')
		return nil
	}
	if two && high != "" && from > to {
		return errRange
	}
	if from > maxRepeat || to > maxRepeat {
		t.backtracks = true
	}
	t.at += len(body) + 1
	return t.quantifier("{" + body + "}")
}

// number reads digits; one that is too large for anything is just very large.
func number(s string) (n int, ok bool) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int(c-'0'), 1<<30)
	}
	return n, s != ""
}

// escape reads what a backslash begins, outside a class.
func (t *translation) escape() error {
	if t.at == len(t.in) {
		return errEscape
	}
	switch c := t.in[t.at]; {
	case strings.IndexByte("dDwW", c) >= 0:
		t.at++
		t.put(`\`+string(rune(c)), true)
	case c == 's':
		t.at++
		t.put("["+space+"]", true)
	case c == 'S':
		t.at++
		t.put("["+notSpace+"]", true)
	case c == 'b' || c == 'B':
		t.at++
		t.put2(`\`+string(rune(c)), map[byte]string{'b': boundary, 'B': noBoundary}[c], false)
	case c >= '1' && c <= '9':
		digits := t.at
		for digits < len(t.in) && t.in[digits] >= '0' && t.in[digits] <= '9' {
			digits++
		}
		n, _ := number(t.in[t.at:digits])
		if n > t.groups {
			t.literal(t.character())
			return nil
		}
		t.at = digits
		t.refer(n)
	case c == 'k' && len(t.names) > 0:
		t.at++
		name, rest, ok := strings.Cut(t.in[t.at:], ">")
		n := t.names[strings.TrimPrefix(name, "<")]
		if !ok || n == 0 || name[0] != '<' {
			return errNoGroup
		}
		t.at = len(t.in) - len(rest)
		t.refer(n)
	default:
		t.literal(t.character())
	}
	return nil
}

// refer adds a reference to what a group found.
func (t *translation) refer(n int) {
	t.backtracks = true
	t.put2("(?:)", `(?:\`+strconv.Itoa(n)+")", true)
}

// character reads an escape, after its backslash, that stands for one character.
func (t *translation) character() rune {
	r := t.next()
	switch {
	case r == 't':
		return '\t'
	case r == 'n':
		return '\n'
	case r == 'v':
		return '\v'
	case r == 'f':
		return '\f'
	case r == 'r':
		return '\r'
	case r >= '0' && r <= '7':
		return t.octal(r - '0')
	case r == 'x':
		return t.hex(2, 'x')
	case r == 'u':
		high := t.hex(4, 'u')
		if mark := t.at; high >= 0xd800 && high < 0xdc00 && t.take(`\u`) {
			if low := t.hex(4, 0); low >= 0xdc00 && low < 0xe000 {
				return 0x10000 + (high-0xd800)<<10 + low - 0xdc00
			}
			t.at = mark
		}
		return high
	case r == 'c':
		if t.at < len(t.in) {
			if c := t.in[t.at] | 0x20; c >= 'a' && c <= 'z' {
				t.at++
				return rune(c & 0x1f)
			}
		}
		t.at-- // a backslash, and then the c
		return '\\'
	}
	return r
}

// octal reads up to two more digits of a character below 0400.
func (t *translation) octal(r rune) rune {
	for range 2 {
		if t.at == len(t.in) || t.in[t.at] < '0' || t.in[t.at] > '7' || r > 0o37 {
			break
		}
		r = r<<3 + rune(t.in[t.at]-'0')
		t.at++
	}
	return r
}

// hex reads a character of n digits; without those it is another.
func (t *translation) hex(n int, other rune) rune {
	if t.at+n > len(t.in) {
		return other
	}
	r := rune(0)
	for _, c := range []byte(t.in[t.at : t.at+n]) {
		digit := strings.IndexByte("0123456789abcdef", c|0x20)
		if c < '0' || digit < 0 || c > '9' && c < 'A' {
			return other
		}
		r = r<<4 + rune(digit)
	}
	t.at += n
	return r
}
