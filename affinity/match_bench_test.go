package affinity

import "testing"

// browserHeader is what a browser sends along.
var browserHeader = []string{
	"Host: rt.example",
	"Connection: keep-alive",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
	"Accept: */*",
	"Sec-Fetch-Site: same-origin",
	"Sec-Fetch-Mode: cors",
	"Sec-Fetch-Dest: empty",
	"Referer: https://rt.example/",
	"Accept-Encoding: gzip, deflate, br, zstd",
	"Accept-Language: en-GB,en;q=0.9",
	"Cookie: theme=dark; session=0123456789abcdef",
}

var benchRequests = []struct {
	name    string
	request *testRequest
	matches bool
}{
	{"plain", request("GET /assets/app.js?v=12", browserHeader...), false},
	{"post", request("POST /api/v1/orders/1234/items", browserHeader...), false},
	{"query", request("GET /search?q=a+long+query&page=2&sort=price&lang=en&token=1&id=2", browserHeader...), false},
	{"poll", request("GET /socket.io/?EIO=4&transport=polling&t=fvsg74a2&sid=1XRhW05DYyfN8neuAAAA", browserHeader...), true},
	{"send", request("POST /socket.io/?EIO=4&transport=polling&t=fvsg74a2&sid=1XRhW05DYyfN8neuAAAA", browserHeader...), true},
	{"handshake", request("GET /socket.io/?EIO=4&transport=polling&t=fvsg74a2", browserHeader...), true},
	{"escaped", request("GET /hub?id=hQJ9PzZ2mUe0wLrVx%2B%2F12Q%3D%3D&_=17", append(browserHeader, "X-Requested-With: XMLHttpRequest")...), true},
	{"sockjs", request("POST /echo/639/gwx3opaq/xhr", browserHeader...), true},
	{"mcp", request("POST /mcp", append(browserHeader, "Mcp-Session-Id: 12c56842-5abd-4ff2-9d8e-c0732a204b8c")...), true},
	{"bayeux", request("POST /faye", browserHeader...), true},
	{"bayeux-query", request("GET /faye?message=%5B%7B%22channel%22%3A%22%2Ffoo%22%2C%22clientId%22%3A%22nope%22%7D%5D&jsonp=x", browserHeader...), true},
}

func TestMatchAllocatesNothing(t *testing.T) {
	rs := Builtin()
	for _, b := range benchRequests {
		if _, ok := rs.Match(b.request); ok != b.matches {
			t.Errorf("%s: matches is %v, want %v", b.name, ok, b.matches)
		}
		if n := testing.AllocsPerRun(100, func() { rs.Match(b.request) }); n != 0 {
			t.Errorf("%s: Match allocates %v times", b.name, n)
		}
	}
}

func TestKeyFromBodyAllocatesNothing(t *testing.T) {
	x := capture(t, "faye/connect-publish")
	m, _ := Builtin().Match(x)
	if n := testing.AllocsPerRun(100, func() {
		m := m
		if !m.KeyFromBody(x.body, true) || !m.HasKey {
			t.Fatal("no key")
		}
	}); n != 0 {
		t.Errorf("KeyFromBody allocates %v times", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	rs := Builtin()
	for _, bb := range benchRequests {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rs.Match(bb.request)
			}
		})
	}
}

func BenchmarkLearn(b *testing.B) {
	x := capture(b, "socketio4/handshake")
	m := x.mustMatch(b)
	b.ReportAllocs()
	for b.Loop() {
		m.Learn(x.resp, x.respBody, true)
	}
}
