package proxy

import (
	"fmt"

	"github.com/dsproxy/dsproxy/affinity"
)

// ruleSets are the rules in the order they are asked.
type ruleSets []*affinity.Rules

// match asks one set after the other: the operator's rules and the built-in
// ones first, then the operator's fallback.
func (rs ruleSets) match(r affinity.Request) (affinity.Match, bool) {
	for _, set := range rs {
		if m, ok := set.Match(r); ok {
			return m, true
		}
	}
	return affinity.Match{}, false
}

// compileRules compiles the rules of a configuration.
func compileRules(c Affinity) (ruleSets, error) {
	user, err := c.Rules.ruleList("affinity.rules")
	if err != nil {
		return nil, err
	}
	fallback, err := c.Fallback.ruleList("affinity.fallback")
	if err != nil {
		return nil, err
	}
	main, err := affinity.Compile(c.Builtin, user)
	if err != nil {
		return nil, fmt.Errorf("affinity: %w", err)
	}
	if len(fallback) == 0 {
		return ruleSets{main}, nil
	}
	last, err := affinity.Compile([]string{}, fallback)
	if err != nil {
		return nil, fmt.Errorf("affinity.fallback: %w", err)
	}
	return ruleSets{main, last}, nil
}

func (r RawYAML) ruleList(key string) (list affinity.RuleList, err error) {
	if r.IsZero() {
		return nil, nil
	}
	if err := r.Node.Decode(&list); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return list, nil
}
