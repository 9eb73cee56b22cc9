package config

import (
	"go.yaml.in/yaml/v3"
)

// ruleSection is a section of a permission file.
type ruleSection struct {
	name    string
	actions []string
	later   bool // files of the 1.x line do not have it
}

var rules = []ruleSection{
	{name: "record", actions: []string{"create", "read", "write", "delete", "listen", "notify"}},
	{name: "event", actions: []string{"publish", "subscribe", "listen"}},
	{name: "rpc", actions: []string{"provide", "request"}},
	{name: "presence", actions: []string{"allow"}, later: true},
}

// readPermission reads permission. Rules are not carried out yet, so a file that
// has any that could forbid something is refused; that of the original, which
// allows everything, is taken.
func readPermission(top *section) {
	if top.r.options.DisablePermissions {
		top.skip("permission")
		return
	}
	p := top.plugin("permission")
	switch {
	case p == nil && top.given("permission"):
		top.fail("permission", "must not be without a value: to allow everything, write the type none")
	case p == nil:
	case p.is("permission", "none"):
		p.options.skip("maxRuleIterations", "cacheEvacuationInterval", "permissions", "path")
		p.options.close()
	case p.is("permission", "config"):
		readRules(p)
	default:
		p.refuse("must be none or config: there is no permission handler %q", p.kind)
	}
}

func readRules(p *plugin) {
	s := p.options
	if s == nil {
		p.refuse("config needs the option permissions")
		return
	}
	n := 0
	s.number("maxRuleIterations", &n, 1, 1<<30)
	s.number("cacheEvacuationInterval", &n, 1, maxMillis)
	file := s.sub("permissions")
	var path string
	if file == nil && s.text("path", &path) {
		root, err := s.r.open(s.r.path(path))
		if err != nil {
			s.fail("path", "cannot be read: %v", err)
			return
		}
		file = s.r.section(value{s.r.path(path), root}, "permissions")
	} else {
		s.skip("path")
	}
	s.close()
	if file == nil {
		if len(s.r.errs) == 0 {
			p.refuse("config needs the option permissions")
		}
		return
	}
	for _, section := range rules {
		section.read(file)
	}
	file.close()
}

func (rs ruleSection) read(file *section) {
	patterns := file.sub(rs.name)
	if patterns == nil {
		if !rs.later {
			file.lacks("section "+rs.name, "")
		}
		return
	}
	for _, pattern := range patterns.keys {
		p := patterns.sub(pattern)
		for _, action := range rs.actions {
			v, ok := p.take(action)
			if ok && (v.node.Kind != yaml.ScalarNode || v.node.Value != "true") {
				p.fail(action, "is not true, %s", everything)
			}
			// What no rule allows is forbidden; a file of the 1.x line knows
			// nothing of notify.
			if !ok && pattern == "*" && action != "notify" {
				patterns.lacks(action, pattern)
			}
		}
		p.close()
	}
	if !patterns.given("*") {
		patterns.lacks(`"*"`, "")
	}
	patterns.close()
}

const everything = "and rules cannot be carried out yet; " +
	"write permission type none, or start with --disable-permissions, to allow everything"

// lacks reports something that is not allowed because it is not there.
func (s *section) lacks(what, under string) {
	line := s.at.node.Line
	if under != "" {
		line, under = s.line[under], "."+under
	}
	s.r.fail(s.at.file, line, "%s%s has no %s, which forbids it, %s", nameOf(s.path), under, what, everything)
}
