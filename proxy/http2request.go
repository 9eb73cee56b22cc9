package proxy

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strconv"

	"github.com/dsproxy/dsproxy/proxy/http1"
)

// streamKind says what a stream asks for beside its fields.
type streamKind struct {
	connect bool     // an extended CONNECT
	refusal *refusal // it cannot be forwarded
}

// requestOf shows a stream's request as the HTTP/1 request it stands for. An
// extended CONNECT (RFC 8441) becomes the WebSocket upgrade it replaces.
func requestOf(r *http.Request, lim Limits) (*http1.Request, streamKind) {
	var kind streamKind
	req := &http1.Request{
		Method: []byte(r.Method), Host: []byte(r.Host), Minor: 1, KeepAlive: true,
		Path: []byte(r.URL.EscapedPath()), RawQuery: []byte(r.URL.RawQuery),
		HasQuery: r.URL.RawQuery != "" || r.URL.ForceQuery,
	}
	if r.RequestURI != "" && r.RequestURI[0] == '/' {
		req.Target = []byte(r.RequestURI)
		req.Path, req.RawQuery, req.HasQuery = splitTarget(req.Target)
	} else {
		req.Form = http1.AbsoluteForm // AppendTarget writes Path and RawQuery
	}
	switch {
	case r.ContentLength > 0:
		req.Framing = http1.Framing{Kind: http1.Length, Length: r.ContentLength}
	case r.ContentLength < 0:
		req.Framing = http1.Framing{Kind: http1.Chunked}
	}
	if r.Method == http.MethodConnect {
		protocol := r.Header.Get(":protocol")
		if protocol != "websocket" {
			kind.refusal = &refusal{status: http.StatusNotImplemented, cause: "connect"}
			return req, kind
		}
		kind.connect = true
		req.Method, req.Framing = []byte(http.MethodGet), http1.Framing{}
		req.Upgrade = []byte("websocket")
		req.Fields = append(req.Fields, fieldOf("Sec-WebSocket-Key", newWebSocketKey()))
	}
	lines := 0
	for name, values := range r.Header {
		if name[0] == ':' {
			continue
		}
		for _, v := range values {
			if !http1.ValidName(name) || !http1.ValidValue(v) {
				kind.refusal = &refusal{status: http.StatusBadRequest, cause: http1.CauseBadValue}
				return req, kind
			}
			lines++
			req.Fields = append(req.Fields, fieldOf(name, v))
		}
	}
	if lines > lim.HeadLines {
		kind.refusal = &refusal{status: http.StatusRequestHeaderFieldsTooLarge, cause: http1.CauseHeaderLines, limit: limitHead}
	}
	return req, kind
}

func fieldOf(name, value string) http1.Field {
	f := field(name, value)
	f.Kind = http1.KindOf(f.Name)
	return f
}

func splitTarget(t []byte) (path, query []byte, has bool) {
	for i, b := range t {
		if b == '?' {
			return t[:i], t[i+1:], true
		}
	}
	return t, nil, false
}

func newWebSocketKey() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

func setLength(h http.Header, a *answer) {
	switch {
	case a.framing.Kind == http1.Length:
		h.Set("Content-Length", strconv.FormatInt(a.framing.Length, 10))
	case a.framing.Kind == http1.None && a.declared >= 0:
		h.Set("Content-Length", strconv.FormatInt(a.declared, 10))
	}
}

// h2Source is the body of a stream's request.
type h2Source struct {
	r   *http.Request
	buf []byte
	err error
}

// Ready is false: whether a read would wait cannot be seen from here.
func (s *h2Source) Ready() bool { return false }

func (s *h2Source) Next() ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	if s.buf == nil {
		s.buf = make([]byte, 16<<10)
	}
	for {
		n, err := s.r.Body.Read(s.buf)
		s.err = err
		if n > 0 {
			return s.buf[:n], nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (s *h2Source) Trailers() (fields []http1.Field) {
	for name, values := range s.r.Trailer {
		for _, v := range values {
			fields = append(fields, fieldOf(name, v))
		}
	}
	return fields
}
