package server

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"

	"github.com/dsproxy/dsproxy/server/auth"
)

// withData gives every client the same data.
type withData struct{ auth.Open }

func (w withData) Authenticate(ctx context.Context, c *auth.Connection, data string) (*auth.Result, error) {
	r, err := w.Open.Authenticate(ctx, c, data)
	if r != nil {
		r.ClientData = json.RawMessage(`{"role":"x"}`)
		r.ServerData = json.RawMessage(`{"secret":1}`)
	}
	return r, err
}

// TestRequestor: providers are told who calls where the configuration says so, and
// never what only the server may know.
func TestRequestor(t *testing.T) {
	f := func(name, data bool, want string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			d := newDialogue(t, func(c *Config) {
				c.Auth = withData{}
				c.RPC.ProvideRequestorName, c.RPC.ProvideRequestorData = name, data
			})
			defer d.stop()
			for _, name := range []string{"a", "b"} {
				d.connect(d.nodes[0], name, "protobuf")
				d.login(name, "user-"+name)
			}
			talk(t, d, "b> RPC PROVIDE names=p corr=1")
			expect(t, talk(t, d, "a> RPC REQUEST name=p corr=c data=1"), "b< RPC REQUEST name=p corr=c"+want+" data=1")
		})
	}
	f(false, false, "")
	f(true, false, " requestor=user-a")
	f(false, true, ` requestorData={"role":"x"}`)
	f(true, true, ` requestor=user-a requestorData={"role":"x"}`)
}
