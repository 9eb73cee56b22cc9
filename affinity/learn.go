package affinity

import (
	"bytes"
	"slices"
	"time"
)

// LearnLimit is how much of an answer, in bytes, Learn looks at.
const LearnLimit = 8 << 10

// Learned is a new session.
type Learned struct {
	Key Key
	TTL time.Duration // life of the pin, margin included
}

// LearnStatus says how learning went. Its text is a metric label.
type LearnStatus uint8

const (
	NeedMore    LearnStatus = iota // show more of the body
	Done                           // Learned is valid
	NoSession                      // the answer is to make no session: its status says so, or one goes on
	NoID                           // the answer was understood but has no id
	Encoded                        // the answer is compressed
	TooLong                        // no id within LearnLimit, or one longer than MaxID
	Unreadable                     // the answer is not in the protocol's form
	NotLearning                    // the request is no handshake
)

// String returns the status as a metric label.
func (s LearnStatus) String() string { return learnStatusNames[s] }

var learnStatusNames = [...]string{
	"need_more", "learned", "no_session", "no_id", "encoded", "too_long", "unreadable", "not_learning",
}

// learner is how an answer shows a new session, compiled.
type learner struct {
	header string
	form   learnForm
	fields []string
	only   []onlySpec
	life   []string
	unit   time.Duration
	status []int
	kind   string
}

type learnForm uint8

const (
	learnHeader   learnForm = iota
	learnEngineIO           // JSON in an open packet
	learnJSON
	learnBayeux  // JSON, in the message that grants a handshake
	learnChannel // the first message of a BrowserChannel
	learnParts   // text parted by colons; fields are numbers
	learnText    // the whole body
)

var learnForms = []string{"engine.io", "json", "bayeux", "browserchannel", "parts", "text"}

func compileLearn(spec *learnSpec) *learner {
	if spec == nil {
		return nil
	}
	l := &learner{
		header: spec.header, fields: spec.fields, only: spec.only,
		life: spec.life, unit: spec.unit, status: spec.status, kind: spec.kind,
	}
	l.form = learnForm(slices.Index(learnForms, spec.body) + 1)
	return l
}

func (l *learner) readsBody() bool { return l.form != learnHeader }

// Learn reads the session out of the answer to a handshake. body is what has
// come so far, from its first byte, decoded from its transfer coding; final
// says that it is the whole. Call it first with the head alone, then with more
// for as long as the status is NeedMore; with LearnLimit bytes or final it is
// never NeedMore. The outcome does not depend on how the body was cut.
func (m *Match) Learn(resp Response, body []byte, final bool) (Learned, LearnStatus) {
	if !m.Learns {
		return Learned{}, NotLearning
	}
	learned, status := m.learn(resp, body, final)
	if m.Phase == Session && status != Done && status != NeedMore {
		status = NoSession // as a rule the session goes on
	}
	return learned, status
}

func (m *Match) learn(resp Response, body []byte, final bool) (Learned, LearnStatus) {
	l := m.step.learn
	if !l.takes(resp) {
		return Learned{}, NoSession
	}
	if !l.readsBody() {
		value, _ := resp.Header(l.header)
		value = bytes.TrimSpace(value)
		if len(value) == 0 {
			return Learned{}, NoID
		}
		return m.learned(value, 0)
	}
	if coding, _ := resp.Header("Content-Encoding"); !isIdentity(coding) {
		return Learned{}, Encoded
	}
	limit := len(body) >= LearnLimit
	if limit {
		body = body[:LearnLimit]
	}
	var buf [MaxID + 4]byte
	id, life, st := l.read(body, final && !limit, buf[:0])
	switch {
	case st == partial && !final && !limit:
		return Learned{}, NeedMore
	case st == broken:
		return Learned{}, Unreadable
	case len(id) > 0:
		return m.learned(id, life)
	case st == whole:
		return Learned{}, NoID
	case limit:
		return Learned{}, TooLong
	}
	return Learned{}, Unreadable
}

// takes reports whether an answer with this head may make a session.
func (l *learner) takes(resp Response) bool {
	status := resp.Status()
	if l.status == nil && status/100 != 2 || l.status != nil && !slices.Contains(l.status, status) {
		return false
	}
	if l.kind == "" {
		return true
	}
	kind, _ := resp.Header("Content-Type")
	return len(kind) >= len(l.kind) && equalFold(kind[:len(l.kind)], l.kind)
}

// isIdentity reports whether a Content-Encoding leaves the body readable.
// graphql-sse sends "none", which is no registered coding.
func isIdentity(coding []byte) bool {
	coding = bytes.TrimSpace(coding)
	return len(coding) == 0 || string(coding) == "identity" || string(coding) == "none"
}

func (m *Match) learned(raw []byte, life time.Duration) (Learned, LearnStatus) {
	var buf [MaxID]byte
	id, ok := canonicalID(&buf, raw, false)
	if !ok {
		return Learned{}, TooLong
	}
	return Learned{Key: MakeKey(m.Rule.namespace, id), TTL: m.Rule.ttl(life)}, Done
}

// read finds the id, and the life if the answer tells it. With partial they are
// what was found so far. An id is written to buf if it must be unescaped.
func (l *learner) read(body []byte, final bool, buf []byte) (id []byte, life time.Duration, st found) {
	switch l.form {
	case learnText:
		if !final {
			return nil, 0, partial
		}
		return bytes.TrimSpace(body), 0, whole
	case learnChannel:
		raw, st := browserChannelID(body)
		return jsonID(buf, raw), 0, st
	}
	body, w, end := unwrapJSONP(body)
	switch {
	case end == broken:
		return nil, 0, broken
	case body == nil && w == notWrapped:
		return nil, 0, partial
	}
	if l.form == learnParts {
		return l.readParts(body)
	}
	switch l.form {
	case learnEngineIO:
		body, st = engineIOOpen(body)
	case learnBayeux:
		body, st = bayeuxAnswer(body)
	}
	if st == broken || body == nil {
		return nil, 0, st
	}
	return l.readFields(body, buf)
}

// readFields reads the object that body begins with.
func (l *learner) readFields(body, buf []byte) (id []byte, life time.Duration, st found) {
	start := skipSpace(body, 0)
	if start == len(body) {
		return nil, 0, partial
	}
	end, st := jsonValueEnd(body, start)
	if st == broken || body[start] != '{' {
		return nil, 0, broken
	}
	body = body[start:end]
	for _, only := range l.only {
		value, _ := jsonPath(body, only.field)
		var text [maxFieldName]byte
		if got, ok := jsonText(text[:0], value); string(value) != only.value && (!ok || string(got) != only.value) {
			return nil, 0, st
		}
	}
	for _, name := range l.fields {
		value, _ := jsonPath(body, name)
		if id = jsonID(buf, value); len(id) > 0 {
			break
		}
	}
	for _, name := range l.life {
		value, _ := jsonPath(body, name)
		life = l.addLife(life, value)
	}
	return id, life, st
}

// jsonID returns the text of a JSON value, or nil if it has none. One that does
// not fit into buf comes back as it is, to be found too long.
func jsonID(buf, value []byte) []byte {
	text, ok := jsonText(buf, value)
	switch {
	case ok:
		return text
	case len(value) > MaxID:
		return value
	}
	return nil
}

func (l *learner) readParts(body []byte) (id []byte, life time.Duration, st found) {
	part := func(name string) []byte {
		value, pst := textPart(body, int(name[0]-'0'))
		if pst == partial {
			st = partial
		}
		return value
	}
	st = whole
	for _, name := range l.fields {
		id = part(name)
	}
	if st == partial {
		id = nil
	}
	for _, name := range l.life {
		life = l.addLife(life, part(name))
	}
	return id, life, st
}

func (l *learner) addLife(sum time.Duration, value []byte) time.Duration {
	n, ok := jsonNumber(value)
	if !ok || n < 0 || n > float64(maxLife/l.unit) {
		return sum
	}
	return sum + time.Duration(n*float64(l.unit))
}
