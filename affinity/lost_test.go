package affinity

import (
	"encoding/json"
	"strings"
	"testing"
)

// lostFor returns the answer to a request whose session is gone.
func lostFor(t testing.TB, r *testRequest, body string) (LostAnswer, bool) {
	t.Helper()
	m := mustMatch(t, r)
	if m.NeedBody > 0 {
		m.KeyFromBody([]byte(body), true)
	}
	return m.Lost(r, []byte(body))
}

// TestLostSockJS compares the answers with what a real server sends on the
// same transport when it closes a session; they differ in the reason alone.
func TestLostSockJS(t *testing.T) {
	f := func(name string) {
		t.Helper()
		x := capture(t, name)
		a, ok := lostFor(t, x.testRequest, "")
		if !ok {
			t.Fatalf("%s: no answer", name)
		}
		if kind, _ := x.resp.Header("Content-Type"); a.Status != x.resp.status || a.ContentType != string(kind) {
			t.Errorf("%s: %d %s, want %d %s", name, a.Status, a.ContentType, x.resp.status, kind)
		}
		const closed, lost = `c[3000,"Go away!"]`, `c[1012,"Service restart"]`
		got := strings.ReplaceAll(strings.ReplaceAll(string(a.Body), lost, closed), jsonInside(lost), jsonInside(closed))
		want := string(x.respBody)
		for _, frame := range []string{"o\n", "a[\"hi\"]\n", "data: o\r\n\r\n", "data: a[\"hi\"]\r\n\r\n"} {
			want = strings.ReplaceAll(want, frame, "")
		}
		if !strings.HasSuffix(string(x.path), "htmlfile") && got != want { // its page is our own
			t.Errorf("%s: body %q, want %q", name, got, want)
		}
		for _, h := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"} {
			want, _ := x.resp.Header(h)
			if got := a.header(h); got != string(want) {
				t.Errorf("%s: %s: %q, want %q", name, h, got, want)
			}
		}
	}
	f("sockjs/xhr-close")
	f("sockjs/xhr_streaming-close")
	f("sockjs/eventsource-close")
	f("sockjs/jsonp-close")
	f("sockjs/htmlfile-close")

	a, _ := lostFor(t, request("GET /e/000/s/htmlfile?c=_jp.a1"), "")
	script, frame, _ := strings.Cut(string(a.Body), "\r\n\r\n")
	if len(script) < 1024 || !strings.Contains(script, "parent._jp.a1;") || frame != "<script>\np(\"c[1012,\\\"Service restart\\\"]\");\n</script>\r\n" {
		t.Errorf("htmlfile: %q", a.Body)
	}
}

func jsonInside(s string) string {
	b, _ := json.Marshal(s)
	return string(b[1 : len(b)-1])
}

func (a *LostAnswer) header(name string) string {
	for _, h := range a.Header {
		if h[0] == name {
			return h[1]
		}
	}
	return ""
}

// TestLostBayeux compares with what a real server says to a client that it does
// not know. Publishing, which it calls successful, must not be.
func TestLostBayeux(t *testing.T) {
	f := func(r *testRequest, body, want string) {
		t.Helper()
		a, ok := lostFor(t, r, body)
		if !ok || a.Status != 200 || string(a.Body) != want {
			t.Errorf("%s: %v, %d %s; want %s", body, ok, a.Status, a.Body, want)
		}
	}
	post := request("POST /faye")
	refusal := func(id, channel string) string {
		return `{"id":"` + id + `","channel":"` + channel + `","successful":false,"error":"401:nope:Unknown client","advice":{"reconnect":"handshake","interval":0}}`
	}
	f(post, `[{"channel":"/foo","data":{"a":1},"clientId":"nope","id":"3"}]`, `[`+refusal("3", "/foo")+`]`)
	f(post, `[{"channel":"/meta/connect","clientId":"nope","id":"4"},{"channel":"/foo","clientId":"nope","id":"5"}]`,
		`[`+refusal("4", "/meta/connect")+`,`+refusal("5", "/foo")+`]`)
	f(post, `{"channel":"/foo","clientId":"nope"}`,
		`[{"channel":"/foo","successful":false,"error":"401:nope:Unknown client","advice":{"reconnect":"handshake","interval":0}}]`)
	x := capture(t, "faye/publish-unknown-jsonp")
	f(x.testRequest, "", "/**/__jsonp2__(["+refusal("3", "/foo")+","+refusal("4", "/meta/connect")+"]);")
	if a, _ := lostFor(t, x.testRequest, ""); a.ContentType != "text/javascript; charset=utf-8" {
		t.Errorf("JSONP as %s", a.ContentType)
	}
	x = capture(t, "faye/publish-form")
	if a, ok := lostFor(t, x.testRequest, string(x.body)); !ok || !json.Valid(a.Body) || a.header("Access-Control-Allow-Origin") != "http://x.example" {
		t.Errorf("form: %v, %+v", ok, a)
	}
	// What the client sent stays a JSON text.
	a, _ := lostFor(t, post, `[{"channel":"/a\"b","clientId":"x\"},{\\","id":"\u0022"}]`)
	if !json.Valid(a.Body) {
		t.Errorf("not JSON: %s", a.Body)
	}
	// What is none, is not given back.
	a, _ = lostFor(t, post, `[{"channel":"/a","clientId":"x","id":alert(1)},{"channel":"\q","clientId":"x","id":17}]`)
	if want := `[{"channel":"/a","successful":false,"error":"401:x:Unknown client","advice":{"reconnect":"handshake","interval":0}}]`; string(a.Body) != want {
		t.Errorf("got %s, want %s", a.Body, want)
	}
	// A handshake has no session to lose.
	if _, ok := lostFor(t, post, `[{"channel":"/meta/handshake"}]`); ok {
		t.Error("a handshake is lost")
	}
}

func TestLostPhoenix(t *testing.T) {
	f := func(r *testRequest, want string) {
		t.Helper()
		a, ok := lostFor(t, r, "")
		if !ok || a.Status != 200 || string(a.Body) != want || a.header("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%v, %+v; want %s", ok, a, want)
		}
	}
	f(request("GET /socket/longpoll?vsn=2.0.0&token=t"), `{"status":410,"token":null,"messages":[]}`)
	f(request("POST /socket/longpoll?vsn=2.0.0&token=t"), `{"status":410}`)
}

// TestLostNative holds where a healthy backend answers itself.
func TestLostNative(t *testing.T) {
	f := func(r *testRequest) {
		t.Helper()
		if a, ok := lostFor(t, r, ""); ok {
			t.Errorf("%s %s?%s: the proxy answers %s", r.method, r.path, r.query, a.Body)
		}
	}
	f(request("GET /?EIO=4&transport=polling&sid=a"))
	f(request("GET /?EIO=4&transport=websocket&sid=a", "Upgrade: websocket"))
	f(request("POST /e/000/s/xhr_send"))
	f(request("GET /e/000/s/websocket", "Upgrade: websocket"))
	f(request("POST /mcp", "Mcp-Session-Id: s"))
	f(request("GET /socket/longpoll?vsn=2.0.0"))
	// No name to call back, one that is more than a name, or two.
	f(request("GET /e/000/s/jsonp"))
	f(request("GET /e/000/s/jsonp?c="))
	f(request("GET /e/000/s/jsonp?c=alert(1);x"))
	f(request("GET /e/000/s/htmlfile?c=%3C/script%3E"))
	f(request("GET /e/000/s/jsonp?c=a&c=b"))
	f(request("GET /e/000/s/jsonp?c=" + strings.Repeat("a", maxFieldName+1)))
}

func TestLostOrigin(t *testing.T) {
	f := func(origin, allow, credentials string) {
		t.Helper()
		r := request("POST /e/000/s/xhr", "Origin: "+origin)
		a, _ := lostFor(t, r, "")
		if got := a.header("Access-Control-Allow-Origin"); got != allow {
			t.Errorf("origin %q: allowed is %q, want %q", origin, got, allow)
		}
		if got := a.header("Access-Control-Allow-Credentials"); got != credentials {
			t.Errorf("origin %q: credentials %q, want %q", origin, got, credentials)
		}
	}
	f("", "*", "")
	f("null", "null", "true")
	f("https://a.example", "https://a.example", "true")
	f("https://a.example\r\nX: y", "*", "")
	f("https://"+strings.Repeat("a", 300), "*", "")
}
