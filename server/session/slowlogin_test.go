package session

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsproxy/dsproxy/server/wire"
)

// slowLogin takes its time to judge.
type slowLogin struct {
	*handler
	takes time.Duration
}

func (h slowLogin) Login(s *Session, hs *Handshake, data string) Verdict {
	time.Sleep(h.takes)
	return h.handler.Login(s, hs, data)
}

// TestLateVerdict: a login that is judged after its deadline, or after the node
// began to stop, opens no session.
func TestLateVerdict(t *testing.T) {
	f := func(name string, end func(r *rig, s *Session), code int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			defer r.stop()
			r.Registry.handler = slowLogin{r.handler, 2 * time.Minute}
			s, p := r.connect(t, wire.TextG1, nil)
			go end(r, s)
			say(t, s, login)
			synctest.Wait()
			if r.handler.opened != 0 || r.LoggedIn() != 0 || p.closedWith() != code {
				t.Errorf("%s: opened %d, closed with %d", name, r.handler.opened, p.closedWith())
			}
			s.End()
			if r.handler.closed != 0 {
				t.Errorf("%s: the end of a session that was not open was told", name)
			}
		})
	}
	f("deadline", func(*rig, *Session) {}, CloseNormal) // the deadline is a minute
	f("stop", func(_ *rig, s *Session) { time.Sleep(time.Second); s.Close(CloseGoingAway, "bye") }, CloseGoingAway)
}
