package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
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
}

// maxRedirects is what the original follows; maxAnswer bounds the body read.
const (
	maxRedirects = 2
	maxAnswer    = 1 << 20
)

// NewWebhook checks the settings.
func NewWebhook(c WebhookConfig) (*Webhook, error) {
	u, err := url.Parse(c.EndpointURL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("endpointUrl %q is not an http address", c.EndpointURL)
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
	return &Webhook{config: c, client: client}, nil
}

// Authenticate implements Method.
func (w *Webhook) Authenticate(ctx context.Context, c *Connection, authData string) (*Result, error) {
	body, err := json.Marshal(map[string]any{"connectionData": c, "authData": json.RawMessage(authData)})
	if err != nil {
		return nil, fmt.Errorf("encode webhook request: %w", err)
	}
	for attempt := 0; ; attempt++ {
		status, answer, err := w.ask(ctx, body, authData)
		retry := err != nil || slices.Contains(w.config.RetryStatusCodes, status)
		if !retry {
			return w.judge(status, answer), nil
		}
		if attempt >= w.config.RetryAttempts {
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

func (w *Webhook) ask(ctx context.Context, body []byte, authData string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.config.EndpointURL, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	w.promote(req, authData)
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, answer, err
}

func (w *Webhook) promote(req *http.Request, authData string) {
	if len(w.config.PromoteToHeader) == 0 {
		return
	}
	var fields map[string]any
	if json.Unmarshal([]byte(authData), &fields) != nil {
		return
	}
	for _, name := range w.config.PromoteToHeader {
		if v, ok := fields[name].(string); ok && v != "" {
			req.Header.Set(name, v)
		}
	}
}

// answerBody is what a webhook may say about a user.
type answerBody struct {
	ID         string          `json:"id"`
	Username   string          `json:"username"` // of the 1.x line
	ClientData json.RawMessage `json:"clientData"`
	ServerData json.RawMessage `json:"serverData"`
	Token      string          `json:"token"`
}

func (w *Webhook) judge(status int, answer []byte) *Result {
	var b answerBody
	var text string
	switch {
	case json.Unmarshal(answer, &b) == nil:
	case json.Unmarshal(answer, &text) == nil:
	default:
		text = string(answer)
	}
	if !slices.Contains(w.config.PermittedStatusCodes, status) {
		if text != "" {
			b.ClientData, _ = json.Marshal(map[string]string{"error": text}) // a map of strings always encodes
		}
		return w.refuse(b.ClientData)
	}
	r := &Result{Valid: true, ID: b.ID, ClientData: b.ClientData, ServerData: b.ServerData, Token: b.Token}
	if r.ID == "" {
		r.ID = b.Username
	}
	if text != "" {
		r.ID = text
	}
	if r.ID == "" {
		r.ID = OpenID
	}
	return r
}

func (w *Webhook) refuse(clientData json.RawMessage) *Result {
	if !w.config.ReportInvalidParameters {
		return nil
	}
	return &Result{ClientData: clientData}
}
