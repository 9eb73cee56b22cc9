package affinity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// LostAnswer is an answer of the proxy's own.
type LostAnswer struct {
	Status      int
	ContentType string
	Header      [][2]string // further fields: CORS, caching
	Body        []byte
}

// lostForm is how to answer for a session that is gone, compiled.
type lostForm struct {
	status   int
	kind     string
	cors     bool
	headers  [][2]string
	callback []uint8 // query names, of which the first that is there counts
	rules    *Rules
	body     []lostPart
}

// lostPart is a piece of the body: a text, or what is put in its place.
type lostPart struct {
	text string
	fill lostFill
}

type lostFill uint8

const (
	plainText    lostFill = iota
	callbackName          // ${callback}
	replies               // ${replies}
)

// maxPad bounds ${n*c} in the body of a lost answer.
const maxPad = 8 << 10

func compileLost(spec *lostSpec, rs *Rules, st *step) (*lostForm, error) {
	if spec == nil {
		return nil, nil
	}
	f := &lostForm{status: spec.status, kind: spec.kind, cors: spec.cors, headers: spec.headers, rules: rs}
	for _, name := range spec.callback {
		index, ok := rs.names.add(name)
		if !ok {
			return nil, errTooManyNames
		}
		f.callback = append(f.callback, index)
	}
	for rest := spec.body; rest != ""; {
		text, after, ok := strings.Cut(rest, "${")
		if text != "" {
			f.body = append(f.body, lostPart{text: text})
		}
		if !ok {
			break
		}
		inside, after, ok := strings.Cut(after, "}")
		part, err := compileFill(inside)
		if !ok || err != nil {
			return nil, fmt.Errorf(`lost: ${%s}: there are ${callback}, ${replies} and, to repeat a letter, such as ${2048*h}`, inside)
		}
		if part.fill == callbackName && f.callback == nil {
			return nil, errors.New("lost: ${callback} needs callback: the query parameter that has its name")
		}
		f.body = append(f.body, part)
		rest = after
	}
	return f, nil
}

func compileFill(inside string) (lostPart, error) {
	switch inside {
	case "callback":
		return lostPart{fill: callbackName}, nil
	case "replies":
		return lostPart{fill: replies}, nil
	}
	count, letter, ok := strings.Cut(inside, "*")
	n, err := strconv.Atoi(count)
	if !ok || err != nil || n < 1 || n > maxPad || len(letter) != 1 {
		return lostPart{}, errors.New("unknown")
	}
	return lostPart{text: strings.Repeat(letter, n)}, nil
}

// Lost returns what to tell a client whose session is gone, in the words of its
// protocol. It reports false where a healthy backend had better answer itself:
// that is most protocols, since their servers refuse an unknown session. It
// answers only where a server would do harm: open a ghost session that the
// client takes for its own, or say that a message was delivered. body is what
// was read for KeyFromBody.
func (m *Match) Lost(r Request, body []byte) (LostAnswer, bool) {
	if !m.hasSession() || m.step.lost == nil {
		return LostAnswer{}, false
	}
	f := m.step.lost
	var sc scan
	sc.init(r, f.rules)
	callback, ok := f.callbackName(&sc)
	if !ok {
		return LostAnswer{}, false
	}
	a := LostAnswer{Status: f.status, ContentType: f.kind}
	a.Header = append(a.Header, [2]string{"Cache-Control", "no-store"})
	a.Header = append(a.Header, f.headers...)
	if f.cors {
		a.Header = append(a.Header, corsHeaders(r)...)
	}
	for _, part := range f.body {
		switch part.fill {
		case plainText:
			a.Body = append(a.Body, part.text...)
		case callbackName:
			a.Body = append(a.Body, callback...)
		case replies:
			messages := bayeuxText(body)
			if len(messages) == 0 && len(m.step.keys) > 0 && m.step.keys[0].from == fromQuery {
				raw := sc.value(m.step.keys[0].index)
				messages = decodeForm(make([]byte, 0, len(raw)), raw)
			}
			if a.Body, ok = appendReplies(a.Body, messages); !ok {
				return LostAnswer{}, false
			}
		}
	}
	return a, true
}

// callbackName returns the name of the JSONP function, if the form has one. It
// reports false if it is not fit to be written into a script.
func (f *lostForm) callbackName(sc *scan) ([]byte, bool) {
	for _, index := range f.callback {
		raw := sc.value(index)
		if len(raw) == 0 {
			continue
		}
		name := decodeForm(make([]byte, 0, len(raw)), raw)
		for _, c := range name {
			if !isNameByte(c) && c != '.' && c != '-' {
				return nil, false
			}
		}
		return name, sc.clash>>index&1 == 0 && len(name) <= maxFieldName
	}
	return nil, f.callback == nil
}

// corsHeaders lets the page of another origin read the answer, as the servers
// of these protocols do: the origin is given back. The answer holds no secret.
func corsHeaders(r Request) [][2]string {
	origin, _ := r.Header("Origin")
	if len(origin) == 0 || len(origin) > 255 || bytes.ContainsFunc(origin, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return [][2]string{{"Access-Control-Allow-Origin", "*"}}
	}
	return [][2]string{
		{"Access-Control-Allow-Origin", string(origin)},
		{"Access-Control-Allow-Credentials", "true"},
		{"Vary", "Origin"},
	}
}

// appendReplies answers each Bayeux message as a server does that does not know
// the client, and advises a new handshake. Publishing must not succeed. What is
// given back of the request is valid JSON, since it may end in a script. It
// reports false if there is no whole message to answer.
func appendReplies(dst, messages []byte) ([]byte, bool) {
	dst = append(dst, '[')
	n := 0
	for s := scanBayeux(messages); n < maxReplies && s.next(); {
		var msg bayeuxMessage
		msg.read(s.raw)
		if len(msg.channel) == 0 || msg.channel[0] != '"' || !json.Valid(msg.channel) {
			continue
		}
		if n++; n > 1 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		if len(msg.id) > 0 && msg.id[0] != '{' && msg.id[0] != '[' && json.Valid(msg.id) {
			dst = append(append(append(dst, `"id":`...), msg.id...), ',')
		}
		dst = append(append(append(dst, `"channel":`...), msg.channel...), `,"successful":false,"error":"401:`...)
		if id := msg.clientID; len(id) > 1 && id[0] == '"' && json.Valid(id) {
			dst = append(dst, id[1:len(id)-1]...)
		}
		dst = append(dst, `:Unknown client","advice":{"reconnect":"handshake","interval":0}}`...)
	}
	return append(dst, ']'), n > 0
}

// maxReplies bounds the messages of one request that are answered.
const maxReplies = 1000
