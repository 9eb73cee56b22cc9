package endpoint

import (
	"net/http/httptest"
	"testing"
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
