package affinity

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testRequest is a Request out of bytes, without allocation like the real one.
type testRequest struct {
	method, path, query, host []byte
	header                    []testHeader
	ip                        netip.Addr
}

type testHeader struct {
	name  string
	value []byte
}

func (r *testRequest) Method() []byte       { return r.method }
func (r *testRequest) Path() []byte         { return r.path }
func (r *testRequest) Query() []byte        { return r.query }
func (r *testRequest) Host() []byte         { return r.host }
func (r *testRequest) RemoteIP() netip.Addr { return r.ip }

func (r *testRequest) Header(name string) ([]byte, bool) {
	for i := range r.header {
		if h := &r.header[i]; len(h.name) == len(name) && strings.EqualFold(h.name, name) {
			return h.value, true
		}
	}
	return nil, false
}

// request makes a Request of "METHOD target" and "Name: value" lines.
func request(line string, header ...string) *testRequest {
	method, target, _ := strings.Cut(line, " ")
	path, query, _ := strings.Cut(target, "?")
	r := &testRequest{
		method: []byte(method), path: []byte(path), query: []byte(query), host: []byte("rt.example"),
		ip: netip.MustParseAddr("192.0.2.7"),
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.host = []byte(value)
		}
		r.header = append(r.header, testHeader{name, []byte(value)})
	}
	return r
}

type testResponse struct {
	status int
	header http.Header
}

func (r *testResponse) Status() int { return r.status }

func (r *testResponse) Header(name string) ([]byte, bool) {
	v, ok := r.header[http.CanonicalHeaderKey(name)]
	if !ok {
		return nil, false
	}
	return []byte(v[0]), true
}

// exchange is a request and its answer as real programs sent them.
type exchange struct {
	*testRequest
	body     []byte
	resp     *testResponse
	respBody []byte
}

// capture reads an exchange of testdata/captures.
func capture(t testing.TB, name string) exchange {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "captures", name+".req"))
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(raw), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	target := strings.TrimSuffix(lines[0], " HTTP/1.1")
	x := exchange{testRequest: request(target, lines[1:]...), body: []byte(body)}

	raw, err = os.ReadFile(filepath.Join("testdata", "captures", name+".res"))
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) == 0 {
		return x
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	x.resp = &testResponse{resp.StatusCode, resp.Header}
	if resp.StatusCode != 101 {
		if x.respBody, err = io.ReadAll(resp.Body); err != nil && err != io.ErrUnexpectedEOF {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return x
}

// mustMatch returns what the built-in rules say of an exchange, its body read.
func (x exchange) mustMatch(t testing.TB) Match {
	t.Helper()
	m, ok := Builtin().Match(x)
	if !ok {
		t.Fatalf("no rule matches %s %s?%s", x.method, x.path, x.query)
	}
	if m.NeedBody > 0 && !m.KeyFromBody(x.body, true) {
		t.Fatal("KeyFromBody wants more than there is")
	}
	return m
}
