package affinity

import (
	"bytes"
	"encoding/json"
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzJSONField compares with encoding/json: whatever that takes for an object,
// the field is the same.
func FuzzJSONField(f *testing.F) {
	f.Add([]byte(`{"sid":"a","x":{"sid":1},"sid":"\ud83d\ude00"}`), "sid")
	f.Add([]byte(` { "a" : [ 1 , "]" , {} ] , "\u0062" : -1.5e3 } `), "b")
	f.Add([]byte(`{"a":"\ud800","b":true,"c":null}`), "a")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		got, st := jsonField(data, name)
		sub, subSt := jsonPath(data, name)
		if !strings.Contains(name, ".") && (!bytes.Equal(got, sub) || st != subSt) {
			t.Fatalf("jsonPath says %q, %v; jsonField %q, %v", sub, subSt, got, st)
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(data, &object) != nil || object == nil || !utf8.Valid(data) || depth(data) > maxJSONDepth || len(name) > maxFieldName {
			return
		}
		want, ok := object[name]
		if st != whole || ok != (got != nil) || !bytes.Equal(bytes.TrimSpace(want), got) {
			t.Fatalf("%s: field %q is %q, %v; want %q", data, name, got, st, want)
		}
		var text string
		if json.Unmarshal(want, &text) == nil && len(got) > 0 && got[0] == '"' {
			buf := make([]byte, 0, len(got)+utf8.UTFMax)
			if have, ok := jsonText(buf, got); !ok || string(have) != text {
				t.Fatalf("text of %s is %q, %v; want %q", got, have, ok, text)
			}
		}
	})
}

// depth is at least how deep data is nested.
func depth(data []byte) int { return bytes.Count(data, []byte("{")) + bytes.Count(data, []byte("[")) }

// FuzzLearn holds that learning does not depend on how the body was cut.
func FuzzLearn(f *testing.F) {
	matches := []*Match{
		mustMatch(f, request("GET /?EIO=4&transport=polling")),
		mustMatch(f, request("POST /hub/negotiate")),
		mustMatch(f, request("GET /signalr/negotiate?clientProtocol=2.1")),
		mustMatch(f, request("GET /socket/longpoll?vsn=2.0.0&token=t")),
		mustMatch(f, request("GET /socket.io/1/")),
		mustMatch(f, request("PUT /graphql")),
		mustMatch(f, request("POST /faye")),
		mustMatch(f, request("POST /bind?VER=8&RID=1")),
	}
	matches[6].KeyFromBody([]byte(`[{"channel":"/meta/handshake"}]`), true)
	for i, body := range []string{
		"0{\"sid\":\"a\",\"pingInterval\":1}", "97:0{\"sid\":\"a\"}2:40", "\x00\x09\x07\xff0{\"sid\":\"\\u0061\"}",
		`___eio[0]("0{\"sid\":\"a\"}");`, `{"connectionToken":"a"}`, `{"messages":[],"status":410,"token":"a"}`,
		"abc:60:60:websocket", " token ", "30\n[[0,[\"c\",\"a\"]]]", `/**/cb([{"channel":"/meta/handshake","successful":true,"clientId":"a"}]);`,
	} {
		f.Add(uint8(i), []byte(body))
		f.Add(uint8(0), []byte(body))
		f.Add(uint8(6), []byte(body))
		f.Add(uint8(7), []byte(body))
	}
	resp := answer(201, "Content-Type: text/plain")
	f.Fuzz(func(t *testing.T, i uint8, body []byte) {
		m := matches[int(i)%len(matches)]
		got, status := m.Learn(resp, body, true)
		if status == NeedMore || (status == Done) != (got != Learned{}) {
			t.Fatalf("%v, %v", got, status)
		}
		if status == Done && (got.TTL < m.Rule.life.min || got.TTL > m.Rule.life.max+m.Rule.life.margin) {
			t.Fatalf("TTL %v", got.TTL)
		}
		sameInPieces(t, m, resp, body)
	})
}

// FuzzKeyFromBody holds the same of keys in request bodies, and that endings and
// lost answers come to an end.
func FuzzKeyFromBody(f *testing.F) {
	rs := mustCompile(f, `
rules:
  - {name: j, when: {path: /j}, requests: [{name: x, key: {body: json, field: a.b}}]}
  - {name: f, when: {path: /f}, requests: [{name: x, key: {body: form, field: a}}]}`)
	requests := []*testRequest{request("POST /faye"), request("POST /j"), request("POST /f")}
	for _, body := range []string{
		`[{"channel":"/x","data":{},"clientId":"a\u0062"}]`, `{"channel":"/meta/handshake"}`, "message=%5B%7B%22clientId%22%3A%22a%22%7D%5D",
		`{"a":{"b":"c"}}`, "a=b%20c&d", `[{"channel":"/meta/disconnect","clientId":"a","id":"1"}`,
	} {
		for i := range requests {
			f.Add(uint8(i), []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, body []byte) {
		r := requests[int(i)%len(requests)]
		first, _ := rs.Match(r)
		m := first
		if !m.KeyFromBody(body, true) || m.HasKey != (m.Phase == Session || m.Phase == Handshake) {
			t.Fatalf("%+v", m)
		}
		for n := range min(len(body), 300) {
			piece := first
			if piece.KeyFromBody(body[:n], false) && piece != m {
				t.Fatalf("after %d bytes %+v, at last %+v", n, piece, m)
			}
		}
		m.EndsByRequest(body)
		m.EndsByResponse(200, body)
		if a, ok := m.Lost(r, body); ok && !json.Valid(a.Body) {
			t.Fatalf("the answer is not JSON: %s", a.Body)
		}
	})
}

func FuzzEndings(f *testing.F) {
	f.Add([]byte("2:401:1"))
	f.Add([]byte("\x00\x01\xff1"))
	f.Add([]byte("6\x1e1"))
	f.Add([]byte("data: c[1000,\"x\"]\r\n"))
	f.Add([]byte(`_("c[1000]");`))
	f.Add([]byte("d=1%3A1"))
	f.Fuzz(func(t *testing.T, body []byte) {
		for name, form := range endingForms {
			before := bytes.Clone(body)
			form.request(body)
			form.response(body)
			if !bytes.Equal(before, body) {
				t.Fatalf("%s writes into the body", name)
			}
		}
	})
}

// FuzzMatch holds that Explain and Match agree, and that an id is the same
// however it is escaped.
func FuzzMatch(f *testing.F) {
	for _, b := range benchRequests {
		f.Add(string(b.request.method), string(b.request.path), string(b.request.query), "polling", "Upgrade: websocket")
	}
	f.Add("GET", "/", "EIO=4&transport=polling&sid=%2B+%20%&sid", "a b", "Accept: text/event-stream")
	rs := Builtin()
	f.Fuzz(func(t *testing.T, method, path, query, id, header string) {
		r := request(method+" "+path+"?"+query, header)
		m, ok := rs.Match(r)
		if e := rs.Explain(r); e.Matched != ok || e.Match != m {
			t.Fatalf("Explain says %+v, Match %+v", e, m)
		}
		if ok && m.Phase == Session && m.NeedBody == 0 && !m.HasKey {
			t.Fatalf("a session without a key: %+v", m)
		}
		m.Lost(r, nil)
		if id == "" || len(id) > MaxID {
			return
		}
		plain := strings.NewReplacer("+", "%2B", " ", "%2B").Replace(url.PathEscape(id)) // leaves more as it is
		plain = strings.NewReplacer("&", "%26", "=", "%3D").Replace(plain)
		one, _ := rs.Match(request("GET /?EIO=4&transport=polling&sid=" + url.QueryEscape(id)))
		two, _ := rs.Match(request("GET /?transport=polling&EIO=4&%73id=" + plain))
		if one.Key != two.Key || !one.HasKey || one.Key != MakeKey("engine.io", []byte(strings.ReplaceAll(id, " ", "+"))) {
			t.Fatalf("%q: keys %v and %v", id, one.Key, two.Key)
		}
	})
}

// FuzzLoadRules holds that no configuration makes it panic, there or later.
func FuzzLoadRules(f *testing.F) {
	f.Add(BuiltinYAML())
	f.Add([]byte("rules:\n- {name: a, like: bayeux, when: {path: '/[a-z]*/{id}/**'}}"))
	f.Add([]byte("rules:\n- {name: a, requests: [{name: b, key: {query: c}, lost: {callback: d, body: '${callback}${replies}${3*x}'}}]}"))
	f.Add([]byte("rules:\n- {name: a, when: {any: [{header: {A: ['>=1', '=2', true]}}]}, requests: [{name: b, learn: {body: parts, field: '1'}}]}"))
	f.Fuzz(func(t *testing.T, document []byte) {
		list, err := LoadRules(document)
		if err != nil {
			return
		}
		rs, err := Compile(nil, list)
		if err != nil {
			return
		}
		resp := answer(200)
		for _, b := range benchRequests {
			m, ok := rs.Match(b.request)
			if e := rs.Explain(b.request); e.Match != m || e.Matched != ok {
				t.Fatalf("Explain says %+v, Match %+v", e, m)
			}
			if ok {
				m.KeyFromBody([]byte(`{"a":"b"}`), true)
				m.Learn(resp, []byte(`0{"a":"b"}`), true)
				m.EndsByRequest([]byte("1:1"))
				m.EndsByResponse(200, []byte("1:1"))
				m.Lost(b.request, nil)
				m.TTL()
			}
		}
	})
}

// FuzzGlob compares with path.Match, which knows the same language.
func FuzzGlob(f *testing.F) {
	f.Add("[0-9][0-9]*x?", "12abxc")
	f.Add(`\*[^a-z\]]`, "*A")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		for _, c := range []byte(pattern + name) {
			if c >= utf8.RuneSelf || c == '/' {
				return
			}
		}
		want, err := path.Match(pattern, name)
		if err != nil {
			return
		}
		if _, err := path.Match(pattern, ""); err != nil {
			return
		}
		if got := globMatch(pattern, []byte(name)); got != want {
			t.Fatalf("%q on %q: %v, want %v", pattern, name, got, want)
		}
	})
}
