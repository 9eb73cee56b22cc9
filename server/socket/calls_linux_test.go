package socket

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAddress: addresses read as package net writes them.
func TestAddress(t *testing.T) {
	port := binary.NativeEndian.Uint16([]byte{0, 80})
	for want, a := range map[string]unix.RawSockaddrInet6{
		"10.0.0.1:80":      {Family: unix.AF_INET, Port: port, Flowinfo: binary.NativeEndian.Uint32([]byte{10, 0, 0, 1})},
		"[2001:db8::1]:80": {Family: unix.AF_INET6, Port: port, Addr: netip.MustParseAddr("2001:db8::1").As16()},
		"127.0.0.1:80":     {Family: unix.AF_INET6, Port: port, Addr: netip.MustParseAddr("::ffff:127.0.0.1").As16()},
		"[fe80::1%lo]:80":  {Family: unix.AF_INET6, Port: port, Addr: netip.MustParseAddr("fe80::1").As16(), Scope_id: 1},
	} {
		if got := address(&a).String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
