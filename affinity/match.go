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
	Key       Key  // valid if HasKey
	HasKey    bool // set with Session, Claim and Hashed

	// Poll: the request waits at the backend or its answer is a stream. It must
	// never be repeated, and what comes back is flushed at once.
	Poll bool
	// Upgrade: the request asks to leave HTTP.
	Upgrade bool
	// Identity: send it with "Accept-Encoding: identity", or the answer could
	// not be read. Handshakes only.
	Identity bool
	// Ambiguous: the request names more than one session and it is unknown
	// which one a backend would take. The phase is Stateless.
	Ambiguous bool

	// NeedBody is how many bytes of the request body KeyFromBody may want
	// before the request can be routed; 0 is none.
	NeedBody int
	// WatchRequest is how many bytes of the request body EndsByRequest wants to
	// see, in passing; 0 is none. It may be called with no body even so.
	WatchRequest int
	// WatchResponse is the same for the answer and EndsByResponse.
	WatchResponse int

	step *step
}

// TTL is the life of a pin of which nothing else is known, margin included.
func (m *Match) TTL() time.Duration { return 0 }

// Claims reports whether an answer with this status vouches for a client-made
// id: 2xx, or 101. It is false for all phases but Claim.
func (m *Match) Claims(status int) bool { return false }

// KeyFromBody looks for the key in the first bytes of the request body. final
// says that there is no more body, or no more to be had. It reports true when
// it needs no more: Phase, Key and HasKey are then settled.
func (m *Match) KeyFromBody(body []byte, final bool) (done bool) { return true }

// EndsByRequest reports whether this request ends the session, by its method,
// path or body (its first WatchRequest bytes at most). If it does, the pin is
// deleted once the request has been answered.
func (m *Match) EndsByRequest(body []byte) bool { return false }

// EndsByResponse reports whether the session is over after this answer, of
// which body holds the first WatchResponse bytes at most.
func (m *Match) EndsByResponse(status int, body []byte) bool { return false }
