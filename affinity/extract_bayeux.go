package affinity

import "bytes"

// bayeuxMessage is what matters of one Bayeux message, raw JSON values all.
type bayeuxMessage struct {
	channel, clientID, id, successful, err []byte
}

// bayeuxScan goes through messages: an array of objects, or one object alone.
// A scan with a callback would be shorter, but moves its caller's buffers to
// the heap.
type bayeuxScan struct {
	b   []byte
	i   int
	st  found  // partial while there may be more
	raw []byte // the message, as far as it goes
	cut bool   // it goes on
}

func scanBayeux(b []byte) bayeuxScan { return bayeuxScan{b: b, i: -1} }

// next finds the next message, or else st says why there is none.
func (s *bayeuxScan) next() bool {
	if s.st != partial || s.cut {
		return false
	}
	i := skipSpace(s.b, max(s.i, 0))
	if i == len(s.b) {
		return false
	}
	alone := s.i < 0 && s.b[i] == '{'
	switch {
	case alone:
	case s.b[i] == ']' && s.i > 0:
		s.st = whole
		return false
	case s.b[i] != '[' && s.i < 0 || s.b[i] != ',' && s.i > 0:
		s.st = broken
		return false
	default:
		empty := s.b[i] == '['
		if i = skipSpace(s.b, i+1); i == len(s.b) {
			return false
		}
		if s.b[i] == ']' && empty {
			s.st = whole
			return false
		}
		if s.b[i] != '{' {
			s.st = broken
			return false
		}
	}
	end, st := jsonNestEnd(s.b, i)
	if st == broken || alone && st == whole {
		s.st = st
	}
	s.raw, s.cut, s.i = s.b[i:end], st == partial, end
	return st != broken
}

func (m *bayeuxMessage) read(raw []byte) {
	m.channel, _ = jsonField(raw, "channel")
	m.clientID, _ = jsonField(raw, "clientId")
	m.id, _ = jsonField(raw, "id")
	m.successful, _ = jsonField(raw, "successful")
	m.err, _ = jsonField(raw, "error")
}

// rawIs compares a raw JSON string with a plain text. Bayeux channel names may
// have their slashes escaped.
func rawIs(raw []byte, text string) bool {
	return len(raw) > 1 && raw[0] == '"' && jsonKeyIs(raw, text)
}

// bayeuxRequest finds the client id in the messages of a request, that of the
// first message that has one; it is certain once that message is whole, since
// the last of equal names counts. handshake says that there is none because the
// request asks for one.
func bayeuxRequest(b []byte) (clientID []byte, handshake bool, st found) {
	s := scanBayeux(b)
	for s.next() {
		if v, st := jsonField(s.raw, "clientId"); v != nil && v[0] == '"' {
			return v, false, st
		}
		if v, _ := jsonField(s.raw, "channel"); rawIs(v, "/meta/handshake") {
			handshake = true
		}
	}
	return nil, handshake, s.st
}

// bayeuxAnswer returns the message of an answer that grants a handshake.
func bayeuxAnswer(b []byte) (message []byte, st found) {
	s := scanBayeux(b)
	for s.next() {
		if v, _ := jsonField(s.raw, "channel"); rawIs(v, "/meta/handshake") {
			if s.cut {
				return s.raw, partial
			}
			return s.raw, whole
		}
	}
	return nil, s.st
}

// bayeuxCloses reports whether a request or an answer ends a session: it
// disconnects, or says that the backend does not know the client.
func bayeuxCloses(b []byte, answer bool) bool {
	s := scanBayeux(b)
	for s.next() && !s.cut {
		var m bayeuxMessage
		m.read(s.raw)
		switch {
		case rawIs(m.channel, "/meta/disconnect"):
			if !answer || string(m.successful) == "true" {
				return true
			}
		case answer && string(m.successful) == "false":
			if bytes.HasPrefix(m.err, []byte(`"401:`)) || bytes.HasPrefix(m.err, []byte(`"402:`)) {
				return true
			}
		}
	}
	return false
}
