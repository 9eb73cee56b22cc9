package http1

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limitSilence has the kernel close a connection when what was sent is not
// acknowledged by the other host for so long: one that was cut off or lost its power
// never ends its connections, and holds up sessions that could be elsewhere.
func limitSilence(most time.Duration) func(network, address string, c syscall.RawConn) error {
	if most <= 0 {
		return nil
	}
	return func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			// A socket that does not know it is used all the same.
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(most.Milliseconds()))
		})
	}
}
