package affinity

import (
	"bytes"
	"slices"
	"strings"
)

// scan is what is known of one request while rules are tried on it. It lives on
// the stack of Match.
type scan struct {
	r      Request
	names  *nameSet
	path   []byte
	tail   uint64 // the bit of its last segment in Rules.tails
	query  []byte
	method uint16 // one bit of methodNames, or otherMethod

	present uint64 // names there, with a value, in the query
	clash   uint64 // names there more than once, with different values
	n       int
	index   [maxParams]uint8 // of the first n names found
	values  [maxParams][]byte

	upgrade int8   // 0: not looked yet
	id      []byte // the segment at {id} of the last path that matched

	tried, held uint64 // path checks that were tried before, and held
}

// maxParams is how many parameters keep their place while scanning, more than
// the built-in rules know; those beyond are looked up again.
const maxParams = 24

const otherMethod = 1 << 15

// nameSet gives up to 64 names a bit each: the query parameters that the rules
// ask for, or the segments that their paths end with.
type nameSet struct {
	names []string
	byLen [maxFieldName + 1][]uint8
}

// maxNames is how many bits there are.
const maxNames = 64

// add returns the index of a name.
func (q *nameSet) add(name string) (index uint8, ok bool) {
	if i := slices.Index(q.names, name); i >= 0 {
		return uint8(i), true
	}
	if len(q.names) == maxNames || len(name) > maxFieldName {
		return 0, false
	}
	index = uint8(len(q.names))
	q.names = append(q.names, name)
	q.byLen[len(name)] = append(q.byLen[len(name)], index)
	return index, true
}

// find returns the index of a name.
func (q *nameSet) find(raw []byte) (index uint8, ok bool) {
	if len(raw) <= maxFieldName {
		for _, i := range q.byLen[len(raw)] {
			if string(raw) == q.names[i] {
				return i, true
			}
		}
	}
	return 0, false
}

// findEscaped returns the index of a name as it stands in a query.
func (q *nameSet) findEscaped(raw []byte) (index uint8, ok bool) {
	if index, ok := q.find(raw); ok {
		return index, true
	}
	if bytes.IndexByte(raw, '%') >= 0 {
		for i, name := range q.names {
			if equalDecoded(raw, name) {
				return uint8(i), true
			}
		}
	}
	return 0, false
}

func (sc *scan) init(r Request, rs *Rules) {
	sc.r, sc.names = r, &rs.names
	sc.path, sc.query = r.Path(), r.Query()
	if index, ok := rs.tails.find(lastSegment(sc.path)); ok {
		sc.tail = 1 << index
	}
	sc.method = methodBit(r.Method())
	if len(sc.query) > 0 {
		sc.scanQuery()
	}
}

func methodBit(method []byte) uint16 {
	for i, name := range methodNames {
		if string(method) == name {
			return 1 << i
		}
	}
	return otherMethod
}

func (sc *scan) scanQuery() {
	var seen uint64
	for q := sc.query; len(q) > 0; {
		pair := q
		if i := bytes.IndexByte(q, '&'); i >= 0 {
			pair, q = q[:i], q[i+1:]
		} else {
			q = nil
		}
		i := bytes.IndexByte(pair, '=')
		if i < 0 {
			i = len(pair)
		}
		index, ok := sc.names.findEscaped(pair[:i])
		if !ok {
			continue
		}
		value := pair[min(i+1, len(pair)):]
		bit := uint64(1) << index
		switch {
		case seen&bit != 0:
			if first, ok := sc.scanned(index); !ok || !bytes.Equal(first, value) {
				sc.clash |= bit
				sc.present |= bit
			}
		default:
			seen |= bit
			if len(value) > 0 {
				sc.present |= bit
			}
			if sc.n < maxParams {
				sc.index[sc.n], sc.values[sc.n] = index, value
				sc.n++
			}
		}
	}
}

// value returns the first value of a parameter as it was sent.
func (sc *scan) value(index uint8) []byte {
	if sc.present>>index&1 == 0 {
		return nil
	}
	value, ok := sc.scanned(index)
	if !ok {
		value, _ = formField(sc.query, sc.names.names[index])
	}
	return value
}

// scanned returns the first value of a parameter if it kept its place.
func (sc *scan) scanned(index uint8) ([]byte, bool) {
	for i, have := range sc.index[:sc.n] {
		if have == index {
			return sc.values[i], true
		}
	}
	return nil, false
}

// isUpgrade reports whether the request asks for a WebSocket. Java's client
// offers h2c with ordinary requests, which is no more than an offer.
func (sc *scan) isUpgrade() bool {
	if sc.upgrade == 0 {
		sc.upgrade = -1
		if sc.method == 1<<0 { // GET
			if v, ok := sc.r.Header("Upgrade"); ok && containsFold(v, "websocket") {
				sc.upgrade = 1
			}
		}
	}
	return sc.upgrade > 0
}

// containsFold reports whether s has the lower-case text somewhere, ignoring
// ASCII case.
func containsFold(s []byte, text string) bool {
	for i := 0; i+len(text) <= len(s); i++ {
		if equalFold(s[i:i+len(text)], text) {
			return true
		}
	}
	return false
}

func equalFold(s []byte, lower string) bool {
	for i, c := range s {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// hostMatches compares a Host header, its port left off, with a lower-case name
// whose first label may be a star.
func hostMatches(host []byte, pattern string) bool {
	if i := bytes.LastIndexByte(host, ':'); i >= 0 && bytes.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
		n := len(host) - len(suffix)
		return n > 0 && bytes.IndexByte(host[:n], '.') < 0 && equalFold(host[n:], suffix)
	}
	return len(host) == len(pattern) && equalFold(host, pattern)
}
