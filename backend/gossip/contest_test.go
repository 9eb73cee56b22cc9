package gossip

import (
	"fmt"
	"testing"
)

// TestContestCallsAll: a member whose name is taken until the others have missed an
// earlier run of it tells all of them, also those that its join list does not name.
func TestContestCallsAll(t *testing.T) {
	t.Parallel()
	a := run(t, config("a"))
	b := run(t, config("b", a.Addr()))
	a.awaits("b=alive")
	for _, contested := range []bool{false, true} {
		want := "[]"
		if contested {
			want = fmt.Sprintf("[{%s }]", b.Addr())
		}
		missed := func(addr string) bool { return contested }
		if got := fmt.Sprint(a.targets(t.Context(), nil, nil, missed, contested)); got != want {
			t.Errorf("contested %v: calls %s, want %s", contested, got, want)
		}
	}
}
