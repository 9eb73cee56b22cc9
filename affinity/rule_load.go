package affinity

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// RuleList is what stands under "rules:" in a configuration file. It decodes
// itself strictly: an unknown key is an error that names its line. The error
// joins all that is wrong with the list.
type RuleList []RuleConfig

// MaxRules bounds a RuleList, and the requests of one rule.
const MaxRules = 64

// LoadRules reads a YAML document whose only key is "rules". Its error joins
// all that is wrong, each with its line and what would be right.
func LoadRules(document []byte) (RuleList, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(document, &root); err != nil {
		return nil, err
	}
	if root.Kind == 0 {
		return nil, nil
	}
	var list RuleList
	var d decoder
	d.object(root.Content[0], "the file", field{"rules", func(n *yaml.Node) { list = d.rules(n) }})
	if err := errors.Join(d.errs...); err != nil {
		return nil, err
	}
	return list, nil
}

// UnmarshalYAML reads the list.
func (l *RuleList) UnmarshalYAML(n *yaml.Node) error {
	var d decoder
	list := d.rules(n)
	if err := errors.Join(d.errs...); err != nil {
		return err
	}
	*l = list
	return nil
}

func (d *decoder) rules(n *yaml.Node) (list RuleList) {
	if n.Kind != yaml.SequenceNode {
		d.failf(n.Line, "rules must be a list, not %s", kindOf(n))
		return nil
	}
	if len(n.Content) > MaxRules {
		d.failf(n.Line, "there can be at most %d rules, not %d", MaxRules, len(n.Content))
		return nil
	}
	lines := make(map[string]int)
	for _, n := range n.Content {
		rc := d.readRule(n)
		if line, ok := lines[rc.Name]; ok && rc.Name != "" {
			d.failf(n.Line, "the name is taken by the rule on line %d", line)
		}
		lines[rc.Name] = rc.Line
		list = append(list, rc)
		d.rule = ""
	}
	return list
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)

// name reads the name of a rule or key space.
func (d *decoder) name(n *yaml.Node, what string) string {
	s := d.text(n, what, maxNamespace)
	if s != "" && !nameForm.MatchString(s) {
		d.failf(n.Line, "%s %q must be lower case letters, digits, '.', '-' and '_'", what, s)
		return ""
	}
	return s
}

func (d *decoder) readRule(n *yaml.Node) RuleConfig {
	rc := RuleConfig{Line: n.Line, node: n}
	rc.life = lifeSpec{-1, -1, -1, -1}
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == "name" && n.Content[i+1].Kind == yaml.ScalarNode {
				d.rule = n.Content[i+1].Value // known to messages wherever it stands
			}
		}
	}
	d.object(n, "a rule",
		field{"name", func(n *yaml.Node) { rc.Name = d.name(n, "name") }},
		field{"about", func(n *yaml.Node) { rc.about = d.text(n, "about", maxText) }},
		field{"namespace", func(n *yaml.Node) { rc.namespace = d.name(n, "namespace") }},
		field{"like", func(n *yaml.Node) { rc.like = d.name(n, "like") }},
		field{"life", func(n *yaml.Node) { d.life(n, &rc.life) }},
		field{"when", func(n *yaml.Node) { rc.when = d.condition(n, "when", 0) }},
		field{"requests", func(n *yaml.Node) {
			d.list(n, "requests", MaxRules, func(n *yaml.Node) { rc.requests = append(rc.requests, d.step(n)) })
		}},
	)
	switch {
	case n.Kind != yaml.MappingNode:
	case rc.Name == "" && d.rule == "":
		d.failf(n.Line, "a rule needs a name")
	case rc.like != "" && rc.requests != nil:
		d.failf(n.Line, "a rule has requests of its own or is like another, not both")
	case rc.like != "" && rc.when.empty():
		d.failf(n.Line, "a rule that is like another needs a when of its own, such as when: {path: /chat/**}")
	case rc.like == "" && rc.requests == nil:
		d.failf(n.Line, "a rule needs requests, or like: the name of a built-in rule")
	}
	return rc
}

func (d *decoder) life(n *yaml.Node, l *lifeSpec) {
	d.object(n, "life",
		field{"default", func(n *yaml.Node) { l.standard = d.duration(n, "default") }},
		field{"min", func(n *yaml.Node) { l.min = d.duration(n, "min") }},
		field{"max", func(n *yaml.Node) { l.max = d.duration(n, "max") }},
		field{"margin", func(n *yaml.Node) { l.margin = d.duration(n, "margin") }},
	)
	if l.min > 0 && l.max > 0 && l.min > l.max {
		d.failf(n.Line, "life: min %v is more than max %v", l.min, l.max)
	}
}

func (d *decoder) step(n *yaml.Node) stepSpec {
	s := stepSpec{line: n.Line}
	d.object(n, "a request",
		field{"name", func(n *yaml.Node) { s.name = d.text(n, "name", maxNamespace) }},
		field{"when", func(n *yaml.Node) { s.when = d.condition(n, "when", 0) }},
		field{"phase", func(n *yaml.Node) { s.phase = d.oneOf(n, "phase", phaseNames[:]...) }},
		field{"key", func(n *yaml.Node) {
			d.list(n, "key", maxKeys, func(n *yaml.Node) { s.keys = append(s.keys, d.key(n)) })
		}},
		field{"steer", func(n *yaml.Node) { k := d.key(n); s.steer = &k }},
		field{"transport", func(n *yaml.Node) { s.transport = d.oneOf(n, "transport", transportNames[:]...) }},
		field{"poll", func(n *yaml.Node) { s.poll = d.boolean(n, "poll") }},
		field{"learn", func(n *yaml.Node) { s.learn = d.learn(n) }},
		field{"ends", func(n *yaml.Node) { s.ends = d.ends(n) }},
		field{"lost", func(n *yaml.Node) { s.lost = d.lost(n) }},
	)
	if s.name == "" && n.Kind == yaml.MappingNode {
		d.failf(n.Line, "a request needs a name")
	}
	return s
}

// maxKeys bounds the places where one request may have its key.
const maxKeys = 4

func (d *decoder) learn(n *yaml.Node) *learnSpec {
	l := &learnSpec{line: n.Line, unit: time.Second}
	d.object(n, "learn",
		field{"header", func(n *yaml.Node) { l.header = d.text(n, "header", maxFieldName) }},
		field{"body", func(n *yaml.Node) { l.body = d.oneOf(n, "body", learnForms...) }},
		field{"field", func(n *yaml.Node) { l.fields = d.fieldNames(n, "field") }},
		field{"only", func(n *yaml.Node) {
			d.pairs(n, "only", func(key, value *yaml.Node) {
				l.only = append(l.only, onlySpec{d.text(key, "a field", maxFieldName), d.text(value, "a value", maxText)})
			})
		}},
		field{"life", func(n *yaml.Node) { l.life = d.fieldNames(n, "life") }},
		field{"unit", func(n *yaml.Node) {
			if d.oneOf(n, "unit", "s", "ms") == "ms" {
				l.unit = time.Millisecond
			}
		}},
		field{"status", func(n *yaml.Node) { l.status = d.statuses(n) }},
		field{"type", func(n *yaml.Node) { l.kind = d.text(n, "type", maxFieldName) }},
	)
	if (l.header == "") == (l.body == "") && n.Kind == yaml.MappingNode {
		d.failf(n.Line, "learn needs either header or body")
	}
	fields := append(append([]string(nil), l.fields...), l.life...)
	switch l.body {
	case "json", "bayeux", "engine.io":
		if l.fields == nil {
			d.failf(n.Line, "learn: body %s needs a field", l.body)
		}
	case "text", "browserchannel":
		if len(fields)+len(l.only) > 0 {
			d.failf(n.Line, "learn: body %s has the id at one place; there is no field, only or life", l.body)
		}
	case "parts":
		if len(l.fields) != 1 || len(l.only) > 0 || slices.ContainsFunc(fields, func(s string) bool { return len(s) != 1 || s[0] < '0' || s[0] > '9' }) {
			d.failf(n.Line, "learn: body parts needs one field, a number from 0 to 9; life has such numbers, too")
		}
	}
	if l.header != "" && (l.fields != nil || l.life != nil || l.only != nil) {
		d.failf(n.Line, "learn: field, only and life are about the body, not the header")
	}
	return l
}

func (d *decoder) fieldNames(n *yaml.Node, what string) (names []string) {
	d.list(n, what, maxKeys, func(n *yaml.Node) { names = append(names, d.text(n, what, maxFieldName)) })
	return names
}

func (d *decoder) statuses(n *yaml.Node) (list []int) {
	d.list(n, "status", maxEntries, func(n *yaml.Node) { list = append(list, d.number(n, "status", 100, 599)) })
	return list
}

func (d *decoder) ends(n *yaml.Node) (e endsSpec) {
	d.object(n, "ends",
		field{"always", func(n *yaml.Node) { e.always = d.boolean(n, "always") }},
		field{"request", func(n *yaml.Node) { e.request = d.oneOf(n, "request", endingNames()...) }},
		field{"response", func(n *yaml.Node) { e.response = d.oneOf(n, "response", endingNames()...) }},
		field{"status", func(n *yaml.Node) { e.status = d.statuses(n) }},
	)
	return e
}

func (d *decoder) lost(n *yaml.Node) *lostSpec {
	l := &lostSpec{line: n.Line, status: 200, kind: "text/plain; charset=UTF-8"}
	d.object(n, "lost",
		field{"status", func(n *yaml.Node) { l.status = d.number(n, "status", 200, 599) }},
		field{"type", func(n *yaml.Node) { l.kind = d.headerText(n, "type") }},
		field{"cors", func(n *yaml.Node) { l.cors = d.boolean(n, "cors") }},
		field{"headers", func(n *yaml.Node) {
			d.pairs(n, "headers", func(key, value *yaml.Node) {
				if !tokenForm.MatchString(key.Value) {
					d.failf(key.Line, "headers: %q is no name of a header", key.Value)
				}
				l.headers = append(l.headers, [2]string{key.Value, d.headerText(value, key.Value)})
			})
		}},
		field{"callback", func(n *yaml.Node) { l.callback = d.fieldNames(n, "callback") }},
		field{"body", func(n *yaml.Node) { l.body = d.text(n, "body", maxText) }},
	)
	return l
}

var tokenForm = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// headerText reads a text that is fit for a header.
func (d *decoder) headerText(n *yaml.Node, what string) string {
	s := d.text(n, what, maxText)
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			d.failf(n.Line, "%s must be printable ASCII, being the value of a header", what)
			return ""
		}
	}
	return s
}

// lineErrorf is an error about a line of a configuration.
func lineErrorf(line int, rule, format string, args ...any) error {
	return fmt.Errorf("line %d: rule %q: "+format, append([]any{line, rule}, args...)...)
}
