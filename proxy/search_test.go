package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// With the table away a session is known to the replica that made it only. The
// others find its backend, by poll, send and upgrade alike, and keep what they
// have found.
func TestSessionsAreFoundWithoutTheTable(t *testing.T) {
	backends := []string{sessions(t, "a"), sessions(t, "b"), sessions(t, "c"), sessions(t, "d")}
	away := closedPort(t)
	replica := func() *running {
		p := start(t, func(c *Config) { c.Redis = away }, backends...)
		eventually(t, "the table is known to be away", func() bool {
			get(t, p.url(polling))
			return p.pins.Stats().Open
		})
		return p
	}
	one, two, three := replica(), replica(), replica()
	for range 20 {
		_, open, _ := get(t, one.url(polling))
		sid := sidOf(t, open)
		if status, body, _ := get(t, two.url(polling+"&sid="+sid)); status != 200 || body != "4"+sid[:1] {
			t.Fatalf("a poll of %s was answered %d %s", sid, status, body)
		}
		resp, err := client(t).Post(three.url(polling+"&sid="+sid), "text/plain", strings.NewReader("4hello"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Fatalf("a send of %s was answered %d", sid, resp.StatusCode)
		}
		if status, _, _ := get(t, two.url(polling+"&sid="+sid)); status != 200 {
			t.Fatalf("the second poll was answered %d", status)
		}
	}
	if found := two.metric(t, "dsproxy_sessions_total", "result=hit"); found < 20 {
		t.Errorf("%v hits: what was found is not kept", found)
	}
	// A session that nobody has is refused by the last one asked, in its words.
	if status, body, _ := get(t, two.url(polling+"&sid=nobody")); status != 400 || !strings.Contains(body, "Session ID unknown") {
		t.Errorf("answered %d %s", status, body)
	}
}

func TestUpgradeIsSearched(t *testing.T) {
	backend := func(name string) string {
		return rawBackend(t, func(c net.Conn, r *bufio.Reader) {
			h := readHead(r)
			switch {
			case h == "":
			case strings.Contains(h, "sid="+name):
				io.WriteString(c, switching+name)
				echo(c, r)
			case strings.Contains(h, "sid=old"): // closed without a byte, as engine.io 1.6 does
			default:
				io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			}
		})
	}
	p := start(t, func(c *Config) { c.Redis = closedPort(t) }, backend("a"), backend("b"), backend("old-c"))
	eventually(t, "the table is known to be away", func() bool {
		get(t, p.url(polling+"&sid=x"))
		return p.pins.Stats().Open
	})
	for _, sid := range []string{"a", "b", "old-c"} {
		got := p.say(t, strings.Replace(wsRequest, "/ws", "/engine.io/?EIO=4&transport=websocket&sid="+sid, 1))
		contains(t, got, "HTTP/1.1 101 ", "\r\n\r\n"+sid)
	}
	contains(t, p.say(t, strings.Replace(wsRequest, "/ws", "/engine.io/?EIO=4&transport=websocket&sid=nobody", 1)), "HTTP/1.1 400 ")
}

// With the table in order an unknown session is refused by one backend.
func TestNothingIsSearchedWithTheTable(t *testing.T) {
	var asked []string
	h := func(name string) string {
		return httpBackend(t, func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, name)
			w.WriteHeader(400)
			fmt.Fprint(w, `{"code":1,"message":"Session ID unknown"}`)
		})
	}
	p := start(t, nil, h("a"), h("b"), h("c"))
	get(t, p.url(polling+"&sid=nobody"))
	if len(asked) != 1 {
		t.Errorf("asked %v", asked)
	}
}
