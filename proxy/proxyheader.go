package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/pires/go-proxyproto"
)

// maxProxyHeader bounds a PROXY protocol header with its TLVs; balancers send far less.
const maxProxyHeader = 2048

// readProxyHeader replaces cc.peer by the address that a trusted balancer
// names in front of the connection (PROXY protocol v1 or v2). What has been
// read behind the header is kept as cc.pending.
func (cc *clientConn) readProxyHeader(st *state) error {
	if !st.trust.contains(cc.peer) {
		return fmt.Errorf("PROXY protocol from %s, which is not in trust", cc.peer)
	}
	cc.nc.SetReadDeadline(time.Now().Add(st.cfg.Timeouts.Header))
	defer cc.nc.SetReadDeadline(time.Time{})
	buf := make([]byte, maxProxyHeader)
	for n := 0; n < len(buf); {
		got, err := cc.nc.Read(buf[n:])
		if err != nil {
			return fmt.Errorf("read PROXY protocol header: %w", err)
		}
		n += got
		in := bufio.NewReaderSize(bytes.NewReader(buf[:n]), maxProxyHeader)
		h, err := proxyproto.Read(in)
		switch {
		case err == nil:
			cc.pending = buf[n-in.Buffered() : n]
			cc.believe(h)
			return nil
		case errors.Is(err, proxyproto.ErrNoProxyProtocol) && n >= len(proxyproto.SIGV2), n >= maxProxyHeader:
			return fmt.Errorf("read PROXY protocol header: %w", err)
		}
		// Perhaps it is not whole yet: the header's time-out bounds the wait.
	}
	return errors.New("PROXY protocol header is longer than 2048 bytes")
}

// believe takes the client's address from a header. A LOCAL one is the
// balancer's own health check.
func (cc *clientConn) believe(h *proxyproto.Header) {
	if src, ok := h.SourceAddr.(*net.TCPAddr); ok && !h.Command.IsLocal() {
		cc.peer = src.AddrPort().Addr().Unmap()
	}
}
