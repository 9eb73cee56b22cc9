package http1

// Kind names a well-known field, found while the head is parsed, so that a
// forwarder can switch on it instead of comparing names.
type Kind uint8

// Hop-by-hop kinds come first; see Kind.HopByHop.
const (
	KindOther Kind = iota
	KindConnection
	KindKeepAlive
	KindProxyConnection
	KindTE
	KindTrailer
	KindTransferEncoding
	KindUpgrade
	KindContentLength
	KindHost
	KindExpect
	KindForwarded
	KindXForwardedFor
	KindXForwardedProto
	KindXForwardedHost
	KindXForwardedPort
	KindXRealIP
	KindXRequestID
	KindXAmznTraceID
	KindTraceparent
	KindVia
	KindAuthorization
	KindProxyAuthorization
	KindProxyAuthenticate
	KindCookie
	KindSetCookie
	KindOrigin
	KindAccept
	KindAcceptEncoding
	KindContentType
	KindContentEncoding
	KindContentRange
	KindCacheControl
	KindRange
	KindMaxForwards
	KindDate
	KindServer
	KindLocation
	KindRetryAfter
	KindMCPSessionID
	// kindConfusable is a name that servers of the CGI family read as
	// Content-Length or Transfer-Encoding.
	kindConfusable
)

// HopByHop reports whether the field speaks of one connection only and is not
// forwarded as it came (RFC 9110 section 7.6.1): Connection, Keep-Alive,
// Proxy-Connection, TE, Trailer, Transfer-Encoding and Upgrade. Content-Length
// is not among them, but a forwarder writes it from Framing instead of copying.
func (k Kind) HopByHop() bool { return k != KindOther && k <= KindUpgrade }

// inTrailer reports whether a field of this kind may be passed on as a
// trailer: nothing that frames, routes, authenticates, negotiates or describes
// the body (RFC 9110 section 6.5.1).
func (k Kind) inTrailer() bool {
	switch k {
	case KindOther, KindDate, KindServer, KindVia, KindTraceparent, KindXRequestID, KindXAmznTraceID:
		return true
	}
	return false
}

type knownName struct {
	name string // lower case
	kind Kind
}

// known has the names by their length.
var known = [...][]knownName{
	2:  {{"te", KindTE}},
	3:  {{"via", KindVia}},
	4:  {{"host", KindHost}, {"date", KindDate}},
	5:  {{"range", KindRange}},
	6:  {{"cookie", KindCookie}, {"origin", KindOrigin}, {"accept", KindAccept}, {"server", KindServer}, {"expect", KindExpect}},
	7:  {{"upgrade", KindUpgrade}, {"trailer", KindTrailer}},
	8:  {{"location", KindLocation}},
	9:  {{"forwarded", KindForwarded}, {"x-real-ip", KindXRealIP}},
	10: {{"connection", KindConnection}, {"keep-alive", KindKeepAlive}, {"set-cookie", KindSetCookie}},
	11: {{"traceparent", KindTraceparent}, {"retry-after", KindRetryAfter}},
	12: {{"content-type", KindContentType}, {"x-request-id", KindXRequestID}, {"max-forwards", KindMaxForwards}},
	13: {{"cache-control", KindCacheControl}, {"authorization", KindAuthorization}, {"content-range", KindContentRange}},
	14: {{"content-length", KindContentLength}, {"mcp-session-id", KindMCPSessionID}, {"content_length", kindConfusable}},
	15: {{"accept-encoding", KindAcceptEncoding}, {"x-forwarded-for", KindXForwardedFor}, {"x-amzn-trace-id", KindXAmznTraceID}},
	16: {{"x-forwarded-host", KindXForwardedHost}, {"x-forwarded-port", KindXForwardedPort}, {"content-encoding", KindContentEncoding}, {"proxy-connection", KindProxyConnection}},
	17: {{"transfer-encoding", KindTransferEncoding}, {"x-forwarded-proto", KindXForwardedProto}, {"transfer_encoding", kindConfusable}},
	18: {{"proxy-authenticate", KindProxyAuthenticate}},
	19: {{"proxy-authorization", KindProxyAuthorization}},
}

// KindOf finds the kind of a field name, in any case.
func KindOf(name []byte) Kind {
	if len(name) >= len(known) || len(name) == 0 {
		return KindOther
	}
	first := lower[name[0]]
	for i := range known[len(name)] {
		if k := &known[len(name)][i]; k.name[0] == first && equalFold(name, k.name) {
			return k.kind
		}
	}
	return KindOther
}
