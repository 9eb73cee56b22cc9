//go:build e2e

package e2e

import (
	"testing"
	"time"
)

// await returns when condition returns nil, which it asks again and again, and
// fails the test when it still does not after the limit.
func await(t testing.TB, limit time.Duration, what string, condition func() error) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	end := time.NewTimer(limit)
	defer end.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-end.C:
			t.Fatalf("not within %v: %s: %v", limit, what, err)
		}
	}
}
