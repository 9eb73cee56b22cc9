package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hook is a webhook whose answers are a list; the last one is given for ever.
type hook struct {
	*httptest.Server

	mu      sync.Mutex
	answers []answer
	bodies  []string
	headers []http.Header
}

type answer struct {
	status int
	body   string
}

func newHook(t *testing.T, answers ...answer) *hook {
	h := &hook{answers: answers}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost {
		b = fmt.Appendf(nil, "%s %v", r.Method, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bodies = append(h.bodies, string(b))
	h.headers = append(h.headers, r.Header)
	a := h.answers[0]
	if len(h.answers) > 1 {
		h.answers = h.answers[1:]
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// method makes a Webhook that asks h; idle connections are closed with the test.
func (h *hook) method(t *testing.T, change func(c *WebhookConfig)) *Webhook {
	t.Helper()
	c := WebhookConfig{EndpointURL: h.URL, PermittedStatusCodes: []int{200, 204}, RequestTimeout: time.Minute,
		ReportInvalidParameters: true}
	if change != nil {
		change(&c)
	}
	m, err := NewWebhook(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.client.CloseIdleConnections)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return m
}

// TestWebhookRequest: what the webhook is told.
func TestWebhookRequest(t *testing.T) {
	h := newHook(t, answer{200, `"ada"`})
	m := h.method(t, func(c *WebhookConfig) { c.PromoteToHeader = []string{"token", "absent", "number"} })
	conn := &Connection{
		Header: http.Header{"User-Agent": {"x"}, "X-Token": {"a", "b"}, "Referer": {"http://r/"}}, Host: "node.example", RemoteAddress: "192.0.2.1",
	}
	if _, err := m.Authenticate(context.Background(), conn, `{"token":"abc","number":5,"nested":{"a":[1]}}`); err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal([]byte(h.bodies[0]), &got); err != nil {
		t.Fatalf("%v in %s", err, h.bodies[0])
	}
	const text = `{"connectionData":{"headers":{"user-agent":"x","x-token":"a, b","referer":"http://r/","host":"node.example"},"referer":"http://r/","remoteAddress":"192.0.2.1"},
		"authData":{"token":"abc","number":5,"nested":{"a":[1]}}}`
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if ct, token := h.headers[0].Get("Content-Type"), h.headers[0].Get("token"); ct != "application/json" || token != "abc" {
		t.Errorf("content type %q, promoted token %q", ct, token)
	}
	if accept := h.headers[0].Get("Accept"); accept != "application/json" {
		t.Errorf("accepts %q", accept)
	}
	if _, there := h.headers[0]["Absent"]; there {
		t.Error("a field that is not there was promoted")
	}
}

// TestWebhookAnswers: what the webhook says is what becomes of the client.
func TestWebhookAnswers(t *testing.T) {
	f := func(status int, body string, report bool, want string) {
		t.Helper()
		h := newHook(t, answer{status, body})
		m := h.method(t, func(c *WebhookConfig) { c.ReportInvalidParameters = report })
		if got := judge(m, `{"username":"x"}`); got != want {
			t.Errorf("%d %s, report %t: %s, want %s", status, body, report, got, want)
		}
	}
	for _, report := range []bool{true, false} {
		f(200, `"ada"`, report, "yes ada")
		f(200, `ada`, report, "yes ada")
		f(200, ``, report, "yes open")
		f(204, ``, report, "yes open")
		f(200, `{}`, report, "yes open")
		f(200, `{"id":"ada","clientData":{"a":1},"serverData":{"b":2},"token":"t"}`, report, `yes ada client={"a":1} server={"b":2}`)
		f(200, `{"username":"ada"}`, report, "yes ada")
		f(200, `{"id":"new","username":"old"}`, report, "yes new")
	}
	f(403, `not you`, true, `no client={"error":"not you"}`)
	f(403, `not you`, false, "next")
	f(500, ``, true, "no")
	f(500, ``, false, "next")
	f(401, `{}`, true, "no")
	f(401, `{"clientData":{"why":1},"serverData":{"secret":1}}`, true, `no client={"why":1}`)
	f(401, `{"serverData":{"secret":1}}`, true, "no")
	f(401, `{"why":"late","code":5}`, true, `no client={"why":"late","code":5}`) // as in 1.x
	f(401, `{"why":"late"}`, false, "next")
	f(401, `["x"]`, true, `no client={"error":"[\"x\"]"}`)

	f(200, `{"id":5}`, true, "yes 5")
	f(200, `{"id":"5"}`, true, "yes 5")
	f(200, `5`, true, "yes 5") // as text
	f(200, `null`, true, "yes open")
	for _, nobody := range []string{`0`, `false`, `null`, `""`} {
		f(200, `{"id":`+nobody+`}`, true, "yes open")
		f(200, `{"id":`+nobody+`,"username":"ada"}`, true, "yes ada")
	}
	for _, odd := range []string{`true`, `{"a":1}`, `["a"]`} {
		f(200, `{"id":`+odd+`}`, true, "error")
	}
	f(200, `["a"]`, true, "error")
	f(200, `{"ID":"ada","ClientData":{"a":1},"serverdata":1}`, true, "yes open")
	f(200, `{"id":"ada","ID":"bob","Id":"eve"}`, true, "yes ada")
	f(200, "a\xffb", true, "yes a\uFFFDb")
	f(200, "{\"id\":\"ada\",\"clientData\":\"\xff\"}", true, "yes ada client=\"\uFFFD\"")
}

// TestWebhookRetry: codes of the list and failures of the network are tried again,
// retryAttempts times, retryInterval apart.
func TestWebhookRetry(t *testing.T) {
	f := func(attempts int, report bool, want string, wantCalls int, answers ...answer) {
		t.Helper()
		h := newHook(t, answers...)
		m := h.method(t, func(c *WebhookConfig) {
			c.RetryStatusCodes, c.RetryAttempts, c.ReportInvalidParameters = []int{404, 504}, attempts, report
		})
		if got := judge(m, `{}`); got != want || len(h.bodies) != wantCalls {
			t.Errorf("%v: %s after %d calls; want %s after %d", answers, got, len(h.bodies), want, wantCalls)
		}
	}
	const exceeded = `no client={"error":"AUTH_RETRY_ATTEMPTS_EXCEEDED"}`
	f(3, true, "yes ada", 3, answer{504, ""}, answer{404, ""}, answer{200, "ada"})
	f(2, true, exceeded, 3, answer{504, ""})
	f(0, true, exceeded, 1, answer{504, ""})
	f(2, false, "next", 3, answer{504, ""})
	f(3, true, "no", 1, answer{500, ""}) // not in the list
	f(3, true, "yes ada", 2, answer{404, ""}, answer{200, "ada"}, answer{504, ""})
}

func TestWebhookUnreachable(t *testing.T) {
	h := newHook(t, answer{200, "ada"})
	m := h.method(t, func(c *WebhookConfig) { c.RetryAttempts = 1 })
	h.Close()
	if got, want := judge(m, `{}`), `no client={"error":"AUTH_RETRY_ATTEMPTS_EXCEEDED"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestWebhookLog: the log says why a server cannot be asked, once and without what is
// secret.
func TestWebhookLog(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"http://user:secret@192.0.2.1/?token=secret", "no route today"},
		{"http://busy.example/?token=secret", "it answers 503"},
	} {
		m, err := NewWebhook(WebhookConfig{EndpointURL: c.url, RequestTimeout: time.Second, RetryStatusCodes: []int{503}})
		if err != nil {
			t.Fatal(err)
		}
		m.client.Transport = transport(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "busy.example" {
				return &http.Response{StatusCode: 503, Body: http.NoBody, Request: r}, nil
			}
			return nil, errors.New("no route today")
		})
		var log strings.Builder
		for range 3 {
			_, err := m.Authenticate(context.Background(), &Connection{Log: slog.New(slog.NewTextHandler(&log, nil))}, `{"password":"secret"}`)
			if err != nil {
				t.Error(err)
			}
		}
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, c.want) || strings.Contains(got, "secret") {
			t.Errorf("%s: the log is\n%s", c.url, got)
		}
	}
}

// transport answers in the place of a network.
type transport func(r *http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestWebhookTimes: waits between attempts take retryInterval, an answer that does
// not come is given up after requestTimeout, and the end of the node ends a wait.
func TestWebhookTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := NewWebhook(WebhookConfig{EndpointURL: "http://hook.example/", RequestTimeout: 2 * time.Second,
			RetryAttempts: 2, RetryInterval: 5 * time.Second, ReportInvalidParameters: true})
		if err != nil {
			t.Fatal(err)
		}
		var at []time.Duration
		start := time.Now()
		m.client.Transport = transport(func(r *http.Request) (*http.Response, error) {
			at = append(at, time.Since(start))
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		if got := judge(m, `{}`); !strings.Contains(got, "AUTH_RETRY_ATTEMPTS_EXCEEDED") {
			t.Errorf("judged %s", got)
		}
		if diff := cmp.Diff([]time.Duration{0, 7 * time.Second, 14 * time.Second}, at); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}

		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(3*time.Second, cancel)
		start = time.Now()
		if _, err := m.Authenticate(ctx, &Connection{}, `{}`); err == nil || time.Since(start) != 3*time.Second {
			t.Errorf("an ended login returned %v after %v", err, time.Since(start))
		}
	})
}

// TestWebhookBounds: neither redirects nor an endless answer hold a login.
func TestWebhookBounds(t *testing.T) {
	hops := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hops++
		http.Redirect(w, r, "/again", http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	m, err := NewWebhook(WebhookConfig{EndpointURL: s.URL, PermittedStatusCodes: []int{200}, RequestTimeout: time.Minute, ReportInvalidParameters: true})
	if err != nil {
		t.Fatal(err)
	}
	defer m.client.CloseIdleConnections()
	if got := judge(m, `{}`); !strings.HasPrefix(got, "no") || hops != maxRedirects+1 {
		t.Errorf("%s after %d hops", got, hops)
	}

	h := newHook(t, answer{200, strings.Repeat("x", maxAnswer+1000)})
	if got := judge(h.method(t, nil), `{}`); !strings.HasPrefix(got, "no") {
		t.Errorf("took the beginning of an answer for a user: %d bytes", len(got))
	}
}

func TestWebhookSettings(t *testing.T) {
	f := func(url string, timeout time.Duration, want string) {
		t.Helper()
		_, err := NewWebhook(WebhookConfig{EndpointURL: url, RequestTimeout: timeout})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q, %v: error %v, want %q", url, timeout, err, want)
		}
	}
	f("", time.Second, "is not an http address")
	f("localhost:80", time.Second, "is not an http address")
	f("ftp://host/", time.Second, "is not an http address")
	f("http:///path", time.Second, "is not an http address")
	f("http://host/", 0, "requestTimeout")
}

// FuzzAnswer: whatever a webhook answers, what is given to the client is JSON in
// UTF-8, and who is let in has a name.
func FuzzAnswer(f *testing.F) {
	for _, answer := range []string{`"al"`, `al`, `{"id":5,"clientData":{"a":1}}`, `{"username":"\ud800"}`, `[]`, "\xff", `{"token":"t","serverData":[1]}`} {
		f.Add(200, []byte(answer))
		f.Add(403, []byte(answer))
	}
	f.Fuzz(func(t *testing.T, status int, answer []byte) {
		w := Webhook{config: WebhookConfig{PermittedStatusCodes: []int{200}, ReportInvalidParameters: true}}
		r, err := w.judge(status, answer)
		switch {
		case err != nil:
			return
		case r.Valid != (status == 200), r.Valid && r.ID == "", !utf8.ValidString(r.ID + r.Token):
			t.Errorf("%d %q: %+v", status, answer, r)
		}
		for _, j := range []json.RawMessage{r.ClientData, r.ServerData} {
			if len(j) > 0 && (!json.Valid(j) || !utf8.Valid(j)) {
				t.Errorf("%d %q: data %q", status, answer, j)
			}
		}
	})
}
