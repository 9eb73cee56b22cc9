package affinity

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

var methodNames = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT"}

// maxAny bounds how deep any may stand within any.
const maxAny = 3

// condition reads a when.
func (d *decoder) condition(n *yaml.Node, what string, depth int) condSpec {
	c := condSpec{line: n.Line}
	d.object(n, what,
		field{"method", func(n *yaml.Node) {
			d.list(n, "method", len(methodNames), func(n *yaml.Node) {
				c.methods = append(c.methods, d.oneOf(n, "method", methodNames...))
			})
		}},
		field{"path", func(n *yaml.Node) {
			d.list(n, "path", maxEntries, func(n *yaml.Node) {
				s := d.text(n, "path", maxText)
				if _, err := compilePath(s); err != nil && s != "" {
					d.failf(n.Line, "path %q: %v", s, err)
				}
				c.paths = append(c.paths, s)
			})
		}},
		field{"host", func(n *yaml.Node) {
			d.list(n, "host", maxEntries, func(n *yaml.Node) {
				s := d.text(n, "host", maxText)
				if strings.Contains(strings.TrimPrefix(s, "*."), "*") {
					d.failf(n.Line, `host %q: a star can only stand for the first label, as in "*.example.com"`, s)
				}
				c.hosts = append(c.hosts, strings.ToLower(s))
			})
		}},
		field{"query", func(n *yaml.Node) { c.query = d.fieldSpecs(n, "query") }},
		field{"header", func(n *yaml.Node) { c.header = d.fieldSpecs(n, "header") }},
		field{"upgrade", func(n *yaml.Node) { v := d.boolean(n, "upgrade"); c.upgrade = &v }},
		field{"any", func(n *yaml.Node) {
			if n.Kind != yaml.SequenceNode {
				d.failf(n.Line, "any must be a list of conditions, not %s", kindOf(n))
				return
			}
			if depth == maxAny {
				d.failf(n.Line, "any can stand at most %d deep", maxAny)
				return
			}
			d.list(n, "any", maxEntries, func(n *yaml.Node) { c.any = append(c.any, d.condition(n, "any", depth+1)) })
		}},
	)
	return c
}

// fieldSpecs reads what query parameters or headers may be.
func (d *decoder) fieldSpecs(n *yaml.Node, what string) (specs []fieldSpec) {
	d.pairs(n, what, func(key, value *yaml.Node) {
		f := fieldSpec{name: d.text(key, "a name in "+what, maxFieldName)}
		d.list(value, what+" "+key.Value, maxEntries, func(n *yaml.Node) {
			f.alts = append(f.alts, d.alternative(n, what))
		})
		specs = append(specs, f)
	})
	if len(specs) > maxEntries {
		d.failf(n.Line, "%s can have at most %d names", what, maxEntries)
		return nil
	}
	return specs
}

func (d *decoder) alternative(n *yaml.Node, what string) alternative {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!bool" {
		if d.boolean(n, what) {
			return alternative{op: opPresent}
		}
		return alternative{op: opAbsent}
	}
	s := d.text(n, what+", which is true (there), false (not there) or a value,", maxText)
	if what == "query" {
		return alternative{opEqual, s}
	}
	if text, ok := strings.CutPrefix(s, ">="); ok {
		return alternative{opAtLeast, text}
	}
	if text, ok := strings.CutPrefix(s, "="); ok {
		return alternative{opEqual, text}
	}
	return alternative{opContains, strings.ToLower(s)}
}

// key reads one place where a key can be.
func (d *decoder) key(n *yaml.Node) keySpec {
	k := keySpec{line: n.Line}
	sources := 0
	source := func(from keySource, read func(n *yaml.Node)) field {
		return field{keySourceNames[from], func(n *yaml.Node) {
			sources++
			k.from = from
			read(n)
		}}
	}
	named := func(n *yaml.Node) { k.name = d.text(n, "the name of a key", maxFieldName) }
	flag := func(n *yaml.Node) {
		if !d.boolean(n, "the source of a key") {
			d.failf(n.Line, "a source of a key cannot be false; leave it out")
		}
	}
	d.object(n, "key",
		source(fromQuery, named),
		source(fromHeader, named),
		source(fromCookie, named),
		source(fromPath, flag),
		source(fromAddress, flag),
		source(fromClient, flag),
		source(fromBody, func(n *yaml.Node) { k.in = d.oneOf(n, "body", "json", "form", "bayeux") }),
		field{"field", func(n *yaml.Node) { k.name = d.text(n, "field", maxFieldName) }},
		field{"in", func(n *yaml.Node) { k.in = d.oneOf(n, "in", "bayeux") }},
		field{"chars", func(n *yaml.Node) { k.chars = d.oneOf(n, "chars", "any", "base64", "hex", "token") }},
		field{"min", func(n *yaml.Node) { k.min = d.number(n, "min", 1, MaxID) }},
	)
	if n.Kind != yaml.MappingNode {
		return k
	}
	if sources != 1 {
		d.failf(n.Line, "key needs exactly one of: %s", strings.Join(keySourceNames[:], ", "))
	}
	if needs := k.in == "json" || k.in == "form"; needs != (k.name != "") && k.from == fromBody {
		d.failf(n.Line, "key: body json and form need a field; bayeux has none")
	}
	return k
}
