package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// advertised returns the address that other members are told; bound is where
// this one listens.
func (c *Config) advertised(bound netip.AddrPort) (netip.AddrPort, error) {
	if c.Advertise == "" {
		if !bound.Addr().IsUnspecified() {
			return bound, nil
		}
		a, err := ownAddress()
		return netip.AddrPortFrom(a, bound.Port()), err
	}
	host, port, err := splitHostPort(c.Advertise, bound.Port())
	if err != nil {
		return netip.AddrPort{}, err
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(a, port), nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	all, err := c.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("look up the address to advertise: %w", err)
	}
	if len(all) == 0 {
		return netip.AddrPort{}, fmt.Errorf("%s has no address", host)
	}
	return netip.AddrPortFrom(all[0].Unmap(), port), nil
}

// ownAddress guesses the address by which other members reach this machine: that
// of the route out of it if it is private, else any private one, else that of
// the route. A machine that has a loopback only gets that.
func ownAddress() (netip.Addr, error) {
	out := routeOut()
	if out.IsValid() && out.IsPrivate() {
		return out, nil
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find an address of this machine: %w", err)
	}
	var loopback netip.Addr
	for _, a := range all {
		prefix, err := netip.ParsePrefix(a.String())
		switch {
		case err != nil:
		case prefix.Addr().IsPrivate():
			return prefix.Addr(), nil
		case prefix.Addr().IsLoopback() && !loopback.IsValid():
			loopback = prefix.Addr()
		}
	}
	if out.IsValid() {
		return out, nil
	}
	if loopback.IsValid() {
		return loopback, nil
	}
	return netip.Addr{}, errors.New("this machine has no address that others could use; name one")
}

// routeOut is the source address of the default route. Connecting a UDP socket
// sends nothing; the address is one that documents use (RFC 5737).
func routeOut() netip.Addr {
	conn, err := net.DialTimeout("udp", "192.0.2.1:9", time.Second)
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}
