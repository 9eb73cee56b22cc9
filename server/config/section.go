package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// section is a mapping of the file that is being read. Each reading method makes
// its key known; close reports the keys that are not. A nil section has no keys,
// so that absent sections need no care.
type section struct {
	r    *reader
	path string // as in "httpServer.options", empty at the top
	at   value
	keys []string // in the order of the file
	vals map[string]value
	line map[string]int

	known []string
}

// section begins to read a mapping. It returns nil for anything else, which is
// reported.
func (r *reader) section(v value, path string) *section {
	v, ok := r.resolve(v)
	if !ok || isNull(v.node) {
		return nil
	}
	if v.node.Kind != yaml.MappingNode {
		r.fail(v.file, v.node.Line, "%s must be a section with keys, not %s", nameOf(path), kindOf(v.node))
		return nil
	}
	s := &section{r: r, path: path, at: v, vals: map[string]value{}, line: map[string]int{}}
	s.add(v, 0)
	return s
}

// maxMerged bounds how many mappings may be merged into each other.
const maxMerged = 16

// add takes the keys of a mapping; those of one merged into it (<<) do not replace
// any. depth counts the merges.
func (s *section) add(v value, depth int) {
	var merged []*yaml.Node
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		k, val := v.node.Content[i], v.node.Content[i+1]
		if from, ok := mergedBy(k, val); ok {
			merged = append(merged, from...)
			continue
		}
		key, _ := s.r.expand(k.Value)
		if first, twice := s.line[key]; twice {
			if depth == 0 {
				s.r.fail(v.file, k.Line, "key %q is given twice, first in line %d", key, first)
			}
			continue
		}
		s.keys = append(s.keys, key)
		s.vals[key], s.line[key] = value{v.file, val}, k.Line
	}
	for _, from := range merged {
		if depth == maxMerged {
			s.r.fail(v.file, v.node.Line, "more than %d sections are merged into each other", maxMerged)
			return
		}
		s.add(value{v.file, from}, depth+1)
	}
}

// mergedBy returns the mappings that a key << merges: one or a list of them, in place
// or by alias.
func mergedBy(key, val *yaml.Node) ([]*yaml.Node, bool) {
	if key.Tag != "!!merge" {
		return nil, false
	}
	from := []*yaml.Node{val}
	if val.Kind == yaml.SequenceNode {
		from = slices.Clone(val.Content)
	}
	for i, n := range from {
		if n.Kind == yaml.AliasNode {
			from[i] = n.Alias
		}
		if from[i].Kind != yaml.MappingNode {
			return nil, false
		}
	}
	return from, true
}

func nameOf(path string) string {
	if path == "" {
		return "the configuration"
	}
	return path
}

func (s *section) name(key string) string {
	if s.path == "" {
		return key
	}
	return s.path + "." + key
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!bool":
		return n.Value
	case "!!int", "!!float":
		return "the number " + n.Value
	}
	return "a text"
}

// given reports that a key is there, null included.
func (s *section) given(key string) bool {
	if s == nil {
		return false
	}
	_, ok := s.vals[key]
	return ok
}

// take returns what a key holds; a null counts as absent.
func (s *section) take(key string) (value, bool) {
	if s == nil {
		return value{}, false
	}
	s.known = append(s.known, key)
	v, ok := s.vals[key]
	if !ok {
		return v, false
	}
	v, ok = s.r.resolve(v)
	return v, ok && !isNull(v.node)
}

// fail reports a fault of a key.
func (s *section) fail(key, format string, args ...any) {
	s.r.fail(s.vals[key].file, s.line[key], "%s", s.name(key)+" "+fmt.Sprintf(format, args...))
}

func (s *section) warn(key, format string, args ...any) {
	s.r.warn(s.vals[key].file, s.line[key], "%s", s.name(key)+" "+fmt.Sprintf(format, args...))
}

// scalar returns the text of a single value.
func (s *section) scalar(key, want string) (string, *yaml.Node, bool) {
	v, ok := s.take(key)
	if !ok {
		return "", nil, false
	}
	if v.node.Kind != yaml.ScalarNode {
		s.fail(key, "must be %s, not %s", want, kindOf(v.node))
		return "", nil, false
	}
	return v.node.Value, v.node, true
}

func (s *section) text(key string, to *string) bool {
	text, _, ok := s.scalar(key, "a text")
	switch {
	case !ok:
		return false
	case text == "":
		s.fail(key, "must not be empty")
		return false
	}
	*to = text
	return true
}

func (s *section) flag(key string, to *bool) {
	text, n, ok := s.scalar(key, "true or false")
	if !ok {
		return
	}
	switch text {
	case "true", "false":
		*to = text == "true"
	default:
		s.fail(key, "must be true or false, not %s", shown(n))
	}
}

// shown quotes a value in an error.
func shown(n *yaml.Node) string {
	const most = 40
	if len(n.Value) > most {
		return strconv.Quote(n.Value[:most]) + "..."
	}
	return strconv.Quote(n.Value)
}

func (s *section) number(key string, to *int, least, most int) bool {
	_, n, ok := s.scalar(key, "a whole number")
	if !ok {
		return false
	}
	i, err := wholeNumber(n)
	if err != nil || i < least || i > most {
		s.fail(key, "must be a whole number from %d to %d, not %s", least, most, shown(n))
		return false
	}
	*to = i
	return true
}

// wholeNumber reads a number in any of the forms of YAML, as 1e3, 0x10 and 1_000.
func wholeNumber(n *yaml.Node) (int, error) {
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		return strconv.Atoi(n.Value) // it may come from a ${NAME}
	}
	var f float64
	if err := n.Decode(&f); err != nil {
		return 0, err
	}
	if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, strconv.ErrRange
	}
	return int(f), nil
}

// maxMillis is 24 days: what timers of JavaScript can do.
const maxMillis = 1<<31 - 1

func (s *section) millis(key string, to *time.Duration, least int) {
	ms := 0
	if s.number(key, &ms, least, maxMillis) {
		*to = time.Duration(ms) * time.Millisecond
	}
}

// millisOrNever is for timeouts that null or false switches off.
func (s *section) millisOrNever(key string, to *time.Duration) {
	if !s.given(key) {
		s.take(key)
		return
	}
	v, ok := s.r.resolve(s.vals[key])
	if ok && (isNull(v.node) || v.node.Kind == yaml.ScalarNode && v.node.Value == "false") {
		s.known = append(s.known, key)
		*to = 0
		return
	}
	s.millis(key, to, 1)
}

// list calls f with each element of a list; a single value counts as one.
func (s *section) list(key string, f func(i int, v value)) bool {
	v, ok := s.take(key)
	if !ok {
		return false
	}
	if v.node.Kind != yaml.SequenceNode {
		s.fail(key, "must be a list, not %s", kindOf(v.node))
		return false
	}
	for i, n := range v.node.Content {
		if e, ok := s.r.resolve(value{v.file, n}); ok {
			f(i, e)
		}
	}
	return true
}

func (s *section) texts(key string, to *[]string) {
	var all []string
	if s.list(key, func(i int, v value) {
		if v.node.Kind != yaml.ScalarNode || v.node.Value == "" {
			s.r.fail(v.file, v.node.Line, "%s must be a list of texts, not with %s", s.name(key), kindOf(v.node))
			return
		}
		all = append(all, v.node.Value)
	}) {
		*to = all
	}
}

func (s *section) numbers(key string, to *[]int, least, most int) {
	var all []int
	if s.list(key, func(i int, v value) {
		n, err := wholeNumber(v.node)
		if v.node.Kind != yaml.ScalarNode || err != nil || n < least || n > most {
			s.r.fail(v.file, v.node.Line, "%s must be a list of whole numbers from %d to %d, not with %s",
				s.name(key), least, most, shown(v.node))
			return
		}
		all = append(all, n)
	}) {
		*to = all
	}
}

// sub begins to read a section inside of this one; nil if there is none.
func (s *section) sub(key string) *section {
	v, ok := s.take(key)
	if !ok {
		return nil
	}
	return s.r.section(v, s.name(key))
}

// skip makes keys known that mean nothing to this node.
func (s *section) skip(keys ...string) {
	if s != nil {
		s.known = append(s.known, keys...)
	}
}
