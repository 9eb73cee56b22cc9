package affinity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// gate is what most requests fail at a step. It stands apart from the step so
// that trying a request on all of them touches little memory.
type gate struct {
	need, deny uint64 // bits of query names that must be there, must not be
	tails      uint64 // bits of last segments, one of which must be there; 0: any
	methods    uint16
}

// opens reports whether a step is worth a closer look.
func (g *gate) opens(sc *scan) bool {
	return g.need&^sc.present == 0 && g.deny&sc.present == 0 && g.methods&sc.method != 0 &&
		(g.tails == 0 || g.tails&sc.tail != 0)
}

// step is one kind of request within a rule, compiled. The conditions of the
// rule are part of it.
type step struct {
	gate
	checks []check

	rule     *Rule
	name     string
	uses     uint64 // bits of all query names the rule looks at in this request
	keys     []keyPlace
	steer    *keyPlace
	learn    *learner
	ends     endings
	lost     *lostForm
	template Match // what does not depend on the request
	about    []string
}

// errTooManyNames is of all rules together rather than one of them.
var errTooManyNames = fmt.Errorf("all rules together look at more than %d query parameters", maxNames)

// add compiles a rule and puts it at the end.
func (rs *Rules) add(rc *RuleConfig) error {
	spec := rc.ruleSpec
	if spec.like != "" {
		all := builtinList()
		i := all.index(spec.like)
		if i < 0 {
			return lineErrorf(rc.Line, rc.Name, "there is no built-in rule %q to be like%s; there are: %s",
				spec.like, suggest(spec.like, BuiltinNames()), strings.Join(BuiltinNames(), ", "))
		}
		base := all[i].ruleSpec
		spec.requests = base.requests
		spec.life = spec.life.or(base.life)
		if spec.about == "" {
			spec.about = base.about
		}
	}
	r := &Rule{
		Name:      rc.Name,
		About:     spec.about,
		namespace: spec.namespace,
		life:      spec.life.or(lifeSpec{standard: time.Minute, min: 5 * time.Second, max: 24 * time.Hour, margin: 15 * time.Second}),
	}
	if r.namespace == "" {
		r.namespace = r.Name
	}
	r.life.max = max(r.life.max, r.life.min)
	rs.rules = append(rs.rules, r)
	if len(rs.rules) > 2*MaxRules {
		return lineErrorf(rc.Line, rc.Name, "there are too many rules")
	}
	var errs []error
	for i := range spec.requests {
		st, err := rs.compileStep(r, &spec.when, &spec.requests[i])
		if errors.Is(err, errTooManyNames) {
			return err
		}
		if err != nil {
			errs = append(errs, lineErrorf(spec.requests[i].line, rc.Name, "request %q: %w", spec.requests[i].name, err))
			continue
		}
		rs.steps = append(rs.steps, st)
		rs.gates = append(rs.gates, st.gate)
	}
	return errors.Join(errs...)
}

// or fills what is not given.
func (l lifeSpec) or(other lifeSpec) lifeSpec {
	pick := func(a, b time.Duration) time.Duration {
		if a >= 0 {
			return a
		}
		return b
	}
	return lifeSpec{pick(l.standard, other.standard), pick(l.min, other.min), pick(l.max, other.max), pick(l.margin, other.margin)}
}

func (rs *Rules) compileStep(r *Rule, when *condSpec, spec *stepSpec) (st step, err error) {
	st = step{rule: r, name: spec.name, gate: gate{methods: ^uint16(0)}}
	for _, c := range []*condSpec{when, &spec.when} {
		checks, err := rs.compileWhen(&st, c, true)
		if err != nil {
			return st, err
		}
		st.checks = append(st.checks, checks...)
	}
	slices.SortStableFunc(st.checks, func(a, b check) int { return int(a.kind) - int(b.kind) })
	for i := range spec.keys {
		k, err := rs.compileKey(&st, &spec.keys[i])
		if err != nil {
			return st, err
		}
		if (k.from == fromBody || k.in != "") && len(spec.keys) > 1 {
			return st, errors.New("a key in a body or message must be the only one")
		}
		st.keys = append(st.keys, k)
	}
	if len(st.keys) == 1 && st.keys[0].from == fromQuery {
		st.need |= 1 << st.keys[0].index
	}
	if spec.steer != nil {
		k, err := rs.compileKey(&st, spec.steer)
		if err != nil {
			return st, err
		}
		if k.from == fromBody || k.in != "" {
			return st, errors.New("steer cannot look into bodies or messages")
		}
		st.steer = &k
	}
	if st.lost, err = compileLost(spec.lost, rs, &st); err != nil {
		return st, err
	}
	st.learn = compileLearn(spec.learn)
	st.ends = compileEnds(&spec.ends)
	st.about = append(when.describe(), spec.when.describe()...)
	st.template, err = st.makeTemplate(spec)
	return st, err
}

// makeTemplate works out what a match of the step says whatever the request.
func (st *step) makeTemplate(spec *stepSpec) (m Match, err error) {
	hasKey := len(st.keys) > 0
	switch {
	case spec.phase != "":
		m.Phase = Phase(slices.Index(phaseNames[:], spec.phase))
	case hasKey:
		m.Phase = Session
	case st.learn != nil:
		m.Phase = Handshake
	}
	switch m.Phase {
	case Handshake:
		if st.learn == nil || hasKey {
			return m, errors.New("a handshake needs learn, and has no key")
		}
	case Stateless:
		if st.learn != nil || hasKey {
			return m, errors.New("a stateless request has neither key nor learn")
		}
	default:
		if !hasKey {
			return m, fmt.Errorf("the phase %v needs a key", m.Phase)
		}
		if st.learn != nil && m.Phase != Session {
			return m, fmt.Errorf("the phase %v cannot learn", m.Phase)
		}
	}
	bodyForm := hasKey && (st.keys[0].from == fromBody || st.keys[0].in != "")
	if bodyForm && m.Phase != Session {
		return m, errors.New("a key in a body or message needs the phase session")
	}
	if st.steer != nil && m.Phase != Handshake && !bodyForm {
		return m, errors.New("only a handshake can be steered")
	}
	m.Transport = Transport(max(0, slices.Index(transportNames[:], spec.transport)))
	m.Poll = spec.poll
	if !bodyForm {
		m.Learns = st.learn != nil
		m.Identity = m.Phase == Handshake && st.learn.readsBody()
	}
	if st.ends.request != nil {
		m.WatchRequest = WatchLimit
	}
	if st.ends.response != nil {
		m.WatchResponse = WatchLimit
	}
	return m, nil
}

// compileWhen turns a condition into checks. At the top of a step, what query
// and method ask for goes into the step's bits too.
func (rs *Rules) compileWhen(st *step, c *condSpec, top bool) (checks []check, err error) {
	if len(c.methods) > 0 {
		var bits uint16
		for _, m := range c.methods {
			bits |= methodBit([]byte(m))
		}
		if !top {
			return nil, errors.New("method cannot stand within any")
		}
		st.methods &= bits
	}
	if len(c.paths) > 0 {
		k := check{kind: checkPath}
		for _, text := range c.paths {
			p, err := compilePath(text)
			if err != nil {
				return nil, fmt.Errorf("path %q: %w", text, err)
			}
			k.paths = append(k.paths, p)
		}
		rs.indexPaths(st, &k, top)
		checks = append(checks, k)
	}
	for _, f := range c.query {
		index, ok := rs.names.add(f.name)
		if !ok {
			return nil, errTooManyNames
		}
		bit := uint64(1) << index
		st.uses |= bit
		if top {
			switch absent := slices.ContainsFunc(f.alts, func(a alternative) bool { return a.op == opAbsent }); {
			case !absent:
				st.need |= bit
			case len(f.alts) == 1:
				st.deny |= bit
			}
		}
		checks = append(checks, check{kind: checkQuery, index: index, name: f.name, alts: f.alts})
	}
	if len(c.hosts) > 0 {
		checks = append(checks, check{kind: checkHost, hosts: c.hosts})
	}
	if c.upgrade != nil {
		checks = append(checks, check{kind: checkUpgrade, want: *c.upgrade})
	}
	for _, f := range c.header {
		checks = append(checks, check{kind: checkHeader, name: f.name, alts: f.alts})
	}
	if len(c.any) > 0 {
		k := check{kind: checkAny}
		for i := range c.any {
			inner, err := rs.compileWhen(st, &c.any[i], false)
			if err != nil {
				return nil, err
			}
			k.any = append(k.any, inner)
		}
		checks = append(checks, k)
	}
	return checks, nil
}

// indexPaths gives a path check what lets it be answered without trying it: the
// last segments its patterns ask for, and a bit to remember its outcome by.
func (rs *Rules) indexPaths(st *step, k *check, top bool) {
	var tails uint64
	for i := range k.paths {
		index, ok := uint8(0), false
		if tail := k.paths[i].tail; tail != "" {
			index, ok = rs.tails.add(tail)
		}
		if !ok || !top {
			tails = 0
			break
		}
		tails |= 1 << index
	}
	switch {
	case tails == 0:
	case st.tails == 0:
		st.tails = tails
	case st.tails&tails != 0:
		st.tails &= tails
	}
	for i := range k.paths {
		if k.paths[i].hasID() {
			return
		}
	}
	text := strings.Join(k.texts(), "\n")
	index := slices.Index(rs.paths, text)
	if index < 0 && len(rs.paths) < 64 {
		index = len(rs.paths)
		rs.paths = append(rs.paths, text)
	}
	if index >= 0 {
		k.bit = 1 << index
	}
}
