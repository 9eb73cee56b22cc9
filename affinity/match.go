package affinity

import (
	"net/netip"
	"time"
)

// Request is what rules look at. The head of a request implements it without
// allocation; the slices are read during the call only and not kept.
//
// An HTTP/2 extended CONNECT (RFC 8441) is shown as the GET with "Upgrade:
// websocket" that it stands for.
type Request interface {
	Method() []byte
	// Path is the path as it was sent, still percent-encoded.
	Path() []byte
	// Query is what follows the first '?', still percent-encoded, without it.
	Query() []byte
	Host() []byte
	// Header returns the first field of that name, compared case-insensitively.
	Header(name string) ([]byte, bool)
	// RemoteIP is the address of the client, as far as it is believed.
	RemoteIP() netip.Addr
}

// Response is the head of an answer, of which Learn needs this much.
type Response interface {
	Status() int
	// Header returns the first field of that name, compared case-insensitively.
	Header(name string) ([]byte, bool)
}

// Phase says what a request is in the life of a session.
type Phase uint8

const (
	Stateless Phase = iota // a known protocol, but any backend will do
	Handshake              // the answer makes a session: learn it
	Session                // a session whose id a backend has made
	Claim                  // a session whose id the client has made
	Hashed                 // rendezvous over the key, nothing is stored
)

// String returns the phase in the word that rules.yaml uses.
func (p Phase) String() string { return phaseNames[p] }

var phaseNames = [...]string{"stateless", "handshake", "session", "claim", "hashed"}

// Transport is how a session's messages travel on this request, for metrics.
type Transport uint8

const (
	OtherTransport Transport = iota
	Polling                  // long polling, and the sends that go with it
	Streaming                // one long answer in chunks
	EventSource              // one long answer as server-sent events
	WebSocket
)

// String returns the transport's label.
func (t Transport) String() string { return transportNames[t] }

var transportNames = [...]string{"other", "polling", "streaming", "sse", "websocket"}

// Match is what the rules know of one request. It is a value and holds nothing
// of the request.
type Match struct {
	Rule      *Rule
	Phase     Phase
	Transport Transport
	// Key is valid if HasKey, which is set with Session, Claim and Hashed. With
	// Handshake it is set if a later request of the session will not name it:
	// choose the backend by rendezvous over Key, as will be done for that one.
	Key    Key
	HasKey bool

	// Learns: show the answer to Learn. Always with Handshake; with Session if
	// the answer may start the session anew.
	Learns bool
	// Poll: the request waits at the backend or its answer is a stream. It must
	// never be repeated, and what comes back is flushed at once.
	Poll bool
	// Upgrade: the request asks for a WebSocket.
	Upgrade bool
	// Identity: send it with "Accept-Encoding: identity", or the answer could
	// not be read.
	Identity bool
	// Ambiguous: a query parameter that matters is there twice with different
	// values, and which one a backend takes is unknown. The phase is Stateless:
	// nothing is looked up, learned or pinned.
	Ambiguous bool

	// NeedBody is how many bytes of the request body KeyFromBody may want
	// before the request can be routed, at most MaxNeedBody; 0 is none.
	NeedBody int
	// WatchRequest is how many bytes of the request body EndsByRequest wants to
	// see, in passing, at most WatchLimit; 0 is none. Ask it even so, with no
	// body: a request may end a session by its kind.
	WatchRequest int
	// WatchResponse is the same for the answer and EndsByResponse.
	WatchResponse int

	step   *step
	steer  Key // for Key, should the body turn out to be a handshake
	looked int // bytes of the body that KeyFromBody has seen in vain
}

const (
	// MaxNeedBody bounds Match.NeedBody, in bytes.
	MaxNeedBody = 64 << 10
	// WatchLimit bounds Match.WatchRequest and Match.WatchResponse, in bytes.
	WatchLimit = 8 << 10
)

// Match finds the rule for a request. It does not allocate.
func (rs *Rules) Match(r Request) (Match, bool) {
	var sc scan
	sc.init(r, rs)
	for i := range rs.gates {
		if !rs.gates[i].opens(&sc) {
			continue
		}
		st := &rs.steps[i]
		if firstFailing(st.checks, &sc) != nil {
			continue
		}
		var m Match
		if st.match(&sc, &m) {
			return m, true
		}
	}
	return Match{}, false
}

// match fills m for a request that the step's conditions fit. It reports false
// if the key is not where it should be.
func (st *step) match(sc *scan, m *Match) bool {
	*m = st.template
	m.Rule, m.step = st.rule, st
	m.Upgrade = sc.isUpgrade()
	if m.Upgrade && m.Transport == OtherTransport {
		m.Transport = WebSocket
	}
	if sc.clash&st.uses != 0 {
		m.beStateless()
		m.Ambiguous = true
		return true
	}
	if st.steer != nil {
		m.steer, _ = st.steer.key(sc, st.rule)
	}
	if len(st.keys) == 0 {
		m.Key, m.HasKey = m.steer, !m.steer.IsZero()
		return true
	}
	if k := &st.keys[0]; k.from == fromBody {
		m.NeedBody = MaxNeedBody
		return true
	} else if k.in != "" {
		return k.settleFromQuery(sc, m)
	}
	for i := range st.keys {
		if m.Key, m.HasKey = st.keys[i].key(sc, st.rule); m.HasKey {
			return true
		}
	}
	return false
}

// key finds and hashes the id at the place.
func (k *keyPlace) key(sc *scan, r *Rule) (Key, bool) {
	var buf [MaxID]byte
	id, ok := k.find(sc, &buf)
	if !ok {
		return Key{}, false
	}
	return MakeKey(r.namespace, id), true
}

// beStateless takes back all that the step says of sessions.
func (m *Match) beStateless() {
	m.Phase = Stateless
	m.Key, m.HasKey = Key{}, false
	m.Learns, m.Identity, m.NeedBody = false, false, 0
	m.WatchRequest, m.WatchResponse = 0, 0
}

// TTL is the life of a pin of which nothing else is known, margin included.
func (m *Match) TTL() time.Duration { return m.Rule.ttl(0) }

// Claims reports whether an answer with this status vouches for a client-made
// id: 2xx, or 101. It is false for all phases but Claim.
func (m *Match) Claims(status int) bool {
	return m.Phase == Claim && (status/100 == 2 || status == 101)
}
