package endpoint

import (
	"encoding/binary"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls here never wait, whatever the mode of the socket, so that the scheduler
// need not be told. It matters for those that take long though they do not wait: a
// send over loopback runs the receiver's half of TCP as well, and a scheduler that
// knows of it takes the processor away, wakes another thread for it, and watches all
// threads every 20 µs from then on.

// accept takes the next connection of a listener, as one that does not block.
func accept(listener uintptr) (fd int, remote netip.AddrPort, err error) {
	var from unix.RawSockaddrInet6 // has room for IPv4, too
	for {
		size := uint32(unsafe.Sizeof(from))
		n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, listener, uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)),
			unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if errno == 0 {
			return int(n), address(&from), nil
		}
		if errno != unix.EINTR {
			return 0, remote, errno
		}
	}
}

// address reads an address as package net does.
func address(a *unix.RawSockaddrInet6) netip.AddrPort {
	port := func(p *uint16) uint16 { return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]) }
	if a.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(a))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), port(&v4.Port))
	}
	ip := netip.AddrFrom16(a.Addr).Unmap()
	if a.Scope_id != 0 {
		if nic, err := net.InterfaceByIndex(int(a.Scope_id)); err == nil {
			ip = ip.WithZone(nic.Name)
		}
	}
	return netip.AddrPortFrom(ip, port(&a.Port))
}

// recv receives what is there; 0 bytes without an error are the end. MSG_PEEK is a flag
// that may be given.
func recv(fd uintptr, p []byte, flags uintptr) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))),
			uintptr(len(p)), unix.MSG_DONTWAIT|flags, 0, 0)
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
