package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/pires/go-proxyproto"
)

// maxProxyHeader bounds a PROXY protocol header with its TLVs; balancers send far less.
const maxProxyHeader = 2048

var errProxyHeaderTooLong = errors.New("PROXY protocol header longer than 2048 bytes")

// readProxyHeader replaces cc.peer by the address that a trusted balancer
// names in front of the connection (PROXY protocol v1 or v2). Not a byte
// behind the header is taken.
func (cc *clientConn) readProxyHeader(st *state) error {
	if !st.trust.contains(cc.peer) {
		return fmt.Errorf("PROXY protocol from %s, which is not in trust", cc.peer)
	}
	cc.nc.SetReadDeadline(time.Now().Add(st.cfg.Timeouts.Header))
	defer cc.nc.SetReadDeadline(time.Time{})
	// One byte a read: the reader below would otherwise swallow the request
	// that follows. It happens once a connection.
	in := bufio.NewReaderSize(&singleByte{r: cc.nc, left: maxProxyHeader}, 256)
	h, err := proxyproto.Read(in)
	if err != nil {
		return fmt.Errorf("read PROXY protocol header: %w", err)
	}
	if h.Command.IsLocal() { // the balancer's own health check
		return nil
	}
	if src, ok := h.SourceAddr.(*net.TCPAddr); ok {
		cc.peer = src.AddrPort().Addr().Unmap()
	}
	return nil
}

type singleByte struct {
	r    io.Reader
	left int
}

func (s *singleByte) Read(p []byte) (int, error) {
	if s.left--; s.left < 0 {
		return 0, errProxyHeaderTooLong
	}
	return s.r.Read(p[:1])
}
