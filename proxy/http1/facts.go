package http1

import "bytes"

// facts are what the fields say about framing and connection.
type facts struct {
	host                     []byte
	upgrade                  []byte
	length                   int64
	lines                    int
	hosts, lengths, upgrades int
	coded                    bool // Transfer-Encoding seen
	coding                   *Error
	close, keepAlive         bool
	upgrading                bool // Connection: upgrade
	named                    int  // other tokens of Connection
	continues                bool
	response                 bool // Host and Expect mean nothing
}

// note takes in what a well-known field means for the message.
func (s *facts) note(f *Field) *Error {
	switch f.Kind {
	case KindConnection:
		return s.connection(f.Value)
	case KindContentLength:
		if s.lengths++; s.lengths > 1 || s.coded {
			return fail(400, CauseFraming)
		}
		n, ok := parseLength(f.Value)
		if !ok {
			return fail(400, CauseContentLength)
		}
		s.length = n
	case KindTransferEncoding:
		if s.coded || s.lengths > 0 {
			return fail(400, CauseFraming)
		}
		s.coded = true
		s.coding = checkCoding(f.Value)
	case KindHost:
		if s.response {
			break
		}
		if s.hosts++; s.hosts > 1 {
			return fail(400, CauseHost)
		}
		s.host = f.Value
	case KindUpgrade:
		if s.upgrades++; s.upgrades > 1 || !validProtocols(f.Value) {
			return fail(400, CauseUpgrade)
		}
		s.upgrade = f.Value
	case KindExpect:
		if !s.response && !equalFold(f.Value, "100-continue") {
			return fail(417, CauseExpect)
		}
		s.continues = true
	case kindConfusable:
		return fail(400, CauseFraming)
	}
	return nil
}

// maxNamed bounds the work of marking the fields that Connection lists.
const maxNamed = 32

func (s *facts) connection(list []byte) *Error {
	for len(list) > 0 {
		var t []byte
		t, list = nextElement(list)
		switch {
		case len(t) == 0:
		case equalFold(t, "keep-alive"):
			s.keepAlive = true
		case equalFold(t, "close"):
			s.close = true
		case equalFold(t, "upgrade"):
			s.upgrading = true
		case !ValidName(t):
			return fail(400, CauseConnection)
		default:
			if s.named++; s.named > maxNamed {
				return fail(400, CauseConnection)
			}
		}
	}
	return nil
}

// markNamed sets Named on the fields that Connection lists. The tokens that
// have a meaning of their own are hop-by-hop by Kind already.
func (s *facts) markNamed(fields []Field) {
	if s.named == 0 {
		return
	}
	for i := range fields {
		if fields[i].Kind != KindConnection {
			continue
		}
		for list := fields[i].Value; len(list) > 0; {
			var t []byte
			t, list = nextElement(list)
			for j := range fields {
				if bytes.EqualFold(fields[j].Name, t) {
					fields[j].Named = true
				}
			}
		}
	}
}

// persistent applies RFC 9112 section 9.3.
func (s *facts) persistent(minor int) bool {
	return !s.close && (minor == 1 || s.keepAlive)
}

// parseLength reads 1*DIGIT up to 2^63-1. Leading zeros have one meaning only
// and occur in practice, up to a width of 19.
func parseLength(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	var u uint64
	for _, d := range b {
		if d < '0' || d > '9' {
			return 0, false
		}
		u = u*10 + uint64(d-'0')
	}
	return int64(u), u <= 1<<63-1
}

// checkCoding accepts "chunked" alone. A list that ends in it names a coding
// that we do not have; anything else leaves the end of the body unknown.
func checkCoding(v []byte) *Error {
	if equalFold(v, "chunked") {
		return nil
	}
	for rest := v; ; {
		var t []byte
		t, rest = nextElement(rest)
		if len(rest) == 0 {
			if equalFold(t, "chunked") && v[len(v)-1] != ',' {
				return fail(501, CauseCoding)
			}
			break
		}
		if !ValidName(t) || equalFold(t, "chunked") || equalFold(t, "identity") {
			break
		}
	}
	return fail(400, CauseCoding)
}

// validProtocols checks a list of protocol names with optional versions.
func validProtocols(v []byte) bool {
	if len(v) == 0 {
		return false
	}
	for len(v) > 0 {
		var t []byte
		t, v = nextElement(v)
		if name, version, ok := bytes.Cut(t, []byte{'/'}); !ValidName(name) || ok && !ValidName(version) {
			return false
		}
	}
	return true
}
