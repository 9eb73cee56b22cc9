//go:build !linux

package endpoint

import "net"

// NewDoor returns the listener: net/http sees to all connections.
func NewDoor(l *net.TCPListener, _ DoorConfig) (net.Listener, error) { return l, nil }

type guest struct{}
