package proxy

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
)

// trustList holds the networks whose forwarding headers are believed.
type trustList []Network

func (t trustList) contains(a netip.Addr) bool {
	for _, n := range t {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// client finds the address of the client in an X-Forwarded-For value: from
// the right, the first one that is not itself a trusted proxy. What stands
// further left could have been written by anybody.
func (t trustList) client(peer netip.Addr, forwardedFor []byte) netip.Addr {
	if !t.contains(peer) {
		return peer
	}
	believed := peer
	for len(forwardedFor) > 0 {
		var last []byte
		if i := bytes.LastIndexByte(forwardedFor, ','); i >= 0 {
			last, forwardedFor = forwardedFor[i+1:], forwardedFor[:i]
		} else {
			last, forwardedFor = forwardedFor, nil
		}
		a, ok := parseForwardedAddr(bytes.TrimSpace(last))
		if !ok {
			return believed
		}
		believed = a
		if !t.contains(a) {
			return a
		}
	}
	return believed
}

// parseForwardedAddr accepts what balancers write: an address, or one with a port.
func parseForwardedAddr(b []byte) (netip.Addr, bool) {
	s := string(b)
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap(), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap(), true
	}
	return netip.Addr{}, false
}

func peerAddr(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	if ap, err := netip.ParseAddrPort(a.String()); err == nil {
		return ap.Addr().Unmap()
	}
	return netip.Addr{}
}
