package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// start serves a proxy in front of two backends that answer with their name and
// what the proxy told them.
func start(t *testing.T) string {
	t.Helper()
	var addrs []string
	for _, name := range []string{"a", "b"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, name+" "+r.Host+" "+r.Header.Get("X-Forwarded-For"))
		}))
		t.Cleanup(s.Close)
		addrs = append(addrs, strings.TrimPrefix(s.URL, "http://"))
	}
	p := httptest.NewServer(newProxy(addrs))
	t.Cleanup(p.Close)
	return p.URL
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "bench.example"
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRoundRobin(t *testing.T) {
	url := start(t)
	count := map[string]int{}
	for range 10 {
		count[get(t, url)]++
	}
	if count["a bench.example 127.0.0.1"] != 5 || count["b bench.example 127.0.0.1"] != 5 {
		t.Errorf("answers %v", count)
	}
}

func TestSIDsHash(t *testing.T) {
	url := start(t)
	seen := map[string]bool{}
	for _, sid := range []string{"AAAA", "AAAB", "AAAC", "AAAD", "AAAE", "AAAF", "AAAG", "AAAH"} {
		first := get(t, url+"/?sid="+sid)
		if again := get(t, url+"/?sid="+sid); again != first {
			t.Errorf("sid %s goes to %q and then to %q", sid, first, again)
		}
		seen[first] = true
	}
	if len(seen) != 2 {
		t.Errorf("all sids go to one backend: %v", seen)
	}
}
