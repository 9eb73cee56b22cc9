package affinity

import "bytes"

// KeyFromBody looks for the key in the first bytes of the request body, decoded
// from its transfer coding. final says that there is no more; it is implied by
// NeedBody bytes. A body that has grown by little since the last call is not
// looked at. It reports true when it needs no more: Phase, Key, HasKey,
// Learns and Identity are then settled. A message too long to be looked at
// whole is Hashed by what steered its session's handshake, if the rule steers.
func (m *Match) KeyFromBody(body []byte, final bool) (done bool) {
	if m.NeedBody == 0 {
		return true
	}
	capped := len(body) >= m.NeedBody
	if capped {
		body, final = body[:m.NeedBody], true
	}
	if !final && len(body)-m.looked < m.looked/4 {
		return false // or a body in tiny pieces would cost its square
	}
	if done = m.look(body, final); !done {
		m.looked = len(body)
	}
	if capped && m.Phase == Stateless && !m.steer.IsZero() {
		// A long message may name its session behind its data: it goes where
		// the handshake was steered to.
		m.Phase, m.Key, m.HasKey = Hashed, m.steer, true
	}
	return done
}

func (m *Match) look(body []byte, final bool) (done bool) {
	k := &m.step.keys[0]
	switch k.in {
	case "bayeux":
		if len(body) < len(bayeuxForm) && !final {
			return false
		}
		return m.settleBayeux(bayeuxText(body), final)
	case "json":
		value, st := jsonPath(body, k.name)
		var buf [MaxID + 4]byte
		id, ok := jsonText(buf[:0], value)
		return m.settle(k, id, ok && st != broken, st != partial || final)
	default:
		value, st := formField(body, k.name)
		return m.settle(k, value, st == whole || final && value != nil, st == whole || final)
	}
}

// settle takes an id, once it is certain. A request without one is Stateless.
func (m *Match) settle(k *keyPlace, raw []byte, ok, certain bool) (done bool) {
	if !certain {
		return false
	}
	var buf [MaxID]byte
	id, fits := canonicalID(&buf, raw, k.in == "form")
	if !ok || !fits || !k.suits(id) {
		m.beStateless()
		return true
	}
	m.Key, m.HasKey = MakeKey(m.Rule.namespace, id), true
	m.NeedBody = 0
	return true
}

// settleBayeux decides between a session's message, a handshake, and neither.
func (m *Match) settleBayeux(body []byte, final bool) (done bool) {
	raw, handshake, st := bayeuxRequest(body)
	switch {
	case st == partial && !final:
		return false
	case raw != nil:
		var buf [MaxID + 4]byte
		id, ok := jsonText(buf[:0], raw)
		return m.settle(&m.step.keys[0], id, ok, true)
	case handshake && m.step.learn != nil:
		m.Phase = Handshake
		m.NeedBody = 0
		m.Learns, m.Identity = true, m.step.learn.readsBody()
		m.Key, m.HasKey = m.steer, !m.steer.IsZero()
		return true
	}
	m.beStateless()
	return true
}

// bayeuxForm is how a body begins that is a form rather than JSON.
const bayeuxForm = "message="

// bayeuxText returns the messages of a request body: that itself, or what is in
// the form field message.
func bayeuxText(body []byte) []byte {
	if !bytes.HasPrefix(body, []byte(bayeuxForm)) {
		return body
	}
	value, _ := formField(body, "message")
	if i := bytes.LastIndexByte(value, '%'); i >= 0 && i >= len(value)-2 {
		value = value[:i] // an escape that is cut off
	}
	return decodeForm(make([]byte, 0, len(value)), value)
}

// settleFromQuery looks for the key in messages that are in the query.
func (k *keyPlace) settleFromQuery(sc *scan, m *Match) bool {
	var buf [8 << 10]byte
	return m.settleBayeux(decodeForm(buf[:0], sc.value(k.index)), true)
}
