//go:build e2e

package e2e

import (
	"testing"

	"go.uber.org/goleak"
)

// A client of Redis that was closed while it could not dial looks once a second whether it was.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}
