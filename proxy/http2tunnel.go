package proxy

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/dsproxy/dsproxy/proxy/http1"
)

// switchProtocols makes a tunnel of an extended CONNECT (RFC 8441): the
// backend's 101 becomes a 200, and the stream lasts as long as the tunnel.
func (d *h2Stream) switchProtocols(ex *exchange, up *http1.Conn) error {
	if !d.connect {
		up.Close()
		return errors.New("upgrade over HTTP/2 without an extended CONNECT")
	}
	for i := range ex.resp.Fields {
		if f := &ex.resp.Fields[i]; forClient(f) && !f.Is("Sec-WebSocket-Accept") {
			d.w.Header().Add(string(f.Name), string(f.Value))
		}
	}
	d.extendWrite(time.Now(), ex.st.cfg.Timeouts.Idle)
	d.w.WriteHeader(http.StatusOK)
	if err := d.ctl.Flush(); err != nil {
		up.Close()
		return err
	}
	d.ctl.SetWriteDeadline(time.Time{})
	d.ctl.SetReadDeadline(time.Time{})
	ended := make(chan struct{})
	d.finished = true
	err := d.s.p.startTunnel(ex, &streamConn{d: d}, nil, up, func() { close(ended) })
	<-ended
	return err
}

// streamConn shows a stream as the connection that a tunnel wants.
type streamConn struct {
	d    *h2Stream
	once sync.Once
}

func (c *streamConn) Read(p []byte) (int, error) { return c.d.r.Body.Read(p) }

func (c *streamConn) Write(p []byte) (int, error) {
	n, err := c.d.w.Write(p)
	if err == nil {
		err = c.d.ctl.Flush()
	}
	return n, err
}

// Close unblocks both directions; the stream itself ends with its handler.
func (c *streamConn) Close() error {
	c.once.Do(func() {
		c.d.ctl.SetReadDeadline(time.Unix(1, 0))
		c.d.ctl.SetWriteDeadline(time.Unix(1, 0))
	})
	return nil
}

func (c *streamConn) LocalAddr() net.Addr  { return c.d.cc.conn().LocalAddr() }
func (c *streamConn) RemoteAddr() net.Addr { return c.d.cc.conn().RemoteAddr() }

func (c *streamConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
func (c *streamConn) SetReadDeadline(t time.Time) error  { return c.d.ctl.SetReadDeadline(t) }
func (c *streamConn) SetWriteDeadline(t time.Time) error { return c.d.ctl.SetWriteDeadline(t) }

// handoff is the listener of a server whose connections are accepted elsewhere.
type handoff struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// give waits until the server takes the connection; false means it is closed.
func (h *handoff) give(nc net.Conn) bool {
	select {
	case h.conns <- nc:
		return true
	case <-h.closed:
		return false
	}
}

func (h *handoff) Accept() (net.Conn, error) {
	select {
	case nc := <-h.conns:
		return nc, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handoff) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handoff) Addr() net.Addr { return &net.TCPAddr{} }

// replayConn is a connection of which the first bytes have been read already.
type replayConn struct {
	net.Conn
	pending []byte // owned by the reader
}

func (c *replayConn) Read(p []byte) (int, error) {
	if len(c.pending) > 0 {
		n := copy(p, c.pending)
		c.pending = c.pending[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}
