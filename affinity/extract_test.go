package affinity

import (
	"strings"
	"testing"
)

func TestJSONPath(t *testing.T) {
	f := func(data, path, want string, wantSt found) {
		t.Helper()
		got, st := jsonPath([]byte(data), path)
		if string(got) != want || st != wantSt {
			t.Errorf("%.60s: %s is %q, %v; want %q, %v", data, path, got, st, want, wantSt)
		}
	}
	f(`{"a":1}`, "a", "1", whole)
	f(`{"a":1}`, "b", "", whole)
	f(`{"a":{"b":"c"}}`, "a.b", `"c"`, whole)
	f(`{"a":{"b":"c"}}`, "a.c", "", whole)
	f(`{"a":"b"}`, "a.b", "", broken)
	f(`{"a":{"b":"c"},"d":`, "a.b", `"c"`, partial)
	f(`{"a":{"b":"c"`, "a.b", `"c"`, partial)
	f(`{"a":{"b":"c`, "a.b", "", partial)
	f(`{"a":12`, "a", "", partial) // more digits may follow
	f(`{"a":12 `, "a", "12", partial)
	f(`{"a":1,"a":2}`, "a", "2", whole)
	f(`{"a":1,"a":`, "a", "1", partial)
	f(`{"\u0061":1}`, "a", "1", whole)
	f(`{}`, "a", "", whole)
	f(``, "a", "", partial)
	f(`[]`, "a", "", broken)
	f(`{"a":1]`, "a", "", broken)
	f(`{"a":[1}`, "a", "", broken)
	f(`{"a" 1}`, "a", "", broken)
	f(`{,}`, "a", "", broken)
	f(`{"a":1,}`, "a", "", broken)
	f("{\"a\":\"\n\"}", "a", "", broken)
	nest := func(n int) string { return `{"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `,"a":1}` }
	f(nest(maxJSONDepth), "a", "1", whole)
	f(nest(maxJSONDepth+1), "a", "", broken)
}

func TestUnwrapJSONP(t *testing.T) {
	f := func(data, want string, wantW wrapping, wantSt found) {
		t.Helper()
		got, w, st := unwrapJSONP([]byte(data))
		if string(got) != want || w != wantW || st != wantSt {
			t.Errorf("%q: %q, %v, %v; want %q, %v, %v", data, got, w, st, want, wantW, wantSt)
		}
	}
	f(`cb({"a":1});`, `{"a":1});`, wrappedValue, partial)
	f(`/**/a.b[0]("x\"\u00fc\n");`, "x\"ü\n", wrappedText, whole)
	f(`_("x\`, "x", wrappedText, partial)
	f(`_("x\u00`, "x", wrappedText, partial)
	f(`_("\u00zz")`, "", wrappedText, broken)
	f(`_("`, "", wrappedText, partial)
	f(`_(`, "", notWrapped, partial)
	f(`/*`, "", notWrapped, partial)
	f(`/* x`, `/* x`, notWrapped, partial)
	f(`abc`, "", notWrapped, partial)
	f(`abc:60`, `abc:60`, notWrapped, partial)
	f(`0{"a"`, `0{"a"`, notWrapped, partial)
	f(`9("x")`, `9("x")`, notWrapped, partial)
}

func TestCookieValue(t *testing.T) {
	f := func(header, want string) {
		t.Helper()
		got, ok := cookieValue([]byte(header), "sid")
		if string(got) != want || ok != (want != "") {
			t.Errorf("%q: %q, %v; want %q", header, got, ok, want)
		}
	}
	f("sid=a", "a")
	f("a=b; sid=c=d;e=f", "c=d")
	f(` sid="q" `, "q")
	f(`sid="`, `"`)
	f("Sid=a; xsid=b; sid =c", "")
	f("sid=", "")
	f("sid", "")
	f("", "")
}
