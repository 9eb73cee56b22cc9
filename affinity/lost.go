package affinity

// LostAnswer is an answer of the proxy's own.
type LostAnswer struct {
	Status      int
	ContentType string
	Header      [][2]string // further fields: CORS, caching
	Body        []byte
}

// Lost returns what to tell a client whose session is gone, in the words of its
// protocol. It reports false where a healthy backend had better answer itself:
// that is most protocols, since their servers refuse an unknown session. It
// answers only where a server would do harm: open a ghost session that the
// client takes for its own, or say that a message was delivered. body is what
// was read for KeyFromBody.
func (m *Match) Lost(r Request, body []byte) (LostAnswer, bool) { return LostAnswer{}, false }
