//go:build !linux

package tunnel

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

func (r *Relay) dial(context.Context, netip.AddrPort, DialOptions) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}

// dialed is never made here.
type dialed struct{ net.Conn }

func (*dialed) start(*net.TCPConn, [2][]byte, Options, func(Stats)) (*Tunnel, error) {
	return nil, errors.ErrUnsupported
}

func (*dialed) leave() (net.Conn, error) { return nil, errors.ErrUnsupported }
