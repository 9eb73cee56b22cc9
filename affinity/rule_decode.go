package affinity

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// decoder reads YAML nodes strictly and collects all that is wrong, each with
// its line.
type decoder struct {
	rule string // the one being read, for messages
	errs []error
}

func (d *decoder) failf(line int, format string, args ...any) {
	if len(d.errs) == maxConfigErrors {
		return
	}
	where := fmt.Sprintf("line %d: ", line)
	if d.rule != "" {
		where += fmt.Sprintf("rule %q: ", d.rule)
	}
	d.errs = append(d.errs, errors.New(where+fmt.Sprintf(format, args...)))
}

// maxConfigErrors bounds how many mistakes are told at once.
const maxConfigErrors = 20

// field is one key of a mapping.
type field struct {
	key  string
	read func(n *yaml.Node)
}

// object reads a mapping with the given keys and no others.
func (d *decoder) object(n *yaml.Node, what string, fields ...field) {
	d.pairs(n, what, func(key, value *yaml.Node) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == key.Value })
		if i < 0 {
			known := make([]string, len(fields))
			for i, f := range fields {
				known[i] = f.key
			}
			d.failf(key.Line, "%s has no key %q%s; it has: %s",
				what, key.Value, suggest(key.Value, known), strings.Join(known, ", "))
			return
		}
		fields[i].read(value)
	})
}

// pairs calls each for the pairs of a mapping with distinct scalar keys.
func (d *decoder) pairs(n *yaml.Node, what string, each func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.failf(n.Line, "%s must be a mapping of keys to values, not %s", what, kindOf(n))
		return
	}
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			d.failf(key.Line, "a key of %s must be a plain word, not %s", what, kindOf(key))
		case seen[key.Value]:
			d.failf(key.Line, "%s has the key %q twice", what, key.Value)
		case value.Kind == yaml.AliasNode:
			d.failf(value.Line, "%s: rules cannot use YAML aliases; write %q out", what, key.Value)
		default:
			seen[key.Value] = true
			each(key, value)
		}
	}
}

// list reads a sequence, or one value in its place.
func (d *decoder) list(n *yaml.Node, what string, limit int, each func(n *yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		each(n)
		return
	}
	if len(n.Content) == 0 || len(n.Content) > limit {
		d.failf(n.Line, "%s must have 1 to %d entries, not %d", what, limit, len(n.Content))
		return
	}
	for _, c := range n.Content {
		if c.Kind == yaml.AliasNode {
			d.failf(c.Line, "%s: rules cannot use YAML aliases; write the entry out", what)
			continue
		}
		each(c)
	}
}

// text reads a scalar of 1 to limit bytes.
func (d *decoder) text(n *yaml.Node, what string, limit int) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.failf(n.Line, "%s must be a text, not %s", what, kindOf(n))
		return ""
	}
	if n.Value == "" || len(n.Value) > limit {
		d.failf(n.Line, "%s must have 1 to %d bytes, not %d", what, limit, len(n.Value))
		return ""
	}
	return n.Value
}

const (
	maxEntries = 64      // entries of a list in a rule
	maxText    = 4 << 10 // bytes of a text in a rule
)

// oneOf reads a word out of a fixed set.
func (d *decoder) oneOf(n *yaml.Node, what string, words ...string) string {
	s := d.text(n, what, maxText)
	if s != "" && !slices.Contains(words, s) {
		d.failf(n.Line, "%s cannot be %q%s; it is one of: %s", what, s, suggest(s, words), strings.Join(words, ", "))
		return ""
	}
	return s
}

func (d *decoder) boolean(n *yaml.Node, what string) bool {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		d.failf(n.Line, "%s must be true or false, not %s", what, kindOf(n))
		return false
	}
	return strings.EqualFold(n.Value, "true")
}

func (d *decoder) number(n *yaml.Node, what string, low, high int) int {
	v, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || v < low || v > high {
		d.failf(n.Line, "%s must be a number from %d to %d, not %s", what, low, high, kindOf(n))
		return low
	}
	return v
}

func (d *decoder) duration(n *yaml.Node, what string) time.Duration {
	v, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || v < 0 || v > maxLife {
		d.failf(n.Line, "%s must be a time such as 90s, 5m or 24h, at most %v, not %s", what, maxLife, kindOf(n))
		return 0
	}
	return v
}

// maxLife bounds every time in a rule.
const maxLife = 30 * 24 * time.Hour

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "nothing"
		}
		return strconv.Quote(n.Value[:min(len(n.Value), 40)])
	}
	return "an alias"
}

// suggest names the word that was probably meant.
func suggest(got string, words []string) string {
	best, distance := "", 3
	for _, w := range words {
		if n := editDistance(strings.ToLower(got), strings.ToLower(w)); n < distance && n < len(w) {
			best, distance = w, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (%q?)", best)
}

// editDistance counts the single-letter edits from a to b (Levenshtein).
func editDistance(a, b string) int {
	if len(a) > 40 || len(b) > 40 {
		return 40
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
