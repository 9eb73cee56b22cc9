package affinity

import "bytes"

// check is one condition of a when, compiled.
type check struct {
	kind  checkKind
	index uint8  // of the query name
	name  string // of the parameter or header
	alts  []alternative
	paths []pathPattern
	bit   uint64 // remembers the outcome of paths in the scan; 0: does not
	hosts []string
	want  bool
	any   [][]check
}

type checkKind uint8

// In the order in which they are tried, the cheap ones first.
const (
	checkPath checkKind = iota
	checkQuery
	checkHost
	checkUpgrade
	checkHeader
	checkAny
)

// firstFailing returns the first check that does not hold, or nil.
func firstFailing(checks []check, sc *scan) *check {
	for i := range checks {
		if !checks[i].holds(sc) {
			return &checks[i]
		}
	}
	return nil
}

func (c *check) holds(sc *scan) bool {
	switch c.kind {
	case checkPath:
		if sc.tried&c.bit == 0 {
			sc.tried |= c.bit
			if c.pathHolds(sc) {
				sc.held |= c.bit
				return true
			}
			return false
		}
		return sc.held&c.bit != 0
	case checkQuery:
		value := sc.value(c.index)
		for i := range c.alts {
			switch a := &c.alts[i]; a.op {
			case opPresent:
				if len(value) > 0 {
					return true
				}
			case opAbsent:
				if len(value) == 0 {
					return true
				}
			default:
				if equalDecoded(value, a.text) {
					return true
				}
			}
		}
	case checkHost:
		host := sc.r.Host()
		for _, pattern := range c.hosts {
			if hostMatches(host, pattern) {
				return true
			}
		}
	case checkUpgrade:
		return sc.isUpgrade() == c.want
	case checkHeader:
		value, _ := sc.r.Header(c.name)
		for i := range c.alts {
			if c.alts[i].fitsHeader(value) {
				return true
			}
		}
	case checkAny:
		for _, checks := range c.any {
			if firstFailing(checks, sc) == nil {
				return true
			}
		}
	}
	return false
}

func (c *check) pathHolds(sc *scan) bool {
	for i := range c.paths {
		if id, ok := c.paths[i].match(sc.path); ok {
			if id != nil {
				sc.id = id
			}
			return true
		}
	}
	return false
}

// texts returns the path patterns as they were written.
func (c *check) texts() []string {
	texts := make([]string, len(c.paths))
	for i := range c.paths {
		texts[i] = c.paths[i].text
	}
	return texts
}

func (a *alternative) fitsHeader(value []byte) bool {
	switch a.op {
	case opPresent:
		return len(value) > 0
	case opAbsent:
		return len(value) == 0
	case opEqual:
		return string(bytes.TrimSpace(value)) == a.text
	case opAtLeast:
		return string(bytes.TrimSpace(value)) >= a.text
	}
	return containsFold(value, a.text)
}
