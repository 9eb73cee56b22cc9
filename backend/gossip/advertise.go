package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
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

// ownAddress guesses the address by which other members reach this machine.
func ownAddress() (netip.Addr, error) {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find an address of this machine: %w", err)
	}
	all := make([]netip.Addr, 0, len(found))
	for _, a := range found {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			all = append(all, prefix.Addr())
		}
	}
	// Addresses that documents use (RFC 5737, RFC 3849).
	own := chooseAddress(routeOut("192.0.2.1:9"), routeOut("[2001:db8::1]:9"), all)
	if !own.IsValid() {
		return own, errors.New("this machine has no address that others could use; name one")
	}
	return own, nil
}

// chooseAddress takes of a machine's addresses that of its IPv4 route out if it is
// private, or that of its IPv6 route where there is no other; else any private one,
// else that of the route. A machine that has a loopback only gets that.
func chooseAddress(out4, out6 netip.Addr, all []netip.Addr) (own netip.Addr) {
	if out4.IsValid() && out4.IsPrivate() {
		return out4
	}
	if !out4.IsValid() && out6.IsValid() {
		return out6
	}
	for _, of := range []func(netip.Addr) bool{
		netip.Addr.IsPrivate,
		func(a netip.Addr) bool { return a == out4 },
		netip.Addr.IsGlobalUnicast,
		netip.Addr.IsLoopback,
	} {
		if i := slices.IndexFunc(all, of); i >= 0 {
			return all[i]
		}
	}
	return out4
}

// routeOut is the source address of the route to an address. Connecting a UDP
// socket sends nothing.
func routeOut(to string) netip.Addr {
	conn, err := net.DialTimeout("udp", to, time.Second)
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}
