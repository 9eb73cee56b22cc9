package affinity

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// mustCompile puts rules before the built-in ones.
func mustCompile(t testing.TB, document string) *Rules {
	t.Helper()
	list, err := LoadRules([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	rs, err := Compile(nil, list)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// TestUserRules holds what the language can say beyond what the built-in rules
// need.
func TestUserRules(t *testing.T) {
	rs := mustCompile(t, `
rules:
  - name: room
    namespace: shared
    when: {path: "/rooms/**", host: ["*.example.com", chat.example.org]}
    life: {default: 5m, margin: 0s}
    requests:
      - {name: any, key: {header: X-Room, min: 3, chars: hex}, phase: claim}
  - name: room-query
    namespace: shared
    when: {path: /rooms/**}
    requests:
      - {name: any, key: [{cookie: room}, {query: room}], phase: hashed}
  - name: session-cookie
    when: {path: "/app/*/v[0-9]/{id}"}
    requests:
      - {name: any, key: {path: true}}
  - name: json-body
    when: {path: /rpc, method: POST}
    requests:
      - {name: any, key: {body: json, field: meta.session}}
  - name: form-body
    when: {path: /form, method: POST}
    requests:
      - {name: any, key: {body: form, field: sess ion}}
  - name: by-address
    when: {any: [{path: /x, query: {a: [b, c]}}, {header: {X-Y: "=z"}}, {header: {X-V: ">=2"}}]}
    requests:
      - {name: any, key: {address: true}, phase: hashed}
  - name: login
    when: {path: /login}
    requests:
      - name: login
        learn: {body: json, field: [data.session.id, id], only: {ok: "true"}, life: [data.ttl], unit: s, status: [200, 201], type: application/json}
  - name: chat
    like: bayeux
    when: {path: /chat/**}
    life: {margin: 1s}
`)
	f := func(r *testRequest, rule string, id string) {
		t.Helper()
		m, ok := rs.Match(r)
		if !ok {
			if rule != "" {
				t.Errorf("%s %s: no rule matches, want %s", r.method, r.path, rule)
			}
			return
		}
		if m.Rule.Name != rule {
			t.Errorf("%s %s: rule %s, want %q", r.method, r.path, m.Rule.Name, rule)
			return
		}
		if want := MakeKey(m.Rule.namespace, []byte(id)); m.Key != want {
			t.Errorf("%s %s: the key is not that of %q", r.method, r.path, id)
		}
	}
	f(request("GET /rooms", "Host: a.example.com:8080", "X-Room: abc"), "room", "abc")
	f(request("GET /rooms/1/2", "Host: CHAT.example.org", "x-room: ABC"), "room", "ABC")
	f(request("GET /rooms/1", "Host: a.b.example.com", "X-Room: abc"), "", "")
	f(request("GET /rooms/1", "Host: example.com", "X-Room: abc"), "", "")
	f(request("GET /roomsy", "Host: a.example.com", "X-Room: abc"), "", "")
	f(request("GET /rooms", "Host: a.example.com", "X-Room: ab"), "", "")
	f(request("GET /rooms", "Host: a.example.com", "X-Room: xyz"), "", "")
	f(request("GET /rooms?room=q"), "room-query", "q")
	f(request("GET /rooms?room=q", `Cookie: a=b;room="c d" ; e=f`), "room-query", "c+d")
	f(request("GET /rooms?room=q", "Cookie: xroom=c; room="), "room-query", "q")
	f(request("GET /app/x/v1/s"), "session-cookie", "s")
	f(request("GET /app/x/v1/s/"), "session-cookie", "s")
	f(request("GET /app/x/v12/s"), "", "")
	f(request("GET /app/x/v1/s/t"), "", "")
	f(request("GET /app//v1/s"), "", "")

	address := make([]byte, 16)
	copy(address, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x07")
	f(request("GET /x?a=c"), "by-address", string(address))
	f(request("GET /y", "X-Y:  z"), "by-address", string(address))
	f(request("GET /y", "X-V: 2.1"), "by-address", string(address))
	f(request("GET /x?a=d", "X-Y: zz", "X-V: 1"), "", "")

	body := func(r *testRequest, body, id string) {
		t.Helper()
		m, ok := rs.Match(r)
		if !ok || m.NeedBody != MaxNeedBody {
			t.Fatalf("%s: %+v, %v", r.path, m, ok)
		}
		if !m.KeyFromBody([]byte(body), true) || m.HasKey != (id != "") || m.HasKey && m.Key != MakeKey(m.Rule.namespace, []byte(id)) {
			t.Errorf("%s %s: %+v, want the key of %q", r.path, body, m, id)
		}
		for i := range len(body) {
			piece, _ := rs.Match(r)
			if piece.KeyFromBody([]byte(body[:i]), false) && piece.Key != m.Key {
				t.Errorf("%s %s: another key after %d bytes", r.path, body, i)
			}
		}
	}
	body(request("POST /rpc"), `{"meta":{"x":[1,{"session":"no"}],"session":"s"},"session":"no"}`, "s")
	body(request("POST /rpc"), `{"meta":{"session":17}}`, "17")
	body(request("POST /rpc"), `{"meta":{"session":"no"},"meta":{"session":"s"}}`, "s")
	body(request("POST /rpc"), `{"meta":{"session":"s"`, "s")
	body(request("POST /rpc"), `{"meta":17}`, "")
	body(request("POST /rpc"), `["meta"]`, "")
	body(request("POST /form"), "a=b&sess%20ion=s%2Bt", "s+t")
	body(request("POST /form"), "sess%20ion=s&sess%20ion=t", "s")
	body(request("POST /form"), "session=s&x", "")
	body(request("POST /form"), "", "")
	body(request("POST /chat"), `[{"clientId":"s"}]`, "s")

	login, _ := rs.Match(request("GET /login"))
	learned, status := login.Learn(answer(201, "Content-Type: application/json"),
		[]byte(`{"ok":true,"data":{"ttl":90,"session":{"id":"s"}},"id":"no"}`), true)
	if want := (Learned{MakeKey("login", []byte("s")), 105 * time.Second}); status != Done || learned != want {
		t.Errorf("Learn = %v, %v; want %v", learned, status, want)
	}
	if m, _ := rs.Match(request("POST /chat")); m.TTL() != 121*time.Second {
		t.Errorf("a rule like another has TTL %v", m.TTL())
	}
	events, ok := rs.Match(request("GET /chat/s", "Accept: text/event-stream"))
	if !ok || events.Key != MakeKey("chat", []byte("s")) {
		t.Error("the rule like another does not know its event source")
	}
}

// TestRuleErrors holds what a person is told of mistakes, and of which line.
func TestRuleErrors(t *testing.T) {
	f := func(document string, want ...string) {
		t.Helper()
		list, err := LoadRules([]byte(document))
		if err == nil {
			_, err = Compile(nil, list)
		}
		lines := strings.Split(errorText(err), "\n")
		if len(lines) != len(want) {
			t.Errorf("%s\n%d errors, want %d:\n%s", document, len(lines), len(want), errorText(err))
			return
		}
		for i := range want {
			if !strings.Contains(lines[i], want[i]) {
				t.Errorf("%s\nerror %q, want %q", document, lines[i], want[i])
			}
		}
	}
	f("rulez: []", `line 1: the file has no key "rulez" ("rules"?); it has: rules`)
	f("rules: 17", `line 1: rules must be a list, not "17"`)
	f("rules:\n- 17", `line 2: a rule must be a mapping`)
	f("rules:\n- name: a", `line 2: rule "a": a rule needs requests, or like`)
	f("rules:\n- requests: [{name: b}]", `line 2: a rule needs a name`)
	f("rules:\n- {name: A, requests: [{name: b}]}", `lower case`)
	f("rules:\n- name: a\n  requests:\n  - name: b\n    mathod: GET",
		`line 5: rule "a": a request has no key "mathod"; it has: name, when, phase`)
	f("rules:\n- name: a\n  wehn: {}\n  requests:\n  - {name: b, when: {mehtod: GET}}",
		`line 3: rule "a": a rule has no key "wehn" ("when"?)`, `line 5: rule "a": when has no key "mehtod" ("method"?); it has: method, path`)
	f("rules:\n- name: a\n  name: b\n  requests: [{name: b}]", `has the key "name" twice`)
	f("rules:\n- {name: a, requests: [{name: b}]}\n- {name: a, requests: [{name: b}]}", `line 3: rule "a": the name is taken by the rule on line 2`)
	f("rules:\n- {name: a, requests: []}", `requests must have 1 to 64 entries, not 0`, `needs requests`)
	f("rules:\n- {name: a, requests: [{}]}", `a request needs a name`)
	f("rules:\n- {name: a, requests: [{name: b, when: {method: get}}]}", `method cannot be "get" ("GET"?)`)
	f("rules:\n- {name: a, requests: [{name: b, when: {path: x}}]}", `path "x": must begin with`)
	f("rules:\n- {name: a, requests: [{name: b, when: {path: '/a/**/b'}}]}", `** only as its first and last`)
	f("rules:\n- {name: a, requests: [{name: b, when: {path: '/{id}/{id}'}}]}", `{id} once`)
	f("rules:\n- {name: a, requests: [{name: b, when: {path: '/x{id}'}}]}", `whole segment`)
	f("rules:\n- {name: a, requests: [{name: b, when: {path: '/[a'}}]}", `broken [class]`)
	f("rules:\n- {name: a, requests: [{name: b, when: {path: '/a//b'}}]}", `empty segment`)
	f("rules:\n- {name: a, requests: [{name: b, when: {host: 'a.*.b'}}]}", `first label`)
	f("rules:\n- {name: a, requests: [{name: b, when: {query: {x: {y: z}}}}]}", `must be a text, not a mapping`)
	f("rules:\n- {name: a, requests: [{name: b, when: {upgrade: websocket}}]}", `upgrade must be true or false, not "websocket"`)
	f("rules:\n- {name: a, requests: [{name: b, when: {any: {path: /x}}}]}", `any must be a list`)
	f("rules:\n- {name: a, requests: [{name: b, when: {any: [{any: [{any: [{any: [{path: /x}]}]}]}]}}]}", `any can stand at most 3 deep`)
	f("rules:\n- {name: a, requests: [{name: b, when: {any: [{method: GET}]}}]}", `request "b": method cannot stand within any`)
	f("rules:\n- {name: a, requests: [{name: b, key: {}}]}", `key needs exactly one of: query, header`)
	f("rules:\n- {name: a, requests: [{name: b, key: {query: a, header: b}}]}", `key needs exactly one of`)
	f("rules:\n- {name: a, requests: [{name: b, key: {address: false}}]}", `cannot be false`)
	f("rules:\n- {name: a, requests: [{name: b, key: {body: json}}]}", `body json and form need a field`)
	f("rules:\n- {name: a, requests: [{name: b, key: {body: bayeux, field: c}}]}", `bayeux has none`)
	f("rules:\n- {name: a, requests: [{name: b, key: {path: true}}]}", `no path has {id}`)
	f("rules:\n- {name: a, requests: [{name: b, key: {header: c, in: bayeux}}]}", `in is for a key in query only`)
	f("rules:\n- {name: a, requests: [{name: b, key: [{query: c}, {body: bayeux}]}]}", `must be the only one`)
	f("rules:\n- {name: a, requests: [{name: b, key: [{header: c}, {query: d, in: bayeux}]}]}", `must be the only one`)
	f("rules:\n- {name: a, requests: [{name: b, phase: claim}]}", `the phase claim needs a key`)
	f("rules:\n- {name: a, requests: [{name: b, phase: sessions}]}", `phase cannot be "sessions" ("session"?)`)
	f("rules:\n- {name: a, requests: [{name: b, phase: handshake}]}", `a handshake needs learn`)
	f("rules:\n- {name: a, requests: [{name: b, phase: stateless, key: {query: c}}]}", `neither key nor learn`)
	f("rules:\n- {name: a, requests: [{name: b, phase: claim, key: {query: c}, learn: {header: d}}]}", `cannot learn`)
	f("rules:\n- {name: a, requests: [{name: b, phase: claim, key: {body: bayeux}}]}", `needs the phase session`)
	f("rules:\n- {name: a, requests: [{name: b, steer: {client: true}}]}", `only a handshake can be steered`)
	f("rules:\n- {name: a, requests: [{name: b, learn: {}}]}", `either header or body`)
	f("rules:\n- {name: a, requests: [{name: b, learn: {body: json}}]}", `needs a field`)
	f("rules:\n- {name: a, requests: [{name: b, learn: {body: text, field: c}}]}", `there is no field`)
	f("rules:\n- {name: a, requests: [{name: b, learn: {body: parts, field: c}}]}", `a number from 0 to 9`)
	f("rules:\n- {name: a, requests: [{name: b, learn: {header: c, life: d}}]}", `about the body`)
	f("rules:\n- {name: a, requests: [{name: b, learn: {header: c, status: 99}}]}", `status must be a number from 100 to 599`)
	f("rules:\n- {name: a, requests: [{name: b, learn: {body: json, field: c, unit: h}}]}", `unit cannot be "h"`)
	f("rules:\n- {name: a, life: {default: 90}, requests: [{name: b}]}", `a time such as 90s`)
	f("rules:\n- {name: a, life: {min: 2m, max: 1m}, requests: [{name: b}]}", `min 2m0s is more than max 1m0s`)
	f("rules:\n- {name: a, life: {default: 9999h}, requests: [{name: b}]}", `at most 720h`)
	f("rules:\n- {name: a, requests: [{name: b, ends: {request: engineio-4}}]}", `request cannot be "engineio-4" ("engine.io-4"?)`)
	f("rules:\n- {name: a, requests: [{name: b, key: {query: c}, lost: {body: '${x}'}}]}", `${x}: there are ${callback}`)
	f("rules:\n- {name: a, requests: [{name: b, key: {query: c}, lost: {body: '${callback}'}}]}", `needs callback`)
	f("rules:\n- {name: a, requests: [{name: b, key: {query: c}, lost: {body: '${9999*x}'}}]}", `to repeat a letter`)
	f("rules:\n- {name: a, requests: [{name: b, key: {query: c}, lost: {headers: {'A B': c}}}]}", `no name of a header`)
	f("rules:\n- {name: a, requests: [{name: b, key: {query: c}, lost: {headers: {A: \"b\\r\\nC: d\"}}}]}", `printable ASCII`)
	f("rules:\n- {name: a, like: bayeuz, when: {path: /x}}", `no built-in rule "bayeuz" to be like ("bayeux"?); there are: engine.io`)
	f("rules:\n- {name: a, like: bayeux}", `needs a when of its own`)
	f("rules:\n- {name: a, like: bayeux, when: {path: /x}, requests: [{name: b}]}", `not both`)
	f("rules:\n- &x {name: a, requests: [{name: b}]}\n- *x", `must be a mapping of keys to values, not an alias`)
	f("rules:\n- {name: a, when: &x {path: /x}, requests: [{name: b, when: *x}]}", `cannot use YAML aliases`)
	f("rules: [", `yaml`)

	var many strings.Builder
	many.WriteString("rules:\n- name: a\n  requests:\n  - name: b\n    when:\n      query: {")
	for i := range 60 {
		many.WriteString("q" + strings.Repeat("x", i) + ": true, ")
	}
	many.WriteString("}")
	f(many.String(), "all rules together look at more than 64 query parameters")
}

func TestCompileBuiltin(t *testing.T) {
	rs, err := Compile([]string{"mcp", "engine.io"}, nil)
	if err != nil || !slices.Equal(rs.Names(), []string{"engine.io", "mcp"}) {
		t.Errorf("names %v, error %v", rs.Names(), err)
	}
	if rs, err = Compile([]string{}, nil); err != nil || len(rs.Names()) != 0 {
		t.Errorf("no rules: names %v, error %v", rs.Names(), err)
	}
	if _, err = Compile([]string{"socket.io"}, nil); !strings.Contains(errorText(err), `no built-in rule "socket.io"`) {
		t.Errorf("error %v", err)
	}
	rs = mustCompile(t, "rules:\n- {name: sockjs, requests: [{name: x, when: {path: /x}}]}\n- {name: z, requests: [{name: x, when: {path: /x}}]}")
	if names := rs.Names(); names[0] != "sockjs" || names[1] != "z" || slices.Contains(names[2:], "sockjs") || len(names) != len(BuiltinNames())+1 {
		t.Errorf("a rule does not take the place of the built-in one: %v", names)
	}
	if _, ok := rs.Match(request("POST /e/000/s/xhr")); ok {
		t.Error("the rule that was replaced matches")
	}
}

// TestRuleListInConfig decodes the list as part of a configuration file.
func TestRuleListInConfig(t *testing.T) {
	var config struct {
		Listen string
		Rules  RuleList
	}
	decode := func(document string) error {
		d := yaml.NewDecoder(strings.NewReader(document))
		d.KnownFields(true)
		return d.Decode(&config)
	}
	const document = "listen: x\nrules:\n    - name: a\n      requests:\n        - name: b\n"
	if err := decode(document); err != nil || len(config.Rules) != 1 || config.Rules[0].Name != "a" || config.Rules[0].Line != 3 {
		t.Fatalf("%+v, %v", config, err)
	}
	out, err := yaml.Marshal(config)
	if err != nil || string(out) != document {
		t.Errorf("marshals to %q, %v", out, err)
	}
	if err := decode("listen: x\nrules:\n- name: a\n  requets: []\n"); !strings.Contains(errorText(err), `line 4: rule "a"`) {
		t.Errorf("error %v", err)
	}
}

func TestPathPatterns(t *testing.T) {
	f := func(pattern, path string, want bool, id string) {
		t.Helper()
		p, err := compilePath(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := p.match([]byte(path)); ok != want || string(got) != id {
			t.Errorf("%s on %q: %v, id %q; want %v, %q", pattern, path, ok, got, want, id)
		}
	}
	f("/", "/", true, "")
	f("/", "", true, "")
	f("/", "/a", false, "")
	f("/**", "/", true, "")
	f("/**", "/a/b", true, "")
	f("**", "/a/b", true, "")
	f("/a", "/a", true, "")
	f("/a", "/a/", true, "")
	f("/a", "/a//", false, "")
	f("/a", "/ab", false, "")
	f("/a", "a", false, "")
	f("/a/**", "/a", true, "")
	f("/a/**", "/ab", false, "")
	f("/a/**", "/a/b/c", true, "")
	f("**/a", "/a", true, "")
	f("**/a", "/x/y/a", true, "")
	f("**/a", "/x/ya", false, "")
	f("**/a", "*", false, "")
	f("**/a/**", "/x/a/y", true, "")
	f("**/a/**", "/a", true, "")
	f("**/a/**", "/x/ab/y/ca", false, "")
	f("**/a/b/**", "/a/a/b", true, "")
	f("**/{id}/x", "/a/b/x", true, "b")
	f("**/{id}/x", "/x", false, "")
	f("**/{id}/x", "//x", false, "")
	f("/{id}/**", "/s/x", true, "s")
	f("**/c/{id}/**", "/a/c/s/x", true, "s")
	f("/*/x", "/a/x", true, "")
	f("/*/x", "//x", false, "")
	f("/[0-9][^0-9]", "/1a", true, "")
	f("/[0-9][^0-9]", "/12", false, "")
	f("/a*b?c", "/axxbyc", true, "")
	f("/a*b?c", "/abbbbc", true, "")
	f("/a*b?c", "/abc", false, "")
	f(`/\*`, "/*", true, "")
	f("/*.html", "/iframe.1.html", true, "")
	f("/*.html", "/html", false, "")
}

func TestExplain(t *testing.T) {
	f := func(r *testRequest, want ...string) {
		t.Helper()
		e := Builtin().Explain(r)
		m, ok := Builtin().Match(r)
		if ok != e.Matched || m != e.Match {
			t.Errorf("%s?%s: Explain says %+v, Match %+v", r.path, r.query, e.Match, m)
		}
		got := e.String()
		for _, line := range want {
			if !strings.Contains(got, line+"\n") {
				t.Errorf("%s?%s: no line %q in\n%s", r.path, r.query, line, got)
			}
		}
	}
	f(request("GET /io?EIO=4&transport=polling&sid=a"),
		"rule engine.io, poll: session over polling",
		"key "+MakeKey("engine.io", []byte("a")).String()+" from query sid",
		`because query EIO there`,
		`because query transport "polling" or "websocket"`,
		`not rule engine.io, websocket of a session: not query transport "websocket"`)
	f(request("GET /io?EIO=4&transport=polling"), "rule engine.io, handshake: handshake over polling", "because query sid not there")
	f(request("POST /faye"), "rule bayeux, messages: session over polling", "key from body, bayeux message")
	f(request("GET /faye", "Upgrade: websocket"), "because an upgrade")
	f(request("GET /io?EIO=4&transport=polling&sid=a&sid=b"), "because a query parameter is there twice with different values: any backend")
	f(request("GET /hub?id=short", "X-Requested-With: XMLHttpRequest"), "no rule: any backend", "not rule signalr, poll: no id in query id")
	f(request("GET /"), "no rule: any backend")
	f(request("PATCH /io?EIO=4&transport=polling&sid=a"), "not rule engine.io, poll: method PATCH")
}
