// Package auth says who a client is. A Method judges the auth data of a login; a
// Chain asks several in order. Passwords and auth data never reach the log.
package auth

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
)

// Connection is what a method may know about the connection.
type Connection struct {
	Header        http.Header // of the request that opened it, without the host
	Host          string
	RemoteAddress string
	// Log, where it is set, is told why a method cannot judge.
	Log *slog.Logger
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

// Quick reports that a method judges without waiting and without much work.
func Quick(m Method) bool {
	switch m := m.(type) {
	case Open:
		return true
	case *File:
		return m.hash == nil
	case Chain:
		return !slices.ContainsFunc(m, func(m Method) bool { return !Quick(m) })
	}
	return false
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
	name := objectFields([]byte(authData))["username"]
	id := stringOf(name)
	if id == "" {
		switch id = string(name); id {
		case "", `""`, "null", "false", "0":
			id = OpenID
		}
	}
	return &Result{Valid: true, ID: id}, nil
}

// objectFields returns the fields of a JSON object, nil if it is none. Their names
// are matched as they are written, as JavaScript does and encoding/json does not: two
// readers of one login must not see different users.
func objectFields(j []byte) (fields map[string]json.RawMessage) {
	if json.Unmarshal(j, &fields) != nil {
		return nil
	}
	return fields
}

// stringOf returns a JSON string, or "" for anything else.
func stringOf(j json.RawMessage) (s string) {
	if len(j) == 0 || json.Unmarshal(j, &s) != nil {
		return ""
	}
	return s
}
