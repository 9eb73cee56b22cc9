package rpc

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/dsproxy/dsproxy/server/interest"
	"github.com/dsproxy/dsproxy/server/message"
	"github.com/dsproxy/dsproxy/server/session"
)

// party is one end of a call: a client of this node, or else another node.
type party struct {
	session *session.Session
	node    string
}

// call is one request under way; all is guarded by Handler.mu.
type call struct {
	requester party
	id        string // as the requester has it
	request   message.Message

	provider party
	sentID   string             // as the provider has it
	tried    map[party]struct{} // providers that were asked before this one
	accepted bool               // by this provider
	answered bool               // the requester was told of an acceptance
	asked    time.Time
	timer    *time.Timer
}

// newCall copies what it keeps of m, which may be a small part of a large frame.
func newCall(requester party, m *message.Message) *call {
	all := m.CorrelationID + m.Name + m.Data
	id, rest := all[:len(m.CorrelationID)], all[len(m.CorrelationID):]
	return &call{requester: requester, id: id, request: message.Message{
		Topic: message.RPC, Action: message.RPCRequest, Name: rest[:len(m.Name)], Data: rest[len(m.Name):],
	}}
}

// size is what a call holds, in bytes.
func (c *call) size() int { return len(c.id) + len(c.request.Name) + len(c.request.Data) }

// untried reports whether a provider was not asked yet.
func (c *call) untried(p party) bool {
	_, tried := c.tried[p]
	return !tried
}

func (h *Handler) begin(c *call) {
	l := h.load[c.requester]
	h.load[c.requester] = load{l.calls + 1, l.bytes + c.size()}
	h.route(c)
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

// route asks a provider that was not asked yet, or gives the call up.
func (h *Handler) route(c *call) {
	if c.provider != (party{}) {
		if c.tried == nil {
			c.tried = make(map[party]struct{})
		}
		c.tried[c.provider] = struct{}{}
		h.leave(c)
	}
	p, ok := h.pick(c)
	if !ok {
		h.tell(c, message.RPCNoRPCProvider)
		h.end(c)
		return
	}
	c.provider, c.accepted = p, false
	calls := h.asked[p]
	if calls == nil {
		calls = make(map[string]*call)
		h.asked[p] = calls
	}
	c.sentID = h.idFor(c, calls)
	calls[c.sentID] = c
	c.asked = time.Now()
	c.timer = time.AfterFunc(h.patience(c), func() { h.overdue(c, p) })
	out := c.request
	out.CorrelationID = c.sentID
	h.send(p, &out)
	if c.requester.node != "" && len(c.tried) > 0 {
		h.tell(c, another)
	}
}

// another is what a node says that asks one more of its providers for the call of
// another node, which is to have patience.
const another = message.RPCProvide

// pick chooses who is asked next.
func (h *Handler) pick(c *call) (party, bool) {
	if s := h.hub.Pick(c.request.Name, func(s *session.Session) bool { return !c.untried(party{session: s}) }); s != nil {
		return party{session: s}, true
	}
	if c.requester.node != "" {
		return party{}, false // it asks the other nodes itself
	}
	nodes := h.cluster.Interest.Others(interest.Procedures, c.request.Name)
	if len(nodes) == 0 {
		return party{}, false
	}
	start := rand.IntN(len(nodes))
	for i := range nodes {
		if p := (party{node: nodes[(start+i)%len(nodes)]}); c.untried(p) {
			return p, true
		}
	}
	return party{}, false
}

// idFor chooses the correlation id that a provider gets. A node may still answer an
// earlier call, also one of an earlier run of this node, so it never gets an id again.
func (h *Handler) idFor(c *call, calls map[string]*call) string {
	if c.provider.node != "" {
		h.last++
		return strconv.FormatUint(h.last, 36)
	}
	id := c.id
	for n := 2; calls[id] != nil; n++ {
		id = c.id + "/" + strconv.Itoa(n)
	}
	return id
}

// leave takes the call off its provider.
func (h *Handler) leave(c *call) {
	p := c.provider
	if p == (party{}) {
		return
	}
	c.timer.Stop()
	calls := h.asked[p]
	delete(calls, c.sentID)
	if len(calls) == 0 {
		delete(h.asked, p)
	}
	c.provider = party{}
}

// patience is how long the provider of a call has for its next step, from the
// moment it was asked. Another node watches its providers itself, and says when it
// asks the next one; only if it is gone, or what it said is lost, this one has to.
func (h *Handler) patience(c *call) time.Duration {
	d := h.options.AckTimeout
	if c.accepted {
		d = h.options.ResponseTimeout
	}
	if c.provider.node != "" {
		d += h.options.AckTimeout
	}
	return d
}

// overdue ends a call whose provider did not accept or answer in time; there is
// no second attempt, the provider may be at work.
func (h *Handler) overdue(c *call, p party) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case c.provider != p:
		return
	case time.Since(c.asked) < h.patience(c):
		return // it did something while this waited for mu; the timer runs again
	case !c.accepted:
		h.tell(c, message.RPCAcceptTimeout)
	default:
		h.tell(c, message.RPCResponseTimeout)
	}
	h.end(c)
}

// tell informs the requester in the server's own words. A node whose call found
// nobody here asks elsewhere.
func (h *Handler) tell(c *call, a message.Action) {
	if a == message.RPCNoRPCProvider && c.requester.node != "" {
		a = message.RPCReject
	}
	h.send(c.requester, &message.Message{Topic: message.RPC, Action: a, Name: c.request.Name, CorrelationID: c.id})
}

func (h *Handler) send(p party, m *message.Message) {
	if p.session != nil {
		p.session.Send(m)
		return
	}
	h.cluster.Send([]string{p.node}, m)
}
