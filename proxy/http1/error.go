package http1

import (
	"errors"
	"strconv"
)

// Error says why a message was rejected. Cause is a stable key of the Cause
// constants, fit to be a metric label. Status is what a proxy should answer:
// for a bad request the 4xx or 5xx of RFC 9110; for a bad response always 502.
type Error struct {
	Status int
	Cause  string
}

// Error reads like "http1: malformed message (bare_lf), status 400".
func (e *Error) Error() string {
	return "http1: message rejected (" + e.Cause + "), status " + strconv.Itoa(e.Status)
}

// Causes of an Error.
const (
	CauseRequestLine   = "request_line"   // 400: not exactly method SP target SP version
	CauseMethod        = "method"         // 400: method is not a token; 501: longer than 32 bytes
	CauseTarget        = "target"         // 400: control, space, non-ASCII, fragment, userinfo, bad escape or form
	CauseTargetBytes   = "target_bytes"   // 414: request line over Limits.LineBytes
	CauseVersion       = "version"        // 400: malformed; 505: not HTTP/1.0 or HTTP/1.1
	CausePreface       = "http2_preface"  // 505: HTTP/2 preface on an HTTP/1 connection
	CauseConnect       = "connect"        // 501: CONNECT is not served over HTTP/1
	CauseStatusLine    = "status_line"    // 502: malformed status line
	CauseBareLF        = "bare_lf"        // 400: LF without CR
	CauseBareCR        = "bare_cr"        // 400: CR without LF
	CauseEmptyLines    = "empty_lines"    // 400: more than one empty line before a request
	CauseFold          = "fold"           // 400: field line begins with SP or HTAB
	CauseBadName       = "bad_name"       // 400: empty field name, no colon, space before it, not a token
	CauseBadValue      = "bad_value"      // 400: NUL, DEL or a control byte in a field value
	CauseHeaderLines   = "header_lines"   // 431: more field lines than Limits.Lines
	CauseHeadBytes     = "head_bytes"     // 431: head over Limits.HeadBytes
	CauseHeadTimeout   = "head_timeout"   // 408: head begun but not complete within Limits.HeadTimeout
	CauseHost          = "host"           // 400: Host missing, repeated, malformed or not the target's
	CauseFraming       = "framing"        // 400: Content-Length with Transfer-Encoding, or either one repeated
	CauseContentLength = "content_length" // 400: not 1*DIGIT, or more than 2^63-1
	CauseCoding        = "coding"         // 400: final coding not chunked, HTTP/1.0; 501: another coding before it
	CauseBody          = "body"           // 502: a body where a status allows none
	CauseConnection    = "connection"     // 400: Connection is not a list of tokens, or of too many
	CauseUpgrade       = "upgrade"        // 400: Upgrade repeated or malformed
	CauseExpect        = "expect"         // 417: expectation other than 100-continue
	CauseChunkLine     = "chunk_line"     // 400: malformed chunk size, extension or line end
	CauseChunkBytes    = "chunk_bytes"    // 400: chunk line over Limits.ChunkLineBytes, or extensions without data
	CauseTrailer       = "trailer"        // 400: malformed trailer; 431: over Limits.TrailerBytes or Lines
)

// Errors that show a wrong use of this package, or of the peer's framing by
// the caller; the connection can only be closed after one of them.
var (
	// ErrBodyUnread is returned by ReadRequest and ReadResponse while the body
	// of the message before has not been read to its end.
	ErrBodyUnread = errors.New("http1: the body of the message before was not read to its end")
	// ErrBodyTooLong is returned by BodyWriter.Write for bytes beyond the
	// declared length, or for any byte where no body is allowed. Nothing of
	// that Write has been sent.
	ErrBodyTooLong = errors.New("http1: body is longer than declared")
	// ErrBodyTooShort is returned by BodyWriter.Close when fewer bytes than
	// declared were written.
	ErrBodyTooShort = errors.New("http1: body is shorter than declared")
	// ErrBodyClosed is returned by a BodyWriter used after Close.
	ErrBodyClosed = errors.New("http1: body is already closed")
	// ErrStale is returned by AwaitAnswer when the backend had closed the
	// connection, or sent bytes nobody asked for, before the request went out:
	// no byte of it was sent.
	ErrStale = errors.New("http1: connection died before the request was sent")
	// ErrDetached is returned by every use of a Conn after Detach.
	ErrDetached = errors.New("http1: connection was detached")
	// ErrPoolClosed is returned, in a DialError, by a Pool after Close.
	ErrPoolClosed = errors.New("http1: pool is closed")
)
