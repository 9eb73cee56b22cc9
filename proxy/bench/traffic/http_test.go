package traffic

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestParseAnswer(t *testing.T) {
	f := func(text string, status int, body string, length int) {
		t.Helper()
		for cut := range len(text) {
			if cut >= length {
				break
			}
			if a, ok, err := ParseAnswer([]byte(text[:cut])); ok || err != nil {
				t.Fatalf("the first %d bytes of %q: %+v, %v", cut, text, a, err)
			}
		}
		a, ok, err := ParseAnswer([]byte(text))
		if err != nil || !ok {
			t.Fatalf("ParseAnswer(%q): ok %v, error %v", text, ok, err)
		}
		if a.Status != status || string(a.Body) != body || a.Length != length {
			t.Errorf("ParseAnswer(%q): %d %q %d", text, a.Status, a.Body, a.Length)
		}
	}
	f("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1", 200, "ok", 40)
	f("HTTP/1.1 200 OK\r\nx: y\r\ncontent-length:2 \r\n\r\nok", 200, "ok", 46)
	f("HTTP/1.0 400 Bad\r\nX-Content-Length: 9\r\nCONTENT-LENGTH: 0\r\n\r\n", 400, "", 60)
	f("HTTP/1.1 204 No Content\r\n\r\n", 204, "", 27)
	f("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n\x81\x00", 101, "", 38)
}

func TestParseAnswerRefuses(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if _, _, err := ParseAnswer([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseAnswer(%q): error %v, want one with %q", text, err, want)
		}
	}
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "without Content-Length")
	f("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "not a number")
	f("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "not a number")
	f("HTTP/1.1 abc OK\r\n\r\n", "not a number")
	f("SSH-2.0-OpenSSH_9.2p1\r\n\r\n", "not an HTTP/1 answer")
	f("HTTP/1.1\r\n\r\n", "not an HTTP/1 answer")
}

func TestParseRequest(t *testing.T) {
	f := func(text string, kind Kind, sid, key string) {
		t.Helper()
		for cut := range len(text) {
			if r, ok := ParseRequest([]byte(text[:cut])); ok {
				t.Fatalf("the first %d bytes of %q: %+v", cut, text, r)
			}
		}
		r, ok := ParseRequest([]byte(text + "GET /next"))
		if !ok || r.Kind != kind || string(r.SID) != sid || string(r.Key) != key || r.Length != len(text) {
			t.Errorf("ParseRequest(%q): %+v, %v", text, r, ok)
		}
	}
	f(string(SmallRequest), Small, "", "")
	f(string(HandshakeRequest), Handshake, "", "")
	f(string(UpgradeRequest), Upgrade, "", "dGhlIHNhbXBsZSBub25jZQ==")
	f(string(PollRequest([]byte("Axyz"))), Poll, "Axyz", "")
	f("GET /socket.io/?sid=a&transport=polling&sid=b&t=1 HTTP/1.1\r\n\r\n", Poll, "b", "")
	f("GET /ws HTTP/1.1\r\nsec-websocket-KEY:  k \r\n\r\n", Upgrade, "", "k")
	f("GET /ws HTTP/1.1\r\nHost: a\r\n\r\n", Unknown, "", "")
	f("GET /socket.io/ HTTP/1.1\r\n\r\n", Unknown, "", "")
	f("POST /small HTTP/1.1\r\n\r\n", Unknown, "", "")
}

// What is preformatted must be what net/http understands by it.
func TestRequestsAgainstNetHTTP(t *testing.T) {
	f := func(text []byte, uri string) {
		t.Helper()
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if r.RequestURI != uri || r.Host != "bench.example" || r.ContentLength != 0 {
			t.Errorf("%q: URI %q, host %q, length %d", text, r.RequestURI, r.Host, r.ContentLength)
		}
	}
	f(SmallRequest, "/small")
	f(HandshakeRequest, "/socket.io/?EIO=4&transport=polling")
	f(PollRequest([]byte("Axyz")), "/socket.io/?EIO=4&transport=polling&sid=Axyz")
	f(UpgradeRequest, "/ws")
}

func TestAnswersAgainstNetHTTP(t *testing.T) {
	f := func(text []byte, status int, body string) {
		t.Helper()
		r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), nil)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		got, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != status || string(got) != body {
			t.Errorf("%q: status %d, body %q, error %v", text, r.StatusCode, got, err)
		}
		a, ok, err := ParseAnswer(text)
		if err != nil || !ok || a.Status != status || string(a.Body) != body || a.Length != len(text) {
			t.Errorf("%q: %+v, %v, %v", text, a, ok, err)
		}
	}
	f(SmallAnswer, 200, smallBody)
	f(PollAnswer, 200, pollBody)
	f(NotFound, 404, "")
	f(HandshakeAnswer([]byte("S")), 200, `0{"sid":"S","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`)
	if len(smallBody) != 100 {
		t.Errorf("the small body has %d bytes", len(smallBody))
	}
}

func TestParsersDoNotAllocate(t *testing.T) {
	poll := PollRequest(AppendSID(nil, 1, 1))
	if n := testing.AllocsPerRun(100, func() {
		ParseAnswer(SmallAnswer)
		ParseRequest(poll)
		ParseRequest(UpgradeRequest)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add(SmallAnswer)
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"))
	f.Add([]byte("HTTP/1.1 \r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok, err := ParseAnswer(b)
		if ok && (err != nil || a.Length > len(b) || a.Length < len(a.Body)) {
			t.Errorf("%+v, error %v from %d bytes", a, err, len(b))
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	f.Add(UpgradeRequest)
	f.Add([]byte("GET /socket.io/?&sid=\r\n\r\n"))
	f.Add([]byte("\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := ParseRequest(b)
		if ok && r.Length > len(b) {
			t.Errorf("%+v from %d bytes", r, len(b))
		}
	})
}
