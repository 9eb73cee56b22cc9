package tunnel

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func (r *Relay) dial(ctx context.Context, to netip.AddrPort, o DialOptions) (net.Conn, error) {
	l := r.pick()
	if l == nil || to.Addr().Zone() != "" {
		return nil, errors.ErrUnsupported
	}
	d, err := l.dial(ctx, r, to, o)
	if err == nil || errors.Is(err, ErrClosed) {
		return d, err
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
}

func (l *loop) dial(ctx context.Context, r *Relay, to netip.AddrPort, o DialOptions) (*dialed, error) {
	address := newSockaddr(to)
	fd, err := openSocket(int(address.family()), o.MaxSilence)
	if err != nil {
		return nil, err
	}
	p := &pair{loop: l}
	p.way, p.relay, p.shard = p, r, &l.shard
	d := &dialed{pair: p, remote: to}
	p.dialed = d
	p.ends[backend].fd = fd
	if !l.reserve(&p.Tunnel) {
		closeSocket(fd)
		return nil, ErrClosed
	}
	// Over loopback, and now and then elsewhere, the second call finds the
	// connection that the first has begun.
	errno := address.connect(fd)
	if errno == unix.EINPROGRESS {
		errno = address.connect(fd)
	}
	wait := errno == unix.EALREADY
	if wait || errno == 0 {
		err = d.watch(wait)
	} else {
		err = os.NewSyscallError("connect", errno)
	}
	if err == nil && wait {
		err = d.connected(ctx, &address, o.Timeout)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// connected waits for the connection.
func (d *dialed) connected(ctx context.Context, address *sockaddr, timeout time.Duration) error {
	if timeout > 0 {
		d.setDeadline(&d.writer, time.Now().Add(timeout))
	}
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { d.setDeadline(&d.writer, time.Unix(1, 0)) })
		defer stop()
	}
	var errno unix.Errno
	err := d.until(&d.writer, func(fd uintptr) bool {
		errno = address.connect(int(fd))
		return errno != unix.EALREADY
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case errno != 0:
		return os.NewSyscallError("connect", errno)
	}
	d.setDeadline(&d.writer, time.Time{})
	return ctx.Err() // not if it came between
}

// openSocket makes a socket as package net makes them for a client.
func openSocket(family int, silence time.Duration) (fd int, err error) {
	n, _, errno := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return -1, os.NewSyscallError("socket", errno)
	}
	fd = int(n)
	// A socket that does not know one of them is used all the same.
	_ = setOption(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if silence > 0 {
		_ = setOption(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int32(silence.Milliseconds()))
	}
	return fd, nil
}

// setOption is setsockopt(2) for a number.
func setOption(fd, level, option int, value int32) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value), 0)
	if errno != 0 {
		return os.NewSyscallError("setsockopt", errno)
	}
	return nil
}

// sockaddr is an address as the kernel wants it.
type sockaddr struct {
	raw  [unix.SizeofSockaddrInet6]byte
	size uintptr
}

func newSockaddr(to netip.AddrPort) (s sockaddr) {
	binary.BigEndian.PutUint16(s.raw[2:], to.Port())
	family := uint16(unix.AF_INET)
	if ip := to.Addr().Unmap(); ip.Is4() {
		a := ip.As4()
		copy(s.raw[4:], a[:])
		s.size = unix.SizeofSockaddrInet4
	} else {
		a := ip.As16()
		copy(s.raw[8:], a[:])
		family, s.size = unix.AF_INET6, unix.SizeofSockaddrInet6
	}
	binary.NativeEndian.PutUint16(s.raw[:], family)
	return s
}

func (s *sockaddr) family() uint16 { return binary.NativeEndian.Uint16(s.raw[:]) }

// connect begins a connection (EINPROGRESS), or tells what became of it: 0,
// EALREADY while it is under way, or the error. The socket does not block.
func (s *sockaddr) connect(fd int) unix.Errno {
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&s.raw)), s.size)
		switch errno {
		case unix.EINTR:
		case unix.EISCONN:
			return 0
		default:
			return errno
		}
	}
}
