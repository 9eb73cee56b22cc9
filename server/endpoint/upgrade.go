package endpoint

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"
)

// writeBuffers serves gorilla's handshake only.
var writeBuffers sync.Pool

// upgrade makes the handshake of a WebSocket; it returns nil where the client got an
// error for an answer.
func upgrade(w http.ResponseWriter, r *http.Request, origins Origins) *websocket.Conn {
	up := websocket.Upgrader{
		ReadBufferSize: readBuffer, WriteBufferPool: &writeBuffers,
		HandshakeTimeout: 10 * time.Second, CheckOrigin: origins.Allowed,
	}
	ws, err := up.Upgrade(hijacker{w}, r, nil)
	if err != nil {
		return nil
	}
	return ws
}

// hijacker has the handshake answered through a quickConn.
type hijacker struct{ http.ResponseWriter }

// Hijack implements http.Hijacker.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("take the connection from the HTTP server: %w", err)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			conn = newQuickConn(tcp, raw)
		}
	}
	return conn, rw, nil
}

// quickConn is a TCP connection that reads and writes with recv and send.
type quickConn struct {
	*net.TCPConn
	raw syscall.RawConn

	// Owned by who reads; onRead is bound once.
	onRead func(fd uintptr) bool
	buf    []byte
	n      int
	err    error
}

func newQuickConn(tcp *net.TCPConn, raw syscall.RawConn) *quickConn {
	c := &quickConn{TCPConn: tcp, raw: raw}
	c.onRead = func(fd uintptr) bool {
		c.n, c.err = recv(fd, c.buf, 0)
		return !errors.Is(c.err, unix.EAGAIN)
	}
	return c
}

func (c *quickConn) Read(p []byte) (int, error) {
	c.buf = p
	err := c.raw.Read(c.onRead)
	c.buf = nil
	switch {
	case err != nil:
		return 0, err
	case c.err != nil:
		return 0, os.NewSyscallError("recvfrom", c.err)
	case c.n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return c.n, nil
}

func (c *quickConn) Write(p []byte) (sent int, err error) {
	var failed error
	err = c.raw.Write(func(fd uintptr) bool {
		for sent < len(p) && failed == nil {
			var n int
			if n, failed = send(fd, p[sent:], false); errors.Is(failed, unix.EAGAIN) {
				failed = nil
				return false
			}
			sent += n
		}
		return true
	})
	if err == nil {
		err = os.NewSyscallError("sendto", failed)
	}
	return sent, err
}

// appendAccept adds the answer to a handshake (RFC 6455 section 4.2.2).
func appendAccept(dst []byte, key string) []byte {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = base64.StdEncoding.AppendEncode(dst, sum[:])
	return append(dst, "\r\n\r\n"...)
}
