package proxy

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/dsproxy/dsproxy/affinity"
	"github.com/dsproxy/dsproxy/backend"
)

// Explanation is why a request, or a session, would go where it would.
type Explanation struct {
	Rule      string       `json:"rule,omitempty"`
	Request   string       `json:"request,omitempty"` // the kind of request within the rule
	Phase     string       `json:"phase,omitempty"`
	Transport string       `json:"transport,omitempty"`
	KeyFrom   string       `json:"key_from,omitempty"`
	Why       []string     `json:"why,omitempty"`
	Session   string       `json:"session,omitempty"` // the key, hashed
	Pin       *sessionView `json:"pin,omitempty"`     // what this replica knows of it
	Choice    choice       `json:"choice"`
	Backends  []string     `json:"backends"` // in the order they would be tried
}

// probeRequest is a request that exists only to be explained.
type probeRequest struct {
	method, path, query, host string
	header                    http.Header
	client                    netip.Addr
}

func (r *probeRequest) Method() []byte       { return []byte(r.method) }
func (r *probeRequest) Path() []byte         { return []byte(r.path) }
func (r *probeRequest) Query() []byte        { return []byte(r.query) }
func (r *probeRequest) Host() []byte         { return []byte(r.host) }
func (r *probeRequest) RemoteIP() netip.Addr { return r.client }
func (r *probeRequest) Header(name string) ([]byte, bool) {
	v := r.header.Values(name)
	if len(v) == 0 {
		return nil, false
	}
	return []byte(v[0]), true
}

// explain answers /explain?url=...[&method=POST][&header=Name:value][&client=address]
// or /explain?key=<hashed session key>.
func (a *admin) explain(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if k := q.Get("key"); k != "" {
		key, err := parseKey(k)
		if err != nil {
			writeError(w, http.StatusBadRequest, "key: "+err.Error())
			return
		}
		ex := Explanation{}
		a.p.explainKey(r, &ex, key)
		writeJSON(w, http.StatusOK, ex)
		return
	}
	probe, err := probeOf(q)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, a.p.explainRequest(r, probe))
}

func parseKey(s string) (key affinity.Key, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(key) {
		return key, fmt.Errorf("%q is not a hashed key of 32 hexadecimal digits, as /sessions and the log show it; for a request use url=", s)
	}
	return affinity.Key(b), nil
}

func probeOf(q url.Values) (*probeRequest, error) {
	u, err := url.Parse(q.Get("url"))
	if err != nil || q.Get("url") == "" || u.Path == "" || u.Path[0] != '/' {
		return nil, fmt.Errorf("url: %q is not a request; use url=/path?query, escaped, or key=<hashed key>", q.Get("url"))
	}
	p := &probeRequest{method: http.MethodGet, path: u.EscapedPath(), query: u.RawQuery, host: u.Host, header: http.Header{}}
	if m := q.Get("method"); m != "" {
		p.method = m
	}
	for _, h := range q["header"] {
		name, value, ok := cutHeader(h)
		if !ok {
			return nil, fmt.Errorf("header: %q is not Name:value", h)
		}
		p.header.Add(name, value)
	}
	if c := q.Get("client"); c != "" {
		if p.client, err = netip.ParseAddr(c); err != nil {
			return nil, fmt.Errorf("client: %q is not an address", c)
		}
	}
	return p, nil
}

func (p *Proxy) explainRequest(r *http.Request, probe *probeRequest) Explanation {
	st, set := p.state.Load(), p.pool.Set()
	for _, rules := range st.rules {
		e := rules.Explain(probe)
		if !e.Matched {
			continue
		}
		out := Explanation{
			Rule: e.Match.Rule.Name, Request: e.Request, Phase: e.Match.Phase.String(),
			Transport: e.Match.Transport.String(), KeyFrom: e.KeyFrom, Why: e.Why,
		}
		switch {
		case e.Match.HasKey && (e.Match.Phase == affinity.Session || e.Match.Phase == affinity.Claim):
			p.explainKey(r, &out, e.Match.Key)
		case e.Match.HasKey:
			out.Session = e.Match.Key.String()
			out.Choice, out.Backends = choiceHash, idsOf(set.Ranked(e.Match.Key[:]))
		default:
			out.Choice, out.Backends = choiceNew, idsOf(set.Least(leastOf))
		}
		return out
	}
	if h, ok := probe.Header("Cookie"); ok && st.cookie != nil {
		if id, ok := p.cookieSet(st, set).Resolve(h); ok {
			return Explanation{Choice: choiceCookie, Backends: []string{id}, Why: []string{"the affinity cookie names it"}}
		}
	}
	return Explanation{Choice: choiceNew, Backends: idsOf(set.Least(leastOf)), Why: []string{"no rule claims it: least sessions"}}
}

func (p *Proxy) explainKey(r *http.Request, out *Explanation, key affinity.Key) {
	set := p.pool.Set()
	out.Session = key.String()
	if s, ok := p.pins.Peek(key); ok {
		v := viewOf(s)
		out.Pin = &v
	}
	// The table itself is asked: another replica may have made the pin.
	if id, ok := p.pins.Recheck(r.Context(), key); ok && p.servesEstablished(set, id) {
		out.Choice, out.Backends = choicePin, []string{id}
		return
	}
	out.Choice, out.Backends = choiceFallback, idsOf(set.Ranked(key[:]))
}

func idsOf(order func(func(*backend.Member) bool)) []string {
	ids := []string{}
	for m := range order {
		ids = append(ids, m.ID)
	}
	return ids
}

func cutHeader(h string) (name, value string, ok bool) {
	for i := range len(h) {
		if h[i] == ':' {
			v := h[i+1:]
			for len(v) > 0 && v[0] == ' ' {
				v = v[1:]
			}
			return h[:i], v, i > 0
		}
	}
	return "", "", false
}
