// Package rpc is the RPC topic: calls that are answered by one of the clients that
// provide the procedure.
//
// A call goes to a random provider, which accepts it and later responds, reports
// an error, or rejects it; a rejected call, and one whose provider left, goes to a
// provider that was not asked yet. Only the provider that was asked is listened
// to. Requesters choose the correlation ids, so a provider may be asked twice
// under one id by two clients: the second is given another one.
//
// Lock order: Handler.mu before the locks of the hub and the sessions.
package rpc

import (
	"slices"
	"strconv"
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
const (
	maxCalls     = 10_000
	maxCallBytes = 64 << 20
)

// Handler serves the topic.
type Handler struct {
	hub     *hub.Hub
	options Options

	mu    sync.Mutex
	asked map[*session.Session]map[string]*call // guarded by mu, by provider and id
	load  map[*session.Session]load             // guarded by mu, by requester
}

// load is what a requester has under way.
type load struct{ calls, bytes int }

// call is one request under way; all is guarded by Handler.mu.
type call struct {
	requester *session.Session
	id        string // as the requester has it
	request   message.Message

	provider *session.Session
	sentID   string // as the provider has it
	tried    []*session.Session
	accepted bool // by this provider
	answered bool // the requester was told of an acceptance
	asked    time.Time
	timer    *time.Timer
}

// New makes a Handler.
func New(c *topic.Cluster, o Options) *Handler {
	return &Handler{hub: hub.New(topic.Watcher{Registry: c.Interest, Kind: interest.Procedures}), options: o,
		asked: make(map[*session.Session]map[string]*call), load: make(map[*session.Session]load)}
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
		h.reply(s, m)
	default:
		return false
	}
	return true
}

func (h *Handler) request(s *session.Session, m *message.Message) {
	c := newCall(s, m)
	if h.options.ProvideRequestorName {
		c.request.RequestorName = s.User().ID
	}
	if h.options.ProvideRequestorData {
		c.request.RequestorData = s.User().ClientData
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.load[s]
	if l.calls >= maxCalls || l.calls > 0 && l.bytes+c.size() > maxCallBytes {
		s.Hit(session.LimitCalls)
		h.tell(c, message.RPCNoRPCProvider)
		return
	}
	h.load[s] = load{l.calls + 1, l.bytes + c.size()}
	h.route(c)
}

// newCall copies what it keeps of m, which may be a small part of a large frame.
func newCall(s *session.Session, m *message.Message) *call {
	all := m.CorrelationID + m.Name + m.Data
	id, rest := all[:len(m.CorrelationID)], all[len(m.CorrelationID):]
	return &call{requester: s, id: id, request: message.Message{
		Topic: message.RPC, Action: message.RPCRequest, Name: rest[:len(m.Name)], Data: rest[len(m.Name):],
	}}
}

// size is what a call holds, in bytes.
func (c *call) size() int { return len(c.id) + len(c.request.Name) + len(c.request.Data) }

// route asks a provider that was not asked yet, or gives the call up.
func (h *Handler) route(c *call) {
	p := h.hub.Pick(c.request.Name, func(s *session.Session) bool { return slices.Contains(c.tried, s) })
	if p == nil {
		h.tell(c, message.RPCNoRPCProvider)
		h.end(c)
		return
	}
	c.provider, c.accepted = p, false
	c.tried = append(c.tried, p)
	calls := h.asked[p]
	if calls == nil {
		calls = make(map[string]*call)
		h.asked[p] = calls
	}
	c.sentID = c.id
	for n := 2; calls[c.sentID] != nil; n++ {
		c.sentID = c.id + "/" + strconv.Itoa(n)
	}
	calls[c.sentID] = c
	c.asked = time.Now()
	c.timer = time.AfterFunc(h.options.AckTimeout, func() { h.overdue(c, p) })
	out := c.request
	out.CorrelationID = c.sentID
	p.Send(&out)
}

// leave takes the call off its provider.
func (h *Handler) leave(c *call) {
	if c.provider == nil {
		return
	}
	c.timer.Stop()
	calls := h.asked[c.provider]
	delete(calls, c.sentID)
	if len(calls) == 0 {
		delete(h.asked, c.provider)
	}
	c.provider = nil
}

func (h *Handler) end(c *call) {
	h.leave(c)
	l := h.load[c.requester]
	if l.calls <= 1 {
		delete(h.load, c.requester)
		return
	}
	h.load[c.requester] = load{l.calls - 1, l.bytes - c.size()}
}

// tell informs the requester in the server's own words.
func (h *Handler) tell(c *call, a message.Action) {
	c.requester.Send(&message.Message{Topic: message.RPC, Action: a, Name: c.request.Name, CorrelationID: c.id})
}

// overdue ends a call whose provider did not accept or answer in time; there is
// no second attempt, the provider may be at work.
func (h *Handler) overdue(c *call, p *session.Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case c.provider != p:
		return
	case !c.accepted:
		h.tell(c, message.RPCAcceptTimeout)
	case time.Since(c.asked) < h.options.ResponseTimeout:
		return // accepted while this waited for mu; the timer runs again
	default:
		h.tell(c, message.RPCResponseTimeout)
	}
	h.end(c)
}

func (h *Handler) reply(s *session.Session, m *message.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.asked[s][m.CorrelationID]
	if c == nil {
		s.Send(&message.Message{Topic: message.RPC, Action: message.RPCInvalidRPCCorrelationID, OriginalAction: m.Action,
			Name: m.Name, CorrelationID: m.CorrelationID, IsError: true})
		return
	}
	switch m.Action {
	case message.RPCAccept:
		h.accept(c)
	case message.RPCReject:
		h.leave(c)
		h.route(c)
	default:
		out := message.Message{Topic: message.RPC, Action: m.Action, Name: c.request.Name, CorrelationID: c.id, Data: m.Data,
			IsError: m.IsError}
		c.requester.Send(&out)
		h.end(c)
	}
}

func (h *Handler) accept(c *call) {
	if c.accepted {
		c.provider.Send(&message.Message{Topic: message.RPC, Action: message.RPCMultipleAccept,
			Name: c.request.Name, CorrelationID: c.sentID})
		return
	}
	c.accepted = true
	c.timer.Reset(max(h.options.ResponseTimeout-time.Since(c.asked), 0))
	if !c.answered {
		// One acceptance is enough, whoever answers in the end.
		c.answered = true
		h.tell(c, message.RPCAccept)
	}
}

// Closed forgets a client: its procedures are no longer provided, and calls that
// it was asked go to others.
func (h *Handler) Closed(s *session.Session) {
	h.hub.RemoveSession(s)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.asked[s] {
		h.leave(c)
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
