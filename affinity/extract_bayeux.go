package affinity

import "bytes"

// bayeuxMessage is what matters of one Bayeux message, raw JSON values all.
type bayeuxMessage struct {
	channel, clientID, id, successful, err []byte
}

// bayeuxMessages reads messages, an array of objects or one object alone, and
// calls each until it returns false. A message that is cut off is given as far
// as it goes, with cut set.
func bayeuxMessages(b []byte, each func(raw []byte, cut bool) bool) found {
	i := skipSpace(b, 0)
	if i == len(b) {
		return partial
	}
	if b[i] == '{' {
		end, st := jsonNestEnd(b, i)
		if st != broken {
			each(b[i:end], st == partial)
		}
		return st
	}
	if b[i] != '[' {
		return broken
	}
	for {
		if i = skipSpace(b, i+1); i == len(b) {
			return partial
		}
		if b[i] == ']' {
			return whole
		}
		if b[i] != '{' {
			return broken
		}
		end, st := jsonNestEnd(b, i)
		if st == broken {
			return broken
		}
		more := each(b[i:end], st == partial)
		if st == partial {
			return partial
		}
		if !more {
			return whole
		}
		if i = skipSpace(b, end); i == len(b) {
			return partial
		}
		if b[i] == ']' {
			return whole
		}
		if b[i] != ',' {
			return broken
		}
	}
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
// first message that has one. handshake says that there is none because the
// request asks for one.
func bayeuxRequest(b []byte) (clientID []byte, handshake bool, st found) {
	st = bayeuxMessages(b, func(raw []byte, cut bool) bool {
		if v, _ := jsonField(raw, "clientId"); v != nil && v[0] == '"' {
			clientID = v
			return false
		}
		if v, _ := jsonField(raw, "channel"); rawIs(v, "/meta/handshake") {
			handshake = true
		}
		return true
	})
	return clientID, handshake, st
}

// bayeuxAnswer returns the message of an answer that grants a handshake.
func bayeuxAnswer(b []byte) (message []byte, st found) {
	st = bayeuxMessages(b, func(raw []byte, cut bool) bool {
		if v, _ := jsonField(raw, "channel"); rawIs(v, "/meta/handshake") {
			message = raw
		}
		return message == nil
	})
	return message, st
}

// bayeuxCloses reports whether a request or an answer ends a session: it
// disconnects, or says that the backend does not know the client.
func bayeuxCloses(b []byte, answer bool) (closes bool) {
	bayeuxMessages(b, func(raw []byte, cut bool) bool {
		if cut {
			return false
		}
		var m bayeuxMessage
		m.read(raw)
		switch {
		case rawIs(m.channel, "/meta/disconnect"):
			closes = !answer || string(m.successful) == "true"
		case answer && string(m.successful) == "false":
			closes = bytes.HasPrefix(m.err, []byte(`"401:`)) || bytes.HasPrefix(m.err, []byte(`"402:`))
		}
		return !closes
	})
	return closes
}
