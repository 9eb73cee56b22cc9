//go:build !linux

package http1

import (
	"syscall"
	"time"
)

// limitSilence does nothing: a host that is gone shows when the kernel gives up.
func limitSilence(time.Duration) func(network, address string, c syscall.RawConn) error { return nil }
