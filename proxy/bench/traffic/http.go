// Package traffic is the speech of the benchmark's two ends: the requests the
// load generator sends, the answers the backend gives, WebSocket frames
// (RFC 6455), and parsers for what a proxy makes of them.
//
// Everything is preformatted or appended to a caller's buffer and the parsers
// do not allocate, because both ends must cost far less than what is measured.
// The parsers trust their peers: they find the end of a message and reject what
// the benchmark does not use (chunked bodies, fragmented frames); they are no
// protection against anybody.
package traffic

import (
	"bytes"
	"errors"
	"fmt"
)

// Paths the backend knows.
const (
	SmallPath  = "/small"
	PollPath   = "/socket.io/"
	SocketPath = "/ws"
)

const clientHead = "Host: bench.example\r\nUser-Agent: dsproxy-bench\r\nAccept: */*\r\n"

// smallBody is the body of the small answer: 100 bytes of JSON.
const smallBody = `{"status":"ok","message":"an answer of one hundred bytes, as many services give","n":12345678901234}`

// pollBody is an engine.io 4 message packet with a socket.io event.
const pollBody = `42["tick",1234567890]`

var (
	// SmallRequest asks for the small answer.
	SmallRequest = []byte("GET " + SmallPath + " HTTP/1.1\r\n" + clientHead + "\r\n")
	// HandshakeRequest opens an engine.io 4 session.
	HandshakeRequest = []byte("GET " + PollPath + "?EIO=4&transport=polling HTTP/1.1\r\n" + clientHead + "\r\n")
	// UpgradeRequest opens a WebSocket. Its key is the one of RFC 6455 section 1.3.
	UpgradeRequest = []byte("GET " + SocketPath + " HTTP/1.1\r\n" + clientHead +
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")

	// SmallAnswer is the whole answer to SmallRequest.
	SmallAnswer = answer("application/json", smallBody)
	// PollAnswer is the whole answer to a poll of a known session.
	PollAnswer = answer("text/plain; charset=UTF-8", pollBody)
	// NotFound answers a request the benchmark does not know.
	NotFound = []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
)

// PollRequest polls the session sid.
func PollRequest(sid []byte) []byte {
	return fmt.Appendf(nil, "GET %s?EIO=4&transport=polling&sid=%s HTTP/1.1\r\n%s\r\n", PollPath, sid, clientHead)
}

// HandshakeAnswer is the whole answer that opens the session sid.
func HandshakeAnswer(sid []byte) []byte {
	return answer("text/plain; charset=UTF-8", fmt.Sprintf(
		`0{"sid":"%s","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`, sid))
}

func answer(contentType, body string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n"+
		"Cache-Control: no-store\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\n\r\n%s", contentType, len(body), body)
}

// Answer is one answer at the start of a buffer.
type Answer struct {
	Status int
	Body   []byte // part of the buffer
	Length int    // of head and body, in bytes
}

var (
	endOfHead = []byte("\r\n\r\n")
	http1     = []byte("HTTP/1.")
)

// ParseAnswer finds the answer b starts with; ok is false while it is not whole
// yet. A body must have a Content-Length.
func ParseAnswer(b []byte) (a Answer, ok bool, err error) {
	end := bytes.Index(b, endOfHead)
	if end < 0 {
		return Answer{}, false, nil
	}
	head := b[:end+2]
	if len(head) < len("HTTP/1.1 200\r\n") || !bytes.HasPrefix(head, http1) {
		return Answer{}, false, fmt.Errorf("not an HTTP/1 answer: %.40q", head)
	}
	if a.Status, err = digits(head[9:12]); err != nil {
		return Answer{}, false, fmt.Errorf("status of %.40q: %w", head, err)
	}
	length := 0
	if a.Status != 101 && a.Status != 204 && a.Status != 304 {
		value, found := Header(head, "Content-Length")
		if !found {
			return Answer{}, false, fmt.Errorf("an answer without Content-Length: %q", head)
		}
		if length, err = digits(value); err != nil {
			return Answer{}, false, fmt.Errorf("Content-Length: %w", err)
		}
	}
	a.Length = end + len(endOfHead) + length
	if len(b) < a.Length {
		return Answer{}, false, nil
	}
	a.Body = b[end+len(endOfHead) : a.Length]
	return a, true, nil
}

// Kind is what a request asks of the backend.
type Kind uint8

// The kinds of requests.
const (
	Unknown Kind = iota
	Small
	Handshake
	Poll
	Upgrade
)

// Request is one request at the start of a buffer.
type Request struct {
	Kind   Kind
	SID    []byte // of a Poll
	Key    []byte // Sec-WebSocket-Key of an Upgrade
	Length int
}

var (
	getSmall  = []byte("GET " + SmallPath)
	getPoll   = []byte("GET " + PollPath + "?")
	getSocket = []byte("GET " + SocketPath)
	sidParam  = []byte("&sid=")
)

// ParseRequest finds the request b starts with; ok is false while it is not
// whole yet. Requests have no bodies here.
func ParseRequest(b []byte) (r Request, ok bool) {
	end := bytes.Index(b, endOfHead)
	if end < 0 {
		return Request{}, false
	}
	head := b[:end+2]
	r.Length = end + len(endOfHead)
	line := head[:bytes.IndexByte(head, '\n')]
	switch {
	case bytes.HasPrefix(line, getSmall):
		r.Kind = Small
	case bytes.HasPrefix(line, getPoll):
		r.Kind = Handshake
		if i := bytes.Index(line, sidParam); i >= 0 {
			r.Kind = Poll
			r.SID = line[i+len(sidParam):]
			if j := bytes.IndexAny(r.SID, " &"); j >= 0 {
				r.SID = r.SID[:j]
			}
		}
	case bytes.HasPrefix(line, getSocket):
		if key, found := Header(head, "Sec-WebSocket-Key"); found {
			r.Kind, r.Key = Upgrade, key
		}
	}
	return r, true
}

// Header returns the value of the first header line called name in any case;
// head starts with the request or status line.
func Header(head []byte, name string) (value []byte, found bool) {
	for {
		i := bytes.IndexByte(head, '\n')
		if i < 0 {
			return nil, false
		}
		head = head[i+1:]
		if len(head) > len(name) && head[len(name)] == ':' && foldEqual(head[:len(name)], name) {
			value = head[len(name)+1:]
			if j := bytes.IndexByte(value, '\n'); j >= 0 {
				value = value[:j]
			}
			return bytes.TrimSpace(value), true
		}
	}
}

func foldEqual(b []byte, name string) bool {
	for i := range b {
		x, y := b[i], name[i]
		if x != y && (x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z') {
			return false
		}
	}
	return true
}

var errNotNumber = errors.New("not a number")

func digits(b []byte) (n int, err error) {
	if len(b) == 0 || len(b) > 9 {
		return 0, errNotNumber
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, errNotNumber
		}
		n = n*10 + int(c-'0')
	}
	return n, nil
}
