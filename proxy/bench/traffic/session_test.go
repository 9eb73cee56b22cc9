package traffic

import "testing"

func TestSIDs(t *testing.T) {
	seen := map[string]bool{}
	for backend := range MaxBackends {
		for n := range uint64(100) {
			sid := AppendSID(nil, backend, n)
			if len(sid) != SIDLength || Owner(sid) != backend || seen[string(sid)] {
				t.Fatalf("id %d of backend %d is %q, owner %d, seen before: %v", n, backend, sid, Owner(sid), seen[string(sid)])
			}
			seen[string(sid)] = true
		}
	}
	for _, sid := range []string{"", "A", "!AAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAA"} {
		if owner := Owner([]byte(sid)); owner != -1 {
			t.Errorf("%q has owner %d", sid, owner)
		}
	}
}

func TestSIDOfAHandshake(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		sid, ok := SID([]byte(body))
		if ok != (want != "") || ok && string(sid) != want {
			t.Errorf("SID(%q): %q, %v", body, sid, ok)
		}
	}
	f(`0{"sid":"abc","upgrades":[]}`, "abc")
	f(`0{"upgrades":[],"sid":"a"}`, "a")
	f(`0{"sid":""}`, "")
	f(`0{"sid":"abc`, "")
	f(`{"code":1,"message":"Session ID unknown"}`, "")
}

func TestScatterReachesEverySession(t *testing.T) {
	const sessions = 100
	var hits [sessions]int
	for n := range uint64(100 * sessions) {
		hits[Scatter(n, sessions)]++
	}
	for i, n := range hits {
		if n < 50 || n > 200 {
			t.Errorf("session %d is polled %d times, others 100", i, n)
		}
	}
}
