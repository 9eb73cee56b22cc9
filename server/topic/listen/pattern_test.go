package listen

import (
	"strings"
	"testing"

	"github.com/dlclark/regexp2/v2"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// TestPatterns: what V8 says of a pattern and some names. A plus sign before a name
// says that it is found there.
func TestPatterns(t *testing.T) {
	t.Cleanup(regexp2.StopTimeoutClock)
	f := func(pattern string, names ...string) {
		t.Helper()
		m, err := compile(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			return
		}
		for _, name := range names {
			name, want := strings.CutPrefix(name, "+")
			if got := m.match(name); got != want {
				t.Errorf("%s: found in %q is %v, want %v", pattern, name, got, want)
			}
		}
	}
	f(`a`, "+a", "+bab", "b", "")
	f(`^user/[0-9]+$`, "+user/12", "user/12/x", "auser/1", "user/")
	f(`li/.*`, "+li/1", "+xli/", "li")
	f(`.`, "+a", "\n", "\r", "\u2028", "\u2029", "+\v")
	f(`^\s$`, "+ ", "+\v", "+\u00a0", "+\ufeff", "+\u3000", "\u200b")
	f(`^\S$`, "+\u200b", "\u00a0", "+é", " ")
	f(`^\w$`, "+_", "+7", "é")
	f(`\bé`, "+aé", " é", "é")
	f(`^[^]$`, "+\n", "+a", "ab")
	f(`[]`, "", "a", "]")
	f(`[[:alpha:]]`, "+:]", "+[]", "b", ":")
	f(`^[\d-x]$`, "+-", "+x", "+4", "y", "d")
	f(`^[a-\d]$`, "+-", "+a", "+4", "b")
	f(`[\b]`, "+\b", "b")
	f(`^a{,2}$`, "+a{,2}", "aa")
	f(`^a{1,2}?$`, "+a", "+aa", "aaa")
	f(`^{$`, "+{")
	f(`^a]}$`, "+a]}")
	f(`^\Aa\z$`, "+Aaz", "a")
	f(`^\Qa.c\E$`, "+QaxcE", "a.c")
	f(`^\pL$`, "+pL", "x")
	f(`^\x41\u0042\x4\u00$`, "+ABx4u00")
	f(`^\ud83d\ude00$`, "+😀")
	f(`^\cA\c1$`, "+\x01\\c1")
	f(`^\8\07\101\0$`, "+8\aA\x00")
	f(`^\1$`, "+\x01", "1") // there is no such group
	f(`^\k<n>$`, "+k<n>")
	f(`^(a|b)\1$`, "+aa", "+bb", "ab")
	f(`^(?<n>a|b)-\k<n>$`, "+a-a", "a-b")
	f(`^\1(a)$`, "+a", "aa")
	f(`^user/(?!admin)`, "+user/al", "user/admin")
	f(`^(?!admin)\A`, "+A", "")
	f(`(?<=/)x`, "+a/x", "x")
	f(`(?<!/)x`, "+ax", "a/x")
	f(`^(?=é)\B`, "+é", "a")
	f(`^a{2000}$`, "+"+strings.Repeat("a", 2000), "aa")
	f(`a`, strings.Repeat("a", maxName+1), "+"+strings.Repeat("a", maxName))

	refused := func(patterns ...string) {
		t.Helper()
		for _, p := range patterns {
			if _, err := compile(p); err == nil {
				t.Errorf("%s was taken", p)
			}
		}
	}
	refused(`(`, `)`, `a)`, `[`, `[a`, `[b-a]`, `*`, `a**`, `a++`, `^*`, `(*a)`, `|*`, `{1}`, `a{2,1}`, `a{1}{2}`, `\`, `a\`, `[a\`,
		`(?i)a`, `(?P<n>a)`, `(?<n>a)(?<n>b)`, `(?<1>a)`, `(?<n`, `(?`, `(?<n>a)\k`, `(?<n>a)\k<m>`, `(?<=a)*`)
}

// TestRunaway: a pattern that would run for ever is dead after one try.
func TestRunaway(t *testing.T) {
	t.Cleanup(regexp2.StopTimeoutClock)
	m, err := compile(`(?=x)(x+x+)+y`)
	if err != nil {
		t.Fatal(err)
	}
	if m.match("none") || !m.match("xxy") || m.dead.Load() {
		t.Error("does not match as it should")
	}
	if m.match(strings.Repeat("x", 1000)) || !m.dead.Load() {
		t.Error("is not dead")
	}
	if m.match("xxy") {
		t.Error("matches though it is dead")
	}
}

// TestBudget: one that is slow on every name is dead in the end.
func TestBudget(t *testing.T) {
	t.Cleanup(regexp2.StopTimeoutClock)
	m, err := compile(`(?=a)b`)
	if err != nil {
		t.Fatal(err)
	}
	m.match("a")
	if m.dead.Load() {
		t.Fatal("is dead at once")
	}
	m.spent.Add(int64(firstBudget))
	for range 3 {
		m.spent.Add(int64(2 * matchBudget))
		m.match("a")
	}
	if !m.dead.Load() {
		t.Error("lives on")
	}
}

// FuzzPattern: no pattern brings the node down, and whatever the translation lets
// through its engines take.
func FuzzPattern(f *testing.F) {
	for _, p := range []string{`a.*[b-d]{2,3}?\d|^$`, `(?<n>x)\k<n>(?!y)\1`, `[\s\S\cA\u00e9-\uffff-]`, `\8\x4\u{1}(?:`, "[^\xff]\\\xff"} {
		f.Add(p, "name")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > maxPattern {
			return
		}
		m, err := compile(pattern)
		if err == nil {
			m.match(name)
			return
		}
		tr := translation{in: pattern}
		if tr.run() == nil && len(pattern) < 20 && !strings.Contains(pattern, "{") {
			t.Errorf("%q became %q, which its engine refuses: %v", pattern, tr.out, err)
		}
	})
}
