package affinity

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Rule is one protocol, compiled.
type Rule struct {
	Name  string // metric label: lower case, digits, '.', '-' and '_'
	About string

	namespace string
	life      lifeSpec // nothing left out
}

// ttl is the life of a pin whose protocol says that much, margin included.
func (r *Rule) ttl(learned time.Duration) time.Duration {
	if learned <= 0 {
		learned = r.life.standard
	}
	return min(max(learned, r.life.min), r.life.max) + r.life.margin
}

// Rules is an ordered list of compiled rules; the first that matches wins. It
// never changes.
type Rules struct {
	rules []*Rule
	steps []step   // of all rules, in order
	gates []gate   // of the steps
	names nameSet  // query parameters that the steps look at
	tails nameSet  // last segments that the steps' paths ask for
	paths []string // path checks that more than one step may have
}

//go:embed rules.yaml
var builtinYAML []byte

var builtinList = sync.OnceValue(func() RuleList {
	list, err := LoadRules(builtinYAML)
	if err != nil {
		panic("affinity: rules.yaml: " + err.Error())
	}
	return list
})

var builtinRules = sync.OnceValue(func() *Rules {
	rs, err := Compile(nil, nil)
	if err != nil {
		panic("affinity: rules.yaml: " + err.Error())
	}
	return rs
})

// Builtin returns the built-in rules, all of them.
func Builtin() *Rules { return builtinRules() }

// BuiltinYAML returns the built-in rules as they are written, for a person to
// read.
func BuiltinYAML() []byte { return slices.Clone(builtinYAML) }

// BuiltinNames returns the names that Compile takes.
func BuiltinNames() []string {
	var names []string
	for i := range builtinList() {
		names = append(names, builtinList()[i].Name)
	}
	return names
}

// Compile puts the user's rules before the built-in ones named, which keep
// their order; nil means all, an empty list none. A user's rule takes the place
// of a built-in one of the same name. Its error joins all that is wrong.
func Compile(builtin []string, user RuleList) (*Rules, error) {
	var errs []error
	all := builtinList()
	for _, name := range builtin {
		if all.index(name) < 0 {
			errs = append(errs, fmt.Errorf("there is no built-in rule %q%s; there are: %s",
				name, suggest(name, BuiltinNames()), strings.Join(BuiltinNames(), ", ")))
		}
	}
	rs := &Rules{}
	add := func(rc *RuleConfig) {
		err := rs.add(rc)
		if err == nil || errors.Is(err, errTooManyNames) && len(errs) > 0 && errs[len(errs)-1] == err {
			return
		}
		errs = append(errs, err)
	}
	for i := range user {
		add(&user[i])
	}
	for i := range all {
		if (builtin == nil || slices.Contains(builtin, all[i].Name)) && user.index(all[i].Name) < 0 {
			add(&all[i])
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return rs, nil
}

func (l RuleList) index(name string) int {
	return slices.IndexFunc(l, func(rc RuleConfig) bool { return rc.Name == name })
}

// Names returns the names of the rules in their order, for metrics.
func (rs *Rules) Names() []string {
	names := make([]string, len(rs.rules))
	for i, r := range rs.rules {
		names[i] = r.Name
	}
	return names
}
