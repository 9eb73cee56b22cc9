//go:build linux && (amd64 || arm64)

package http1

import (
	"syscall"
	"unsafe"
)

// recv receives what is there and never waits, whatever the mode of the
// socket. So it can do without telling the scheduler, which matters for a call
// made several times a request. An errno of 0 with n of 0 is the end of the
// stream.
func recv(fd uintptr, p []byte, flags uintptr) (n int, errno syscall.Errno) {
	for {
		r, _, e := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&p[0])),
			uintptr(len(p)), flags|syscall.MSG_DONTWAIT, 0, 0)
		if e == 0 {
			return int(r), 0
		}
		if e != syscall.EINTR {
			return 0, e
		}
	}
}
