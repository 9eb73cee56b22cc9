package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// WebhookConfig is the original's options for auth type http.
type WebhookConfig struct {
	EndpointURL          string
	PermittedStatusCodes []int
	RequestTimeout       time.Duration
	// PromoteToHeader names fields of the auth data that are sent as headers too.
	PromoteToHeader  []string
	RetryStatusCodes []int
	RetryAttempts    int
	RetryInterval    time.Duration
	// ReportInvalidParameters turns refusals into final ones.
	ReportInvalidParameters bool
}

// Webhook judges by asking a web server.
type Webhook struct {
	config WebhookConfig
	client *http.Client
	host   string

	nextWarning atomic.Int64 // not before, in Unix nanoseconds
}

// maxRedirects is what the original follows; maxAnswer bounds the body, in bytes.
const (
	maxRedirects = 2
	maxAnswer    = 1 << 20
)

var errLongAnswer = fmt.Errorf("its answer has more than %d bytes", maxAnswer)

// NewWebhook checks the settings.
func NewWebhook(c WebhookConfig) (*Webhook, error) {
	u, err := url.Parse(c.EndpointURL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errors.New("endpointUrl is not an http address")
	}
	if c.RequestTimeout <= 0 {
		return nil, errors.New("requestTimeout of http authentication must be positive")
	}
	client := &http.Client{
		Timeout: c.RequestTimeout,
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			return nil
		},
	}
	return &Webhook{config: c, client: client, host: u.Host}, nil
}

// connectionData is what it is told about a connection.
type connectionData struct {
	Headers       map[string]string `json:"headers"` // names in lower case
	Referer       string            `json:"referer,omitempty"`
	RemoteAddress string            `json:"remoteAddress"`
}

func dataOf(c *Connection) connectionData {
	d := connectionData{
		Headers: make(map[string]string, len(c.Header)+1), Referer: c.Header.Get("Referer"), RemoteAddress: c.RemoteAddress,
	}
	for name, values := range c.Header {
		d.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	if c.Host != "" {
		d.Headers["host"] = c.Host
	}
	return d
}

// Authenticate implements Method.
func (w *Webhook) Authenticate(ctx context.Context, c *Connection, authData string) (*Result, error) {
	body, err := json.Marshal(map[string]any{"connectionData": dataOf(c), "authData": json.RawMessage(authData)})
	if err != nil {
		return nil, fmt.Errorf("encode webhook request: %w", err)
	}
	for attempt := 0; ; attempt++ {
		status, answer, err := w.ask(ctx, body, authData)
		retry := err != nil || slices.Contains(w.config.RetryStatusCodes, status)
		if !retry {
			return w.judge(status, answer)
		}
		if attempt >= w.config.RetryAttempts {
			w.warn(c.Log, status, err)
			return w.refuse(json.RawMessage(`{"error":"AUTH_RETRY_ATTEMPTS_EXCEEDED"}`)), nil
		}
		t := time.NewTimer(w.config.RetryInterval)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		case <-t.C:
		}
	}
}

// warnPeriod is the time between two lines in the log about a server that fails.
const warnPeriod = 10 * time.Second

// warn says why the server cannot be asked. Its address stays out: the query may hold
// what is secret.
func (w *Webhook) warn(log *slog.Logger, status int, err error) {
	now := time.Now().UnixNano()
	next := w.nextWarning.Load()
	if log == nil || now < next || !w.nextWarning.CompareAndSwap(next, now+int64(warnPeriod)) {
		return
	}
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	if err == nil {
		err = fmt.Errorf("it answers %d", status)
	}
	log.Warn("the server that judges logins cannot be asked", "host", w.host, "err", err)
}

func (w *Webhook) ask(ctx context.Context, body []byte, authData string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.config.EndpointURL, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	w.promote(req, authData)
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if len(answer) > maxAnswer {
		err = errLongAnswer // its beginning may name somebody else
	}
	return resp.StatusCode, answer, err
}

func (w *Webhook) promote(req *http.Request, authData string) {
	if len(w.config.PromoteToHeader) == 0 {
		return
	}
	fields := objectFields([]byte(authData))
	for _, name := range w.config.PromoteToHeader {
		if v := stringOf(fields[name]); v != "" {
			req.Header.Set(name, v)
		}
	}
}

var errAnswer = errors.New("webhook names the user by neither a text nor a number")

// judge reads the answer: a text, which names the user or the reason of a refusal,
// or an object. On a refusal the original gives the client clientData of the object,
// and in the 1.x line all of it; here an object without fields of 10.x is given whole.
func (w *Webhook) judge(status int, answer []byte) (*Result, error) {
	answer = bytes.TrimSpace(bytes.ToValidUTF8(answer, []byte("\uFFFD"))) // clients may get it
	var text string
	object := objectFields(answer)
	if object == nil && json.Unmarshal(answer, &text) != nil {
		text = string(answer)
	}
	if !slices.Contains(w.config.PermittedStatusCodes, status) {
		clientData := object["clientData"]
		switch {
		case text != "":
			clientData, _ = json.Marshal(map[string]string{"error": text}) // a map of strings always encodes
		case len(object) > 0 && !slices.ContainsFunc(answerFields, func(f string) bool { return object[f] != nil }):
			clientData = answer
		}
		return w.refuse(clientData), nil
	}
	if object == nil && json.Valid(answer) && answer[0] == '[' {
		return nil, errAnswer
	}
	r := &Result{Valid: true, ID: text, ClientData: object["clientData"], ServerData: object["serverData"], Token: stringOf(object["token"])}
	for _, name := range []string{"id", "username"} {
		if r.ID != "" {
			break
		}
		var err error
		if r.ID, err = userID(object[name]); err != nil {
			return nil, err
		}
	}
	if r.ID == "" {
		r.ID = OpenID
	}
	return r, nil
}

// answerFields are what an answer of the 10.x line says about a user; username is of
// the 1.x line.
var answerFields = []string{"id", "username", "clientData", "serverData", "token"}

// userID reads a name or a number; what JavaScript takes for false is nobody.
func userID(j json.RawMessage) (string, error) {
	var v any
	if len(j) == 0 || json.Unmarshal(j, &v) != nil {
		return "", nil
	}
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case float64:
		if v == 0 {
			return "", nil
		}
		return string(j), nil
	case bool:
		if !v {
			return "", nil
		}
	}
	return "", errAnswer
}

func (w *Webhook) refuse(clientData json.RawMessage) *Result {
	if !w.config.ReportInvalidParameters {
		return nil
	}
	return &Result{ClientData: clientData}
}
