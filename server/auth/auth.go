// Package auth says who a client is. A Method judges the auth data of a login; a
// Chain asks several in order. Passwords and auth data never reach the log.
package auth

import (
	"context"
	"encoding/json"
)

// Connection is what a method may know about the connection. Its JSON form is
// the connectionData of the webhook.
type Connection struct {
	Headers       map[string]string `json:"headers"`
	Referer       string            `json:"referer,omitempty"`
	RemoteAddress string            `json:"remoteAddress"`
}

// Result is a judgement that ends the search.
type Result struct {
	Valid      bool
	ID         string
	ClientData json.RawMessage // given to the client with either answer
	ServerData json.RawMessage // for permissions
	Token      string
}

// Method judges auth data, which is a JSON object. It returns nil where it has
// nothing to say and the next method is to be asked.
type Method interface {
	Authenticate(ctx context.Context, c *Connection, authData string) (*Result, error)
}

// Chain asks its methods in order; a login that none of them judges is invalid.
type Chain []Method

// OpenID is the user of those who do not say who they are.
const OpenID = "open"

// Authenticate implements Method and never returns nil without an error.
func (c Chain) Authenticate(ctx context.Context, conn *Connection, authData string) (*Result, error) {
	for _, m := range c {
		r, err := m.Authenticate(ctx, conn, authData)
		if err != nil {
			return nil, err
		}
		if r != nil {
			return r, nil
		}
	}
	return &Result{}, nil
}

// Open lets everyone in, under the username they give or as OpenID.
type Open struct{}

// Authenticate implements Method.
func (Open) Authenticate(_ context.Context, _ *Connection, authData string) (*Result, error) {
	var a struct {
		Username any `json:"username"`
	}
	id := OpenID
	if json.Unmarshal([]byte(authData), &a) == nil && a.Username != nil {
		switch u := a.Username.(type) {
		case string:
			if u != "" {
				id = u
			}
		default:
			if b, err := json.Marshal(u); err == nil {
				id = string(b)
			}
		}
	}
	return &Result{Valid: true, ID: id}, nil
}
