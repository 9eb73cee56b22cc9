package endpoint

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"
)

// Door accepts the connections of clients. Those that ask for a WebSocket in a plain
// way are the Loops' from the beginning. It only looks at what the others say, without
// taking it from the socket, and is the net.Listener that gives them to net/http: what
// is unusual, faulty or slow, is answered there and nowhere else.
type Door struct {
	addr   net.Addr
	file   *os.File // the listening socket, in the runtime's poller
	raw    syscall.RawConn
	config DoorConfig

	begin  sync.Once
	others chan net.Conn
	closed chan struct{}
	err    error // set before closed is: why nobody is let in any more
}

// NewDoor makes a Door in place of a listener. It lets clients in from the first
// Accept on.
func NewDoor(l *net.TCPListener, c DoorConfig) (net.Listener, error) {
	defer l.Close()
	file, err := l.File() // has the means to wait, which the listener does not hand out
	if err != nil {
		return nil, fmt.Errorf("socket of the listener: %w", err)
	}
	d := &Door{addr: l.Addr(), file: file, config: c, others: make(chan net.Conn, 64), closed: make(chan struct{})}
	if d.raw, err = file.SyscallConn(); err == nil {
		err = inherit(d.raw)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("socket of the listener: %w", err), file.Close())
	}
	return d, nil
}

// inherit sets the options of a listener that its connections begin with: those that
// package net gives each of them.
func inherit(listener syscall.RawConn) (err error) {
	controlErr := listener.Control(func(fd uintptr) { err = setOptions(int(fd)) })
	return errors.Join(controlErr, err)
}

func setOptions(fd int) error {
	for _, o := range []struct{ level, option, value int }{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.option, o.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

// Accept implements net.Listener, for net/http.
func (d *Door) Accept() (net.Conn, error) {
	d.begin.Do(func() { go d.run() })
	select {
	case c := <-d.others:
		return c, nil
	case <-d.closed:
		return nil, d.err
	}
}

// Addr implements net.Listener.
func (d *Door) Addr() net.Addr { return d.addr }

// Close implements net.Listener. Nobody is let in any more; who has not said yet what
// it wants may go on until the Loops end.
func (d *Door) Close() error { return d.file.Close() }

// run lets clients in.
func (d *Door) run() {
	pause := time.Duration(0)
	for {
		fd, remote, err := d.accept()
		switch {
		case err == nil:
			pause = 0
			d.enter(fd, remote)
		case isTemporary(err):
			if pause == 0 {
				d.config.Log.Warn("clients have to wait outside", "err", err)
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			time.Sleep(pause)
		default:
			d.err = err
			close(d.closed)
			d.refuse()
			return
		}
	}
}

// isTemporary says that accept(2) may succeed later: there are no descriptors left, as
// a rule.
func isTemporary(err error) bool {
	var errno unix.Errno
	return errors.As(err, &errno) && errno != unix.EBADF && errno != unix.EINVAL
}

// refuse hangs up on those whom net/http will not accept any more.
func (d *Door) refuse() {
	for {
		select {
		case c := <-d.others:
			_ = c.Close()
		default:
			return
		}
	}
}

// accept waits for the next connection.
func (d *Door) accept() (fd int, remote netip.AddrPort, err error) {
	wait := d.raw.Read(func(listener uintptr) bool {
		for {
			fd, remote, err = accept(listener)
			if err != unix.ECONNABORTED {
				return err != unix.EAGAIN
			}
		}
	})
	if wait != nil {
		return 0, remote, net.ErrClosed
	}
	return fd, remote, os.NewSyscallError("accept4", err)
}

// guest is a connection that has not said yet what it wants.
type guest struct {
	door    *Door
	remote  netip.AddrPort
	timeout *time.Timer
}

// enter has a loop wait for what a connection says.
func (d *Door) enter(fd int, remote netip.AddrPort) {
	if !d.config.Enter() {
		closeFD(fd)
		d.config.Leave()
		return
	}
	g := &guest{door: d, remote: remote}
	c := &wsConn{loops: d.config.Loops, fd: fd, guest: g, end: g.leave}
	c.closing.Store(true)
	g.timeout = time.AfterFunc(d.config.HeaderTimeout, c.cut)
	if l := d.config.Loops.pick(); l != nil && l.add(c, fd) == nil {
		return
	}
	g.pass(c)
	c.finish()
}

// leave ends what the Door has to do with a connection.
func (g *guest) leave() {
	g.timeout.Stop()
	g.door.config.Leave()
}

// maxHead is how long a request may be that is not net/http's, in bytes.
const maxHead = 4 << 10

// look looks at what has come. It reports false when the connection is over, or is
// somebody else's.
func (g *guest) look(c *wsConn, buf []byte) bool {
	n, err := recv(uintptr(c.fd), buf[:maxHead], unix.MSG_PEEK)
	if err == unix.EAGAIN {
		return true
	}
	if err != nil || n == 0 {
		return false
	}
	end := bytes.Index(buf[:n], []byte("\r\n\r\n")) + 4
	if end < 4 && n < maxHead && !c.ending() {
		return true
	}
	if end == n {
		if e, r := g.door.find(buf[:n], g.remote); e != nil {
			return g.upgrade(c, e, r, buf[:n])
		}
	}
	if c.reading.loop.forget(c.fd) == nil {
		g.pass(c)
	}
	return false
}

// pass gives net/http a descriptor of its own of a connection, whose own is to be
// closed then.
func (g *guest) pass(c *wsConn) {
	c.write.Lock()
	file, err := c.dup()
	c.write.Unlock()
	if err != nil {
		return
	}
	conn, err := net.FileConn(file)
	_ = file.Close() // conn has its own
	if err != nil {
		return
	}
	g.leave() // it counts as net/http's from now on
	c.end = func() {}
	d := g.door
	select {
	case d.others <- conn:
	case <-d.closed:
		_ = conn.Close()
		return
	}
	select {
	case <-d.closed:
		d.refuse() // it may have come too late for run
	default:
	}
}

var heads = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, maxHead) }}

// find returns the endpoint of a request, nil where net/http should see to it.
func (d *Door) find(head []byte, remote netip.AddrPort) (*WebSocket, *http.Request) {
	for _, b := range head {
		if (b < ' ' && b != '\r' && b != '\n') || b > '~' {
			return nil, nil
		}
	}
	br := heads.Get().(*bufio.Reader)
	defer heads.Put(br)
	br.Reset(bytes.NewReader(head))
	r, err := http.ReadRequest(br)
	if err != nil || !isPlainUpgrade(r) {
		return nil, nil
	}
	r.RemoteAddr = remote.String()
	e := d.config.Find(r)
	if e == nil || e.throttled() || e.Sessions.Full() || !e.Origins.Allowed(r) {
		return nil, nil
	}
	return e, r
}

// isPlainUpgrade says that a request is the handshake of a WebSocket and nothing else
// (RFC 6455 section 4.2.1).
func isPlainUpgrade(r *http.Request) bool {
	if r.Method != http.MethodGet || r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.Host == "" || r.ContentLength != 0 ||
		len(r.TransferEncoding) > 0 || r.Header.Get("Expect") != "" || !websocket.IsWebSocketUpgrade(r) {
		return false
	}
	version, key := r.Header["Sec-Websocket-Version"], r.Header["Sec-Websocket-Key"]
	if len(version) != 1 || version[0] != "13" || len(key) != 1 {
		return false
	}
	nonce, err := base64.StdEncoding.DecodeString(key[0])
	return err == nil && len(nonce) == 16
}

// upgrade answers a handshake, and the connection is a client's from then on.
func (g *guest) upgrade(c *wsConn, e *WebSocket, r *http.Request, head []byte) bool {
	if n, err := recv(uintptr(c.fd), head, 0); err != nil || n != len(head) {
		return false
	}
	answer := appendAccept(make([]byte, 0, 256), r.Header.Get("Sec-Websocket-Key"))
	if n, err := send(uintptr(c.fd), answer, false); err != nil || n != len(answer) {
		return false
	}
	g.leave()
	c.guest = nil
	c.closing.Store(false)
	e.begin(c, handshake(r))
	return true
}
