package auth

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
)

// User is an entry of the users file.
type User struct {
	Password   string
	ClientData json.RawMessage
	ServerData json.RawMessage
}

// File judges by username and password against a list of users.
type File struct {
	users map[string]User
	hash  *Hash
	// report turns doubts into refusals; without it the next method is asked.
	report bool
}

// NewFile makes the method. hash is nil for passwords in clear text; report is
// the original's reportInvalidParameters.
func NewFile(users map[string]User, hash *Hash, report bool) (*File, error) {
	if len(users) == 0 {
		return nil, errors.New("no users present in user file")
	}
	for name, u := range users {
		if u.Password == "" {
			return nil, fmt.Errorf("missing password for user %q", name)
		}
		if hash != nil && len(u.Password) <= hash.encodedLen() {
			return nil, fmt.Errorf("password of user %q is not a hash of %d bytes and a salt", name, hash.KeyLength)
		}
	}
	return &File{users: users, hash: hash, report: report}, nil
}

// Authenticate implements Method.
func (f *File) Authenticate(_ context.Context, _ *Connection, authData string) (*Result, error) {
	given := objectFields([]byte(authData))
	username, password := stringOf(given["username"]), stringOf(given["password"])
	if username == "" || password == "" {
		if f.report {
			return &Result{ClientData: json.RawMessage(`{"error":"missing authentication parameter: username or/and password"}`)}, nil
		}
		return nil, nil
	}
	u, ok := f.users[username]
	if !ok {
		return nil, nil
	}
	match, err := f.matches(password, u.Password)
	if err != nil {
		return nil, err
	}
	if match {
		return &Result{Valid: true, ID: username, ClientData: u.ClientData, ServerData: u.ServerData}, nil
	}
	if f.report {
		return &Result{}, nil
	}
	return nil, nil
}

func (f *File) matches(given, stored string) (bool, error) {
	if f.hash != nil {
		salt := stored[f.hash.encodedLen():]
		var err error
		if given, err = f.hash.Sum(given, salt); err != nil {
			return false, err
		}
	}
	return subtle.ConstantTimeCompare([]byte(given), []byte(stored)) == 1, nil
}
