package affinity

import (
	"fmt"
	"strings"
)

// Explanation is why a request matches what it does.
type Explanation struct {
	Matched bool
	Match   Match
	Request string   // name of the kind of request within the rule
	KeyFrom string   // where the key is: "query sid", "header Mcp-Session-Id"
	Why     []string // the conditions that held, one line each
	Missed  []Miss   // what was tried before, if it came near
}

// Miss is a kind of request that was tried in vain.
type Miss struct {
	Rule, Request string
	Why           string // the condition that did not hold
}

// Explain tells what Match would say of a request, and why. Where the key is in
// the body, it can only say so.
func (rs *Rules) Explain(r Request) Explanation {
	var e Explanation
	var sc scan
	sc.init(r, rs)
	for i := range rs.steps {
		st := &rs.steps[i]
		near := st.need&sc.present != 0 // has something of what is asked for
		if st.methods&sc.method == 0 {
			if near {
				e.miss(st, "method "+string(r.Method()))
			}
			continue
		}
		if failing := firstFailing(st.checks, &sc); failing != nil {
			near = near || failing != &st.checks[0] || failing.kind != checkPath && failing.kind != checkQuery
			if near {
				e.miss(st, "not "+failing.String())
			}
			continue
		}
		if !st.match(&sc, &e.Match) {
			e.miss(st, "no id in "+st.places())
			continue
		}
		e.Matched = true
		e.Request = st.name
		e.KeyFrom = st.keyFrom(&sc)
		e.Why = st.about
		if e.Match.Ambiguous {
			e.Why = append(e.Why[:len(e.Why):len(e.Why)],
				"a query parameter is there twice with different values: any backend")
		}
		return e
	}
	e.Match = Match{}
	return e
}

func (e *Explanation) miss(st *step, why string) {
	e.Missed = append(e.Missed, Miss{Rule: st.rule.Name, Request: st.name, Why: why})
}

// places names all places of the step's key.
func (st *step) places() string {
	names := make([]string, len(st.keys))
	for i := range st.keys {
		names[i] = st.keys[i].String()
	}
	return strings.Join(names, " or ")
}

// keyFrom names the place where the key of a request that matched is.
func (st *step) keyFrom(sc *scan) string {
	for i := range st.keys {
		k := &st.keys[i]
		if _, ok := k.key(sc, st.rule); ok || k.from == fromBody || k.in != "" {
			return k.String()
		}
	}
	if st.steer != nil {
		return st.steer.String()
	}
	return ""
}

// String tells the whole in some lines of text.
func (e *Explanation) String() string {
	var b strings.Builder
	if !e.Matched {
		b.WriteString("no rule: any backend\n")
	} else {
		m := &e.Match
		fmt.Fprintf(&b, "rule %s, %s: %v over %v\n", m.Rule.Name, e.Request, m.Phase, m.Transport)
		switch {
		case m.HasKey:
			fmt.Fprintf(&b, "key %v from %s\n", m.Key, e.KeyFrom)
		case e.KeyFrom != "" && m.NeedBody > 0:
			fmt.Fprintf(&b, "key from %s\n", e.KeyFrom)
		}
		for _, why := range e.Why {
			fmt.Fprintf(&b, "because %s\n", why)
		}
	}
	for _, miss := range e.Missed {
		fmt.Fprintf(&b, "not rule %s, %s: %s\n", miss.Rule, miss.Request, miss.Why)
	}
	return b.String()
}

// describe says what the condition asks for, a line for each part.
func (c *condSpec) describe() (lines []string) {
	if len(c.methods) > 0 {
		lines = append(lines, "method "+strings.Join(c.methods, " or "))
	}
	if len(c.paths) > 0 {
		lines = append(lines, "path "+strings.Join(c.paths, " or "))
	}
	if len(c.hosts) > 0 {
		lines = append(lines, "host "+strings.Join(c.hosts, " or "))
	}
	for _, f := range c.query {
		lines = append(lines, "query "+f.String())
	}
	for _, f := range c.header {
		lines = append(lines, "header "+f.String())
	}
	if c.upgrade != nil {
		lines = append(lines, upgradeText(*c.upgrade))
	}
	if len(c.any) > 0 {
		var parts []string
		for i := range c.any {
			parts = append(parts, strings.Join(c.any[i].describe(), " and "))
		}
		lines = append(lines, strings.Join(parts, ", or "))
	}
	return lines
}

func upgradeText(want bool) string {
	if want {
		return "an upgrade"
	}
	return "no upgrade"
}

// String says what the field must be.
func (f fieldSpec) String() string {
	parts := make([]string, len(f.alts))
	for i, a := range f.alts {
		parts[i] = a.String()
	}
	return f.name + " " + strings.Join(parts, " or ")
}

func (a alternative) String() string {
	switch a.op {
	case opPresent:
		return "there"
	case opAbsent:
		return "not there"
	case opContains:
		return fmt.Sprintf("with %q", a.text)
	case opAtLeast:
		return fmt.Sprintf("at least %q", a.text)
	}
	return fmt.Sprintf("%q", a.text)
}

// String says what the check asks for.
func (c *check) String() string {
	spec := condSpec{}
	switch c.kind {
	case checkPath:
		spec.paths = c.texts()
	case checkQuery:
		spec.query = []fieldSpec{{c.name, c.alts}}
	case checkHost:
		spec.hosts = c.hosts
	case checkUpgrade:
		spec.upgrade = &c.want
	case checkHeader:
		spec.header = []fieldSpec{{c.name, c.alts}}
	case checkAny:
		var parts []string
		for _, checks := range c.any {
			for i := range checks {
				parts = append(parts, checks[i].String())
			}
		}
		return strings.Join(parts, " or ")
	}
	return strings.Join(spec.describe(), " and ")
}
