// Package rpc is the RPC topic: calls that are answered by one of the clients that
// provide the procedure.
//
// A call goes to a random provider, which accepts it and later responds, reports
// an error, or rejects it; a rejected call, and one whose provider left, goes to a
// provider that was not asked yet. Only the provider that was asked is listened
// to. Requesters choose the correlation ids, so a provider may be asked twice
// under one id by two clients: the second is given another one.
//
// The clients of this node are asked first, then the other nodes that have
// providers, one after the other and none twice. To the node that is asked the call
// looks like one of a client: it asks its own providers, and only those, says so each
// time it goes on to the next, and rejects the call when it has no more of them. So a
// call passes two nodes at most.
//
// Lock order: Handler.mu before the locks of the hub, the registry and the sessions.
package rpc

import (
	"sync"
	"time"

	"github.com/dsproxy/dsproxy/server/hub"
	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
	"github.com/dsproxy/dsproxy/server/topic"
)

// Options are the settings of the topic.
type Options struct {
	// AckTimeout is how long a provider has to accept, ResponseTimeout to
	// answer, both from the moment it is asked.
	AckTimeout      time.Duration
	ResponseTimeout time.Duration
	// ProvideRequestorName and ProvideRequestorData tell providers who calls.
	ProvideRequestorName bool
	ProvideRequestorData bool
}

// maxCalls bounds the calls that one client may have under way, maxCallBytes what
// they hold: a request is kept until it is answered, another provider may need it.
// Those that come from other nodes were bounded there.
const (
	maxCalls     = 10_000
	maxCallBytes = 64 << 20
)

// Handler serves the topic.
type Handler struct {
	cluster *topic.Cluster
	hub     *hub.Hub
	options Options

	mu    sync.Mutex
	asked map[party]map[string]*call // guarded by mu, by provider and id
	load  map[party]load             // guarded by mu, by requester
	last  uint64                     // guarded by mu: number of the last call to a node, never that of an earlier run
}

// load is what a requester has under way.
type load struct{ calls, bytes int }

// New makes a Handler.
func New(c *topic.Cluster, o Options) *Handler {
	return &Handler{cluster: c, hub: hub.New(topic.Watcher{Registry: c.Interest, Kind: interest.Procedures}), options: o,
		asked: make(map[party]map[string]*call), load: make(map[party]load), last: uint64(time.Now().UnixMicro())}
}

var words = topic.Words{Multiple: message.RPCMultipleProviders, NotSubscribed: message.RPCNotProvided}

// Handle serves one message; it reports false for an action that clients do not
// send.
func (h *Handler) Handle(s *session.Session, m *message.Message) bool {
	switch m.Action {
	case message.RPCProvide:
		topic.Ack(s, m, topic.Subscribe(h.hub, words, s, m, nil))
	case message.RPCUnprovide:
		topic.Ack(s, m, topic.Unsubscribe(h.hub, words, s, m, nil))
	case message.RPCRequest:
		if m.Name == "" || m.CorrelationID == "" {
			return false
		}
		h.request(s, m)
	case message.RPCAccept, message.RPCResponse, message.RPCReject, message.RPCRequestError:
		if !h.reply(party{session: s}, m) {
			s.Send(&message.Message{Topic: message.RPC, Action: message.RPCInvalidRPCCorrelationID, OriginalAction: m.Action,
				Name: m.Name, CorrelationID: m.CorrelationID, IsError: true})
		}
	default:
		return false
	}
	return true
}

func (h *Handler) request(s *session.Session, m *message.Message) {
	c := newCall(party{session: s}, m)
	if h.options.ProvideRequestorName {
		c.request.RequestorName = s.User().ID
	}
	if h.options.ProvideRequestorData {
		c.request.RequestorData = s.User().ClientData
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.load[c.requester]
	if l.calls >= maxCalls || l.calls > 0 && l.bytes+c.size() > maxCallBytes {
		s.Hit(session.LimitCalls)
		h.tell(c, message.RPCNoRPCProvider)
		return
	}
	h.begin(c)
}

// Remote takes what another node says: calls for the providers of this node, and
// answers to calls that it was asked.
func (h *Handler) Remote(node string, m *message.Message) {
	from := party{node: node}
	if m.Action != message.RPCRequest {
		h.reply(from, m) // one that comes too late has been answered for
		return
	}
	c := newCall(from, m)
	c.request.RequestorName, c.request.RequestorData = m.RequestorName, m.RequestorData
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begin(c)
}

// reply takes the answer of the provider that was asked; it reports false if it was
// not.
func (h *Handler) reply(from party, m *message.Message) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.asked[from][m.CorrelationID]
	if c == nil {
		return false
	}
	switch m.Action {
	case message.RPCAccept:
		h.accept(c)
	case message.RPCReject:
		h.route(c)
	case message.RPCResponse, message.RPCRequestError:
		h.send(c.requester, &message.Message{Topic: message.RPC, Action: m.Action, Name: c.request.Name,
			CorrelationID: c.id, Data: m.Data, IsError: m.IsError})
		h.end(c)
	case message.RPCAcceptTimeout, message.RPCResponseTimeout: // of another node's provider
		h.tell(c, m.Action)
		h.end(c)
	case another: // provider of that node is asked
		c.accepted, c.asked = false, time.Now()
		c.timer.Reset(h.patience(c))
	}
	return true
}

func (h *Handler) accept(c *call) {
	switch {
	case !c.accepted:
		c.accepted = true
		c.timer.Reset(max(h.patience(c)-time.Since(c.asked), 0))
	case c.provider.session != nil:
		h.send(c.provider, &message.Message{Topic: message.RPC, Action: message.RPCMultipleAccept,
			Name: c.request.Name, CorrelationID: c.sentID})
	}
	if !c.answered || c.requester.node != "" {
		// One acceptance is enough for a client, whoever answers in the end.
		c.answered = true
		h.tell(c, message.RPCAccept)
	}
}

// Closed forgets a client: its procedures are no longer provided, and calls that
// it was asked go to others.
func (h *Handler) Closed(s *session.Session) {
	h.hub.RemoveSession(s)
	h.lost(party{session: s})
}

// Left has the calls that a node was asked go to others.
func (h *Handler) Left(node string) { h.lost(party{node: node}) }

func (h *Handler) lost(p party) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.asked[p] {
		h.route(c)
	}
}

// Calls is the number of calls under way.
func (h *Handler) Calls() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, l := range h.load {
		n += l.calls
	}
	return n
}

// Close stops the timers of all calls.
func (h *Handler) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, calls := range h.asked {
		for _, c := range calls {
			c.timer.Stop()
		}
	}
}
