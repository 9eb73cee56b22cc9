package server

import (
	"testing"
	"testing/synctest"
)

// TestCreationIsTold: who waits for a record that is not there hears of its first
// writes at once, one by one.
func TestCreationIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialogue(t, nil)
		defer d.stop()
		for name, user := range map[string]string{"a": "al", "b": "bo"} {
			d.connect(d.nodes[0], name, "protobuf")
			d.login(name, user)
		}
		talk(t, d, "a> RECORD SUBSCRIBEANDREAD names=rec corr=1")
		expect(t, talk(t, d, `b> RECORD CREATEANDUPDATE name=rec version=-1 data={"a":1}`,
			`b> RECORD CREATEANDPATCH name=rec version=-1 path=b data=2`),
			`a< RECORD UPDATE name=rec version=1 writeAck=false data={"a":1}`,
			`a< RECORD PATCH name=rec path=b version=2 writeAck=false data=2`)
	})
}
