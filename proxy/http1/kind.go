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
	lastHopByHop = KindUpgrade
)

const (
	KindContentLength Kind = lastHopByHop + 1 + iota
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
	KindCacheControl
	KindDate
	KindServer
	KindLocation
	KindRetryAfter
	KindMCPSessionID
	numKinds
)

// HopByHop reports whether the field speaks of one connection only and is not
// forwarded as it came (RFC 9110 section 7.6.1): Connection, Keep-Alive,
// Proxy-Connection, TE, Trailer, Transfer-Encoding and Upgrade. Content-Length
// is not among them, but a forwarder writes it from Framing instead of copying.
func (k Kind) HopByHop() bool { return k != KindOther && k <= lastHopByHop }
