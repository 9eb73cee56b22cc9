package tunnel

import (
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls here never block, so they skip the scheduler's bookkeeping of system
// calls (RawSyscall): it would take the processor away from those that last
// long without waiting, which over loopback are all that send something, and
// have all threads watched every 20 us from then on. MSG_DONTWAIT makes sure of
// that whatever the mode of the descriptor, which it may share with someone
// else.

// receive reads what the socket has, at most len(p) bytes.
func receive(fd int, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// send writes what the socket takes of p. It returns less than len(p) and no
// error when the socket is full: EPOLLOUT will follow.
func send(fd int, p []byte) (int, error) { return sendTo(fd, p, 0) }

// sendLast is send when a FIN will follow at once, in the same segment.
func sendLast(fd int, p []byte) (int, error) { return sendTo(fd, p, unix.MSG_MORE) }

func sendTo(fd int, p []byte, flags uintptr) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EAGAIN:
			return 0, nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// epollNow is epoll_wait with a timeout of zero.
func epollNow(fd int, events []unix.EpollEvent) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// socketError takes the pending error of a socket.
func socketError(fd int) error {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if n == 0 {
		return unix.ECONNRESET
	}
	return unix.Errno(n)
}

// hangUp closes a socket: with a FIN behind what it still has to send, or with
// a RST in place of that.
func hangUp(fd int, reset bool) {
	if reset {
		// Without it the peer sees an end in place of a cut; not worth more.
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	closeSocket(fd)
}

// closeSocket is close(2), which waits for nothing here: SO_LINGER is off, or
// of zero seconds. Its error says nothing of use.
func closeSocket(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// shutdownWrite sends a FIN.
func shutdownWrite(fd int) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0); errno != 0 {
		return errno
	}
	return nil
}

// takeSocket returns a descriptor of the connection's socket that the runtime
// does not know, and closes the connection, so that its poller does not wake
// for the socket as well. The connection is closed in any case.
func takeSocket(c *net.TCPConn) (fd int, err error) {
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	if closed := raw.Control(func(s uintptr) { fd, err = dup(int(s)) }); closed != nil {
		return -1, closed
	}
	return fd, err
}

func dup(fd int) (int, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	return n, os.NewSyscallError("fcntl", err)
}

// returnSocket makes a connection of the socket; fd stays open.
func returnSocket(fd int) (net.Conn, error) {
	d, err := dup(fd)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(d), "tunnel")
	defer f.Close()
	return net.FileConn(f)
}
