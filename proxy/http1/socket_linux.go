//go:build linux && (amd64 || arm64)

package http1

import (
	"syscall"
	"unsafe"
)

// The calls here never wait, whatever the mode of the socket, so they can do
// without telling the scheduler. That matters for what is done several times a
// request, and for what takes long though it does not wait: a send over
// loopback runs the receiver's half of TCP as well, and a scheduler that knows
// of it takes the processor away, wakes another thread for it, and watches all
// threads every 20 us from then on.

// recv receives what is there. An errno of 0 with n of 0 is the end of the
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

// send sends what the socket takes of p, which is not empty.
func send(fd uintptr, p []byte) (n int, errno syscall.Errno) {
	for {
		r, _, e := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&p[0])),
			uintptr(len(p)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		if e == 0 {
			return int(r), 0
		}
		if e != syscall.EINTR {
			return 0, e
		}
	}
}
