package proxy

import (
	"bytes"
	"net"
	"net/netip"
	"strconv"

	"github.com/dsproxy/dsproxy/proxy/http1"
)

// appendRequestHead writes the request's head as the backend gets it: without
// what speaks of the client's connection only, and with what the proxy knows
// of the client. upgrade keeps the wish to leave HTTP.
func (ex *exchange) appendRequestHead(out []byte, upgrade bool) []byte {
	req := ex.req
	out = append(out, req.Method...)
	out = append(out, ' ')
	out = req.AppendTarget(out)
	out = append(out, " HTTP/1.1\r\n"...)
	out = http1.AppendField(out, "Host", req.Host)
	trailers := false
	for i := range req.Fields {
		f := &req.Fields[i]
		switch f.Kind {
		case http1.KindHost, http1.KindContentLength, http1.KindProxyAuthorization,
			http1.KindXForwardedFor, http1.KindXForwardedProto, http1.KindXForwardedHost, http1.KindXForwardedPort,
			http1.KindForwarded, http1.KindXRealIP, http1.KindXRequestID:
			continue
		case http1.KindTE:
			trailers = trailers || http1.HasToken(f.Value, "trailers")
			continue
		case http1.KindAcceptEncoding:
			if ex.match.Identity {
				continue
			}
		case http1.KindOther:
			if f.Named && !securityField(f.Name) || bytes.IndexByte(f.Name, '_') >= 0 && spoofsForwarding(f.Name) {
				continue
			}
		default:
			if f.Kind.HopByHop() {
				continue
			}
		}
		out = http1.AppendField(out, f.Name, f.Value)
	}
	out = ex.appendForwarding(out)
	out = http1.AppendField(out, "X-Request-Id", ex.id)
	if ex.match.Identity {
		out = append(out, "Accept-Encoding: identity\r\n"...)
	}
	switch {
	case upgrade:
		out = append(out, "Connection: Upgrade\r\n"...)
		out = http1.AppendField(out, "Upgrade", req.Upgrade)
	case trailers:
		out = append(out, "TE: trailers\r\nConnection: TE\r\n"...)
	}
	if !req.Framing.Empty() || req.Framing.Kind == http1.Length {
		out = http1.AppendFraming(out, req.Framing)
	}
	return http1.AppendHeadEnd(out)
}

// appendForwarding tells the backend who asked. What the peer says of that is
// kept only if the peer is trusted; anybody else's is dropped, not appended to.
func (ex *exchange) appendForwarding(out []byte) []byte {
	out = append(out, "X-Forwarded-For: "...)
	if ex.trusted {
		out = ex.appendAll(out, http1.KindXForwardedFor)
	}
	out = appendAddr(out, ex.peer)
	out = append(out, "\r\n"...)

	proto := "http"
	if ex.secure {
		proto = "https"
	}
	out = ex.appendBelieved(out, http1.KindXForwardedProto, "X-Forwarded-Proto", proto)
	out = append(out, "X-Forwarded-Host: "...)
	if v, ok := ex.believed(http1.KindXForwardedHost); ok {
		out = append(out, v...)
	} else {
		out = append(out, ex.req.Host...)
	}
	out = append(out, "\r\n"...)
	out = ex.appendBelieved(out, http1.KindXForwardedPort, "X-Forwarded-Port", ex.listener.port)

	out = append(out, "Forwarded: "...)
	if ex.trusted {
		out = ex.appendAll(out, http1.KindForwarded)
	}
	out = append(out, "for="...)
	if ex.peer.Is6() { // RFC 7239 section 6: quoted, because of the colons
		out = append(out, `"[`...)
		out = appendAddr(out, ex.peer)
		out = append(out, `]"`...)
	} else {
		out = appendAddr(out, ex.peer)
	}
	out = append(out, ";proto="...)
	out = append(out, proto...)
	if len(ex.req.Host) > 0 {
		out = append(out, `;host="`...)
		out = append(out, ex.req.Host...) // validated: holds no quote
		out = append(out, '"')
	}
	return append(out, "\r\n"...)
}

func (ex *exchange) believed(k http1.Kind) ([]byte, bool) {
	if !ex.trusted {
		return nil, false
	}
	return ex.req.Lookup(k)
}

func (ex *exchange) appendBelieved(out []byte, k http1.Kind, name, otherwise string) []byte {
	if v, ok := ex.believed(k); ok {
		return http1.AppendField(out, name, v)
	}
	return http1.AppendField(out, name, otherwise)
}

// appendAll appends the elements of all fields of a kind, in order, each followed by ", ".
func (ex *exchange) appendAll(out []byte, k http1.Kind) []byte {
	for i := range ex.req.Fields {
		if f := &ex.req.Fields[i]; f.Kind == k && len(f.Value) > 0 {
			out = append(out, f.Value...)
			out = append(out, ", "...)
		}
	}
	return out
}

func appendAddr(out []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return append(out, "unknown"...)
	}
	return a.AppendTo(out)
}

// securityField reports whether a field outside http1's table must survive
// being named by the client's Connection field: a client could otherwise make
// the proxy drop what a backend decides by.
func securityField(name []byte) bool {
	f := http1.Field{Name: name}
	for _, keep := range [...]string{
		"X-Api-Key", "X-Amzn-Oidc-Data", "X-Amzn-Oidc-Identity", "X-Amzn-Oidc-Accesstoken", "X-Csrf-Token",
		"X-Forwarded-Client-Cert", "Tracestate", "Sec-WebSocket-Key", "Sec-WebSocket-Version",
		"Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "X-GraphQL-Event-Stream-Token",
		"X-Phoenix-Longpoll-Token", "Last-Event-ID",
	} {
		if f.Is(keep) {
			return true
		}
	}
	return false
}

// spoofsForwarding recognises X_Forwarded_For and its like, which CGI and WSGI
// backends cannot tell from the real ones.
func spoofsForwarding(name []byte) bool {
	dashed := bytes.ReplaceAll(name, []byte{'_'}, []byte{'-'})
	f := http1.Field{Name: dashed}
	for _, n := range [...]string{
		"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Real-IP", "X-Request-Id",
	} {
		if f.Is(n) {
			return true
		}
	}
	return false
}

// appendAnswerFields copies the fields of an answer that are for the client.
func appendAnswerFields(out []byte, fields []http1.Field) []byte {
	for i := range fields {
		if f := &fields[i]; forClient(f) {
			out = http1.AppendField(out, f.Name, f.Value)
		}
	}
	return out
}

// forClient reports whether a field of a backend's answer passes.
func forClient(f *http1.Field) bool {
	if f.Kind.HopByHop() || f.Kind == http1.KindContentLength {
		return false
	}
	return !f.Named || f.Kind != http1.KindOther
}

func portOf(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok {
		return strconv.Itoa(t.Port)
	}
	return ""
}
