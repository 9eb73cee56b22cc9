package affinity

import (
	"bytes"
	"errors"
)

// keyPlace is a place where a request may have its key, compiled.
type keyPlace struct {
	from  keySource
	index uint8  // of the query name
	name  string // of the parameter, header, cookie or field
	in    string
	fits  *[256]bool // bytes an id may have; nil is any
	min   int
}

func (rs *Rules) compileKey(st *step, spec *keySpec) (k keyPlace, err error) {
	k = keyPlace{from: spec.from, name: spec.name, in: spec.in, fits: idAlphabets[spec.chars], min: spec.min}
	switch spec.from {
	case fromQuery:
		var ok bool
		if k.index, ok = rs.names.add(spec.name); !ok {
			return k, errTooManyNames
		}
		st.uses |= 1 << k.index
	case fromPath:
		for i := range st.checks {
			for j := range st.checks[i].paths {
				if st.checks[i].paths[j].hasID() {
					return k, nil
				}
			}
		}
		return k, errors.New("the key is in the path, but no path has {id}")
	}
	if spec.in != "" && spec.from != fromQuery && spec.from != fromBody {
		return k, errors.New("in is for a key in query only")
	}
	return k, nil
}

// idAlphabets are the sets that chars names; "any" and "" are nil.
var idAlphabets = map[string]*[256]bool{
	"hex":    alphabet("0-9a-fA-F"),
	"base64": alphabet("0-9a-zA-Z+/=_-"),
	"token":  alphabet("!-~"),
}

// alphabet reads ranges; a minus at the end stands for itself.
func alphabet(ranges string) *[256]bool {
	var set [256]bool
	for i := 0; i < len(ranges); i++ {
		if i+2 < len(ranges) && ranges[i+1] == '-' {
			for c := int(ranges[i]); c <= int(ranges[i+2]); c++ {
				set[c] = true
			}
			i += 2
			continue
		}
		set[ranges[i]] = true
	}
	return &set
}

// find returns the id at the place, in its canonical spelling.
func (k *keyPlace) find(sc *scan, buf *[MaxID]byte) (id []byte, ok bool) {
	switch k.from {
	case fromQuery:
		id, ok = canonicalID(buf, sc.value(k.index), true)
	case fromHeader:
		value, _ := sc.r.Header(k.name)
		id, ok = canonicalID(buf, bytes.TrimSpace(value), false)
	case fromCookie:
		header, _ := sc.r.Header("Cookie")
		value, _ := cookieValue(header, k.name)
		id, ok = canonicalID(buf, value, false)
	case fromPath:
		id, ok = canonicalID(buf, sc.id, true)
	case fromAddress, fromClient:
		return k.findClient(sc, buf)
	}
	return id, ok && k.suits(id)
}

// findClient makes an id of the client's address and, to tell clients behind
// one address apart, its User-Agent.
func (k *keyPlace) findClient(sc *scan, buf *[MaxID]byte) (id []byte, ok bool) {
	ip := sc.r.RemoteIP()
	if !ip.IsValid() {
		return nil, false
	}
	address := ip.As16()
	n := copy(buf[:], address[:])
	if k.from == fromClient {
		agent, _ := sc.r.Header("User-Agent")
		n += copy(buf[n:], agent)
	}
	return buf[:n], true
}

// suits reports whether an id looks like one of this place.
func (k *keyPlace) suits(id []byte) bool {
	if len(id) < k.min {
		return false
	}
	if k.fits != nil {
		for _, c := range id {
			if !k.fits[c] {
				return false
			}
		}
	}
	return true
}

// String names the place for a person.
func (k *keyPlace) String() string {
	switch k.from {
	case fromQuery, fromHeader, fromCookie:
		if k.in != "" {
			return keySourceNames[k.from] + " " + k.name + ", in the " + k.in + " message"
		}
		return keySourceNames[k.from] + " " + k.name
	case fromBody:
		if k.name != "" {
			return "body, " + k.in + " field " + k.name
		}
		return "body, " + k.in + " message"
	case fromAddress:
		return "client address"
	case fromClient:
		return "client address and User-Agent"
	}
	return keySourceNames[k.from]
}
