package listen

import (
	"fmt"
	"strings"
)

// class reads a class, after its opening bracket. In Go its characters are written
// by number, so that none has a meaning of its own.
func (t *translation) class() error {
	not := t.take("^")
	var set strings.Builder
	for {
		if t.at == len(t.in) {
			return errClass
		}
		if t.take("]") {
			break
		}
		from, several := t.member()
		if !strings.HasPrefix(t.in[t.at:], "-") || strings.HasPrefix(t.in[t.at:], "-]") || t.at+1 == len(t.in) {
			set.WriteString(several)
			if several == "" {
				addRange(&set, from, from)
			}
			continue
		}
		t.at++
		to, alsoSeveral := t.member()
		switch {
		case several != "" || alsoSeveral != "": // the dash stands for itself
			set.WriteString(several)
			if several == "" {
				addRange(&set, from, from)
			}
			addRange(&set, '-', '-')
			set.WriteString(alsoSeveral)
			if alsoSeveral == "" {
				addRange(&set, to, to)
			}
		case from > to:
			return errRange
		default:
			addRange(&set, from, to)
		}
	}
	switch {
	case set.Len() == 0 && not:
		t.put(anything, true)
	case set.Len() == 0:
		t.put(nothing, true)
	case not:
		t.put("[^"+set.String()+"]", true)
	default:
		t.put("["+set.String()+"]", true)
	}
	return nil
}

// addRange leaves out what is in no name.
func addRange(set *strings.Builder, from, to rune) {
	const low, high = 0xd800, 0xdfff
	if from < low && to > high {
		fmt.Fprintf(set, `\x{%x}-\x{%x}\x{%x}-\x{%x}`, from, low-1, high+1, to)
		return
	}
	if from >= low && from <= high {
		from = high + 1
	}
	if to >= low && to <= high {
		to = low - 1
	}
	if from <= to {
		fmt.Fprintf(set, `\x{%x}-\x{%x}`, from, to)
	}
}

// member reads one character of a class, or an escape that stands for several.
func (t *translation) member() (r rune, several string) {
	r = t.next()
	if r != '\\' || t.at == len(t.in) {
		return r, ""
	}
	switch c := t.in[t.at]; {
	case strings.IndexByte("dDwW", c) >= 0:
		t.at++
		return 0, `\` + string(rune(c))
	case c == 's':
		t.at++
		return 0, space
	case c == 'S':
		t.at++
		return 0, notSpace
	case c == 'b':
		t.at++
		return '\b', ""
	case c == 'c' && t.at+1 < len(t.in):
		if d := t.in[t.at+1]; d >= '0' && d <= '9' || d == '_' {
			t.at += 2
			return rune(d & 0x1f), ""
		}
	}
	return t.character(), ""
}
