package config

import (
	"go.yaml.in/yaml/v3"
)

// rules are the sections of a permission file and the actions in them.
var rules = map[string][]string{
	"record":   {"create", "read", "write", "delete", "listen", "notify"},
	"event":    {"publish", "subscribe", "listen"},
	"rpc":      {"provide", "request"},
	"presence": {"allow"},
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
	for _, name := range []string{"record", "event", "rpc", "presence"} {
		patterns := file.sub(name)
		if patterns == nil {
			continue
		}
		for _, pattern := range patterns.keys {
			readPattern(patterns.sub(pattern), rules[name])
		}
		patterns.close()
	}
	file.close()
}

func readPattern(s *section, actions []string) {
	for _, action := range actions {
		v, ok := s.take(action)
		if !ok {
			continue
		}
		if v.node.Kind != yaml.ScalarNode || v.node.Value != "true" {
			s.fail(action, "is not true, and rules cannot be carried out yet; "+
				"write permission type none, or start with --disable-permissions, to allow everything")
		}
	}
	s.close()
}
