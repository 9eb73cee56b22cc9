package endpoint

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dsproxy/dsproxy/server/session"
)

func TestOrigins(t *testing.T) {
	listed := Origins{List: []string{"https://page.example"}}
	hosted := Origins{List: []string{"https://page.example"}, Host: "realtime.example:6020"}
	f := func(o Origins, host, origin string, want bool) {
		t.Helper()
		r := httptest.NewRequest("GET", "http://"+host+"/deepstream", nil)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		if got := o.Allowed(r); got != want {
			t.Errorf("%+v: host %s, origin %q: %t", o, host, origin, got)
		}
	}
	f(Origins{All: true, Host: "realtime.example:6020"}, "other", "https://evil.example", true)
	f(listed, "any", "https://page.example", true)
	f(listed, "any", "https://evil.example", false)
	f(listed, "any", "", true)
	f(hosted, "realtime.example:6020", "https://page.example", true)
	f(hosted, "realtime.example:6020", "https://evil.example", false)
	f(hosted, "other", "https://page.example", false)
	f(hosted, "other", "", false)
}

func TestHandshake(t *testing.T) {
	r := httptest.NewRequest("GET", "http://node.example/deepstream", nil)
	r.RemoteAddr = "192.0.2.1:40000"
	r.Header.Set("Referer", "https://page.example/a")
	r.Header.Add("X-Token", "a")
	r.Header.Add("X-Token", "b")
	want := &session.Handshake{
		Header: http.Header{"Referer": {"https://page.example/a"}, "X-Token": {"a", "b"}},
		Host:   "node.example", RemoteAddress: "192.0.2.1",
	}
	if diff := cmp.Diff(want, handshake(r)); diff != "" {
		t.Errorf("handshake (-want +got):\n%s", diff)
	}
	r.Header.Set("X-Forwarded-For", "198.51.100.7, 192.0.2.2")
	if got := handshake(r).RemoteAddress; got != "198.51.100.7" {
		t.Errorf("behind proxies the client is at %s", got)
	}
}
