package record

import (
	"fmt"
	"testing"

	"github.com/dsproxy/dsproxy/server/hub"
	"github.com/dsproxy/dsproxy/server/session"
)

// TestHeadsAreBounded: a client that asks for records and leaves them while the cache
// is away does not make the node keep their names.
func TestHeadsAreBounded(t *testing.T) {
	q := newHeads(&Handler{hub: hub.New(nil)})
	defer q.close()
	var s session.Session
	for i := range 1000 {
		q.later(&s, []string{fmt.Sprint(2 * i), fmt.Sprint(2*i + 1)})
	}
	if n := len(q.asked[&s].names); n > minAsked {
		t.Errorf("%d names are kept", n)
	}
	q.forget(&s)
	if len(q.asked) > 0 {
		t.Error("a session that is gone is kept")
	}
}
