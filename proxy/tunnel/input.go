package tunnel

import (
	"io"
	"net"
	"os"
	"syscall"
)

// input is where a pump reads. It returns a block with n bytes in it, which the
// caller frees, or an error; io.EOF at the end.
type input interface {
	read(limit int) (b *block, n int, err error)
}

// newInput picks by the very type: something that embeds a socket may have its
// own idea of Read.
func newInput(c net.Conn) input {
	var raw syscall.RawConn
	var err error
	switch c := c.(type) {
	case *net.TCPConn:
		raw, err = c.SyscallConn()
	case *net.UnixConn:
		raw, err = c.SyscallConn()
	default:
		return &connInput{conn: c, size: smallBlock}
	}
	if err != nil {
		return &connInput{conn: c, size: smallBlock} // closed: Read will say so
	}
	in := &socketInput{raw: raw}
	in.ready = in.try
	return in
}

// socketInput has no buffer while it waits.
type socketInput struct {
	raw   syscall.RawConn
	ready func(fd uintptr) bool // try, made a func once

	// of the read under way
	limit int
	b     *block
	n     int
	err   error
}

func (in *socketInput) read(limit int) (*block, int, error) {
	in.limit, in.b, in.n, in.err = limit, nil, 0, nil
	if err := in.raw.Read(in.ready); err != nil {
		return nil, 0, err
	}
	b := in.b
	in.b = nil
	if in.n > 0 {
		return b, in.n, nil
	}
	b.free()
	if in.err != nil {
		return nil, 0, os.NewSyscallError("read", in.err)
	}
	return nil, 0, io.EOF
}

// try reads once and reports whether that is an answer.
func (in *socketInput) try(fd uintptr) bool {
	b := newBlock(in.limit)
	for {
		n, err := syscall.Read(int(fd), b.b[:in.limit])
		switch err {
		case syscall.EINTR:
		case syscall.EAGAIN:
			b.free()
			return false
		default:
			in.b, in.n, in.err = b, n, err
			return true
		}
	}
}

// connInput reads anything else, such as TLS, which may hold bytes that its
// socket knows nothing of. It waits with a small buffer, and with a larger one
// only when that was filled, so that more is probably there.
type connInput struct {
	conn net.Conn
	size int
}

func (in *connInput) read(limit int) (*block, int, error) {
	b := newBlock(min(in.size, limit))
	buf := b.b[:min(in.size, limit)]
	n, err := in.conn.Read(buf)
	in.size = smallBlock
	if n == len(buf) {
		in.size = middleBlock
	}
	if n > 0 {
		return b, n, err
	}
	b.free()
	return nil, 0, err
}
