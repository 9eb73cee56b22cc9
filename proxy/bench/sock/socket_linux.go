package sock

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// backlog is the length of the accept queue asked for; the kernel cuts it to
// net.core.somaxconn.
const backlog = 4096

// Listen opens a non-blocking listening socket on a free port of ip. Accepted
// sockets inherit TCP_NODELAY.
func Listen(ip netip.Addr) (fd int, addr netip.AddrPort, err error) {
	fd, err = open()
	if err != nil {
		return -1, addr, err
	}
	addr, err = listen(fd, ip)
	if err != nil {
		unix.Close(fd)
		return -1, addr, fmt.Errorf("listen on %v: %w", ip, err)
	}
	return fd, addr, nil
}

func listen(fd int, ip netip.Addr) (addr netip.AddrPort, err error) {
	// Else a port is not free while a connection closed on it lingers, and
	// after some turns all are taken.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return addr, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: ip.As4()}); err != nil {
		return addr, err
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return addr, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return addr, err
	}
	in4, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return addr, errors.New("not an IPv4 socket")
	}
	return netip.AddrPortFrom(ip, uint16(in4.Port)), nil
}

// Accept takes one connection; ok is false when none is waiting.
func Accept(listener int) (fd int, ok bool, err error) {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			return fd, true, nil
		case unix.EAGAIN:
			return -1, false, nil
		case unix.EINTR, unix.ECONNABORTED:
		default:
			return -1, false, fmt.Errorf("accept: %w", err)
		}
	}
}

// Dial begins a connection from a free port of source; the socket becomes
// writable when it stands or failed (see Connected). The port is chosen when
// connecting, so that each source address has the whole port range for every
// target.
func Dial(source netip.Addr, target netip.AddrPort) (fd int, err error) {
	fd, err = open()
	if err != nil {
		return -1, err
	}
	if err := dial(fd, source, target); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("dial %v from %v: %w", target, source, err)
	}
	return fd, nil
}

func dial(fd int, source netip.Addr, target netip.AddrPort) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: source.As4()}); err != nil {
		return err
	}
	err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(target.Port()), Addr: target.Addr().As4()})
	if err != nil && err != unix.EINPROGRESS {
		return err
	}
	return nil
}

func open() (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open a socket: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_NODELAY, 1); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set TCP_NODELAY: %w", err)
	}
	return fd, nil
}

// Connected is the outcome of a Dial whose socket became writable.
func Connected(fd int) error {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if code != 0 {
		return fmt.Errorf("connect: %w", unix.Errno(code))
	}
	return nil
}

// Read reads what is there: 0 and no error at the end of the stream, wait true
// when nothing is there yet.
func Read(fd int, b []byte) (n int, wait bool, err error) {
	for {
		n, err := unix.Read(fd, b)
		switch err {
		case nil:
			return n, false, nil
		case unix.EAGAIN:
			return 0, true, nil
		case unix.EINTR:
		default:
			return 0, false, fmt.Errorf("read: %w", err)
		}
	}
}

var errFull = errors.New("write: the socket takes no more, its reader is stuck")

// Write writes all of b. The benchmark's messages are far smaller than a socket
// buffer and each is answered before the next is sent, so a buffer that is full
// is an error, not something to wait for.
func Write(fd int, b []byte) error {
	for {
		n, err := unix.Write(fd, b)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN || err == nil && n < len(b):
			return errFull
		case err != nil:
			return fmt.Errorf("write: %w", err)
		default:
			return nil
		}
	}
}

// Close closes a socket.
func Close(fd int) { unix.Close(fd) }

// Abort closes a socket with a reset. Nothing of the connection lingers in the
// kernel then, which would be ten thousands of ports after a turn.
func Abort(fd int) {
	// Without the option it is a plain close, which is good enough.
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Close(fd)
}

// IsReset tells whether err says that the peer reset the connection.
func IsReset(err error) bool {
	return errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}
