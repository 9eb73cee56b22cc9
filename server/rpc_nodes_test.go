package server

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/server/message"
)

// called is a client with calls.
type called struct {
	*client
	t *testing.T
}

func (d *dialogue) caller(t *testing.T, name string, node int) called {
	return called{d.join(name, node), t}
}

func (c called) rpc(action message.Action, id, data string) {
	c.t.Helper()
	m := message.Message{Topic: message.RPC, Action: action, Name: "add", CorrelationID: id, Data: data}
	if action == message.RPCProvide {
		m.Name, m.Names = "", []string{"add"}
	}
	if err := c.session.Receive(c.codec.Append(nil, &m)); err != nil {
		c.t.Fatal(err)
	}
	synctest.Wait()
}

// asked returns the ids of the calls that a provider was asked.
func (c called) asked() (ids []string) {
	synctest.Wait()
	for _, m := range c.take() {
		if m.Action == message.RPCRequest {
			ids = append(ids, m.CorrelationID)
		}
	}
	return ids
}

// heard returns what a requester heard.
func (c called) heard() (list []string) {
	synctest.Wait()
	for _, m := range c.take() {
		list = append(list, message.ActionName(m.Topic, m.Action)+" "+m.CorrelationID+" "+m.Data)
	}
	return list
}

func (c called) hears(want ...string) {
	c.t.Helper()
	if got := c.heard(); fmt.Sprint(got) != fmt.Sprint(want) {
		c.t.Errorf("%s heard %q, want %q", c.name, got, want)
	}
}

// TestCallOfAnEarlierRun: the answer to a call that a node made before it was
// restarted under its name is not taken for that to a call which it made since.
func TestCallOfAnEarlierRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialogue(t, nil)
		defer d.stop()
		d.addNode()
		provider := d.caller(t, "provider", 2)
		provider.rpc(message.RPCProvide, "p", "")
		d.caller(t, "before", 1).rpc(message.RPCRequest, "c", "1")
		old := provider.asked()
		d.kill(1)
		time.Sleep(time.Second)
		d.nodes[0], d.stops[0] = d.startNode("node-1")
		time.Sleep(time.Second)
		since := d.caller(t, "since", 1)
		since.rpc(message.RPCRequest, "c", "2")
		if again := provider.asked(); len(old) != 1 || len(again) != 1 {
			t.Fatalf("the provider was asked %q, then %q", old, again)
		}
		since.heard()
		provider.rpc(message.RPCAccept, old[0], "")
		provider.rpc(message.RPCResponse, old[0], `"not yours"`)
		since.hears()
	})
}

// TestCallOfManyProviders: a node whose providers take their time to reject is waited
// for, as the node of the requester waits for its own, and so is one whose provider
// accepted first and then rejected.
func TestCallOfManyProviders(t *testing.T) {
	f := func(what string, accept bool, pause time.Duration) {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDialogue(t, nil)
				defer d.stop()
				d.addNode()
				const many = 4
				var providers []called
				for i := range many {
					p := d.caller(t, fmt.Sprint("p", i), 2)
					p.rpc(message.RPCProvide, "p", "")
					p.take()
					providers = append(providers, p)
				}
				a := d.caller(t, "a", 1)
				a.take()
				a.rpc(message.RPCRequest, "c", "1")
				next := func() (called, string) {
					for _, p := range providers {
						if ids := p.asked(); len(ids) > 0 {
							return p, ids[0]
						}
					}
					t.Fatal("nobody was asked")
					return called{}, ""
				}
				for range many - 1 {
					p, id := next()
					if accept {
						p.rpc(message.RPCAccept, id, "")
					}
					time.Sleep(pause)
					p.rpc(message.RPCReject, id, "")
				}
				p, id := next()
				p.rpc(message.RPCAccept, id, "")
				time.Sleep(pause)
				p.rpc(message.RPCResponse, id, "2")
				a.hears("ACCEPT c ", "RESPONSE c 2")
			})
		})
	}
	f("they reject", false, 900*time.Millisecond)
	f("they accept and reject", true, 4*time.Second)
}
