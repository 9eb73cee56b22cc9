package auth

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
)

// judge asks a method and shows its judgement as a line: "next", "error", or who is
// let in or not and with which data.
func judge(m Method, authData string) string {
	r, err := m.Authenticate(context.Background(), &Connection{RemoteAddress: "192.0.2.1"}, authData)
	switch {
	case err != nil:
		return "error"
	case r == nil:
		return "next"
	}
	line := "no"
	if r.Valid {
		line = "yes " + r.ID
	}
	if r.ClientData != nil {
		line += " client=" + string(r.ClientData)
	}
	if r.ServerData != nil {
		line += " server=" + string(r.ServerData)
	}
	return line
}

func TestOpen(t *testing.T) {
	f := func(authData, want string) {
		t.Helper()
		if got := judge(Open{}, authData); got != want {
			t.Errorf("%s: %s, want %s", authData, got, want)
		}
	}
	f(`{}`, "yes open")
	f(`{"username":"al"}`, "yes al")
	f(`{"username":""}`, "yes open")
	f(`{"username":null}`, "yes open")
	f(`{"username":7}`, "yes 7")
	f(`{"username":"ü😀"}`, "yes ü😀")
	f(`{"password":"x"}`, "yes open")
	f(`{"username":0}`, "yes open")
	f(`{"username":false}`, "yes open")
	f(`{"Username":"al"}`, "yes open")
	f(`{"username":"al","USERNAME":"bo"}`, "yes al")
}

// fixed is a method with one answer for all.
type fixed struct {
	result *Result
	err    error
	asked  *int
}

func (f fixed) Authenticate(context.Context, *Connection, string) (*Result, error) {
	if f.asked != nil {
		*f.asked++
	}
	return f.result, f.err
}

// TestChain: null is the next one's turn, an object ends the search.
func TestChain(t *testing.T) {
	asked := 0
	var (
		next   = fixed{}
		refuse = fixed{result: &Result{ClientData: json.RawMessage(`{"error":"no"}`)}}
		admit  = fixed{result: &Result{Valid: true, ID: "x"}}
		broken = fixed{err: errors.New("unreachable")}
		count  = fixed{result: &Result{Valid: true, ID: "y"}, asked: &asked}
	)
	f := func(want string, wantAsked int, methods ...Method) {
		t.Helper()
		asked = 0
		if got := judge(Chain(methods), `{}`); got != want || asked != wantAsked {
			t.Errorf("%s, last asked %d times; want %s, %d", got, asked, want, wantAsked)
		}
	}
	f("no", 0)
	f("no", 0, next)
	f("yes x", 0, admit, count)
	f("yes x", 0, next, next, admit, count)
	f("yes y", 1, next, count)
	f(`no client={"error":"no"}`, 0, refuse, count)
	f("error", 0, next, broken, count)
}

// TestQuick: only methods that neither wait nor compute let a loop read logins.
func TestQuick(t *testing.T) {
	for _, c := range []struct {
		m    Method
		want bool
	}{
		{Open{}, true},
		{&File{}, true},
		{&File{hash: &Hash{}}, false},
		{&Webhook{}, false},
		{fixed{}, false},
		{Chain{&File{}, Open{}}, true},
		{Chain{Open{}, &Webhook{}}, false},
	} {
		if got := Quick(c.m); got != c.want {
			t.Errorf("%T: %v, want %v", c.m, got, c.want)
		}
	}
}
