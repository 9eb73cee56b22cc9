//go:build unix && !(linux && (amd64 || arm64))

package http1

import (
	"errors"
	"syscall"
)

// recv receives what is there and never waits. An errno of 0 with n of 0 is
// the end of the stream.
func recv(fd uintptr, p []byte, flags uintptr) (n int, errno syscall.Errno) {
	for {
		n, _, err := syscall.Recvfrom(int(fd), p, int(flags)|syscall.MSG_DONTWAIT)
		if err == nil {
			return n, 0
		}
		if err != syscall.EINTR {
			return 0, errnoOf(err)
		}
	}
}

// send sends what the socket takes of p; its descriptor does not block.
func send(fd uintptr, p []byte) (n int, errno syscall.Errno) {
	for {
		n, err := syscall.Write(int(fd), p)
		if err == nil {
			return n, 0
		}
		if err != syscall.EINTR {
			return 0, errnoOf(err)
		}
	}
}

func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return syscall.EIO
	}
	return errno
}
