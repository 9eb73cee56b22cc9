package endpoint

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/sys/unix"

	"github.com/dsproxy/dsproxy/server/socket"
)

// guest is a connection that has not said yet what it wants.
type guest struct {
	door    *Door
	remote  netip.AddrPort
	timeout *time.Timer
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
	n, err := socket.Recv(uintptr(c.fd), buf[:maxHead], unix.MSG_PEEK)
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
	if r.Method != http.MethodGet || r.ProtoMajor != 1 || r.ProtoMinor != 1 || r.Host == "" || !httpguts.ValidHostHeader(r.Host) || r.ContentLength != 0 ||
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
	if n, err := socket.Recv(uintptr(c.fd), head, 0); err != nil || n != len(head) {
		return false
	}
	answer := appendAccept(make([]byte, 0, 256), r.Header.Get("Sec-Websocket-Key"))
	if n, err := socket.Send(uintptr(c.fd), answer, false); err != nil || n != len(answer) {
		return false
	}
	g.leave()
	c.guest = nil
	c.closing.Store(false)
	e.begin(c, handshake(r))
	return true
}
