package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// message is what both parsers are asked about.
type message struct {
	start   string // method and target, or status and reason
	host    string
	fields  []string // "name: value", sorted; framing fields left out
	body    string
	trailer []string
}

func (m message) String() string {
	return fmt.Sprintf("%s @%s %q %q %q", m.start, m.host, m.fields, m.body, m.trailer)
}

// FuzzRequest: whatever we accept, net/http accepts with the same meaning.
// Exceptions, where net/http is the stricter or the looser one by design:
//   - it resolves an absolute-form target without a path to "", we to "/";
//   - it rejects the header "Host" with bytes we never accept, but allows
//     more, so only the accepted direction is compared;
//   - it deletes the fields that frame (and Trailer, when chunked; Connection,
//     in a response that closes), we keep them in Fields;
//   - it takes trailers that we drop.
func FuzzRequest(f *testing.F) {
	for _, row := range requestTable {
		f.Add([]byte(row.in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		c := NewConn(&scriptConn{pieces: [][]byte{bytes.Clone(in)}})
		theirs := bufio.NewReaderSize(bytes.NewReader(in), 64<<10) // bounds trailers
		var req Request
		for {
			if err := c.ReadRequest(&req, Limits{}); err != nil {
				return
			}
			our := message{start: string(req.Method) + " " + string(req.AppendTarget(nil)), host: string(req.Host)}
			our.fields = sortedFields(req.Fields)
			body, bodyErr := io.ReadAll(c.Body())
			our.body, our.trailer = string(body), sortedFields(c.Body().Trailers())

			// net/http skips no empty line before a request.
			if p, _ := theirs.Peek(2); string(p) == "\r\n" {
				theirs.Discard(2)
			}
			hr, err := http.ReadRequest(theirs)
			if err != nil {
				t.Fatalf("net/http rejects what we accept: %v\nours: %v", err, our)
			}
			their := message{start: hr.Method + " " + hr.URL.RequestURI(), host: hr.Host}
			if strings.HasPrefix(hr.RequestURI, "/") || hr.RequestURI == "*" {
				their.start = hr.Method + " " + hr.RequestURI
			} else if i := strings.IndexAny(hr.RequestURI[8:], "/?"); i >= 0 {
				their.start = hr.Method + " " + hr.RequestURI[8+i:]
				if hr.RequestURI[8+i] == '?' {
					their.start = hr.Method + " /" + hr.RequestURI[8+i:]
				}
			}
			their.fields = sortedHeader(hr.Header)
			data, err := io.ReadAll(hr.Body)
			if bodyErr != nil {
				return
			}
			if err != nil {
				t.Fatalf("net/http rejects a body we accept: %v\nours: %v", err, our)
			}
			their.body = string(data)
			our.fields = slices.DeleteFunc(our.fields, func(s string) bool { return strings.HasPrefix(s, "host: ") })
			compareTrailers(t, our.trailer, hr.Trailer)
			their.trailer = our.trailer
			if our.String() != their.String() {
				t.Fatalf("two meanings:\n ours %v\ntheirs %v", our, their)
			}
			if hr.Close == req.KeepAlive && req.Minor == 1 {
				t.Fatalf("keep-alive: ours %v, net/http closes: %v", req.KeepAlive, hr.Close)
			}
		}
	})
}

// FuzzResponse is FuzzRequest for responses to GET and HEAD. White space around
// a reason is not compared, and nothing behind a 101 is.
func FuzzResponse(f *testing.F) {
	for _, row := range responseTable {
		f.Add([]byte(row.in), row.method == "HEAD")
	}
	f.Fuzz(func(t *testing.T, in []byte, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		c := NewConn(&scriptConn{pieces: [][]byte{bytes.Clone(in)}})
		theirs := bufio.NewReaderSize(bytes.NewReader(in), 64<<10) // bounds trailers
		var resp Response
		for {
			if err := c.ReadResponse(&resp, []byte(method), Limits{}); err != nil {
				return
			}
			our := message{start: fmt.Sprintf("%d %s", resp.Status, resp.Reason)}
			our.fields = sortedFields(resp.Fields)
			body, bodyErr := io.ReadAll(c.Body())
			our.body, our.trailer = string(body), sortedFields(c.Body().Trailers())

			hr, err := http.ReadResponse(theirs, &http.Request{Method: method})
			if err != nil {
				t.Fatalf("net/http rejects what we accept: %v\nours: %v", err, our)
			}
			_, reason, _ := strings.Cut(hr.Status, " ")
			their := message{start: fmt.Sprintf("%d %s", hr.StatusCode, reason)}
			our.start = strings.Join(strings.Fields(our.start), " ")
			their.start = strings.Join(strings.Fields(their.start), " ")
			their.fields = sortedHeader(hr.Header)
			data, err := io.ReadAll(hr.Body)
			if bodyErr != nil || resp.Status == 101 {
				return
			}
			if err != nil {
				t.Fatalf("net/http rejects a body we accept: %v\nours: %v", err, our)
			}
			their.body = string(data)
			compareTrailers(t, our.trailer, hr.Trailer)
			their.trailer = our.trailer
			if our.String() != their.String() {
				t.Fatalf("two meanings:\n ours %v\ntheirs %v", our, their)
			}
			if hr.Close && resp.KeepAlive {
				t.Fatalf("we would reuse a connection that net/http closes")
			}
		}
	})
}

func sortedFields(fields []Field) []string {
	var all []string
	for _, f := range fields {
		switch f.Kind {
		case KindContentLength, KindTransferEncoding, KindTrailer, KindConnection:
			continue
		}
		all = append(all, strings.ToLower(string(f.Name))+": "+string(f.Value))
	}
	slices.Sort(all)
	return all
}

func sortedHeader(h http.Header) []string {
	var all []string
	for name, values := range h {
		switch name {
		case "Content-Length", "Transfer-Encoding", "Trailer", "Connection":
			continue
		}
		for _, v := range values {
			all = append(all, strings.ToLower(name)+": "+v)
		}
	}
	slices.Sort(all)
	return all
}

// compareTrailers checks that ours are among theirs.
func compareTrailers(t *testing.T, ours []string, theirs http.Header) {
	t.Helper()
	all := sortedHeader(theirs)
	for _, o := range ours {
		if !slices.Contains(all, o) {
			t.Fatalf("trailer %q is not among net/http's %q", o, all)
		}
	}
}
