package endpoint

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls here never wait, whatever the mode of the socket, so that the scheduler
// need not be told. It matters for those that take long though they do not wait: a
// send over loopback runs the receiver's half of TCP as well, and a scheduler that
// knows of it takes the processor away, wakes another thread for it, and watches all
// threads every 20 µs from then on.

// recv receives what is there; 0 bytes without an error are the end.
func recv(fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))),
			uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// send sends what the socket takes. What is sent with more set leaves together with
// what follows, at the latest with the end of the connection.
func send(fd uintptr, p []byte, more bool) (int, error) {
	flags := uintptr(unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL)
	if more {
		flags |= unix.MSG_MORE
	}
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))),
			uintptr(len(p)), flags, 0, 0)
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// closeFD closes a socket that does not linger.
func closeFD(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }
