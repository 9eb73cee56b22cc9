//go:build !linux

package socket

import "golang.org/x/sys/unix"

// Recv receives what is there; 0 bytes without an error are the end.
func Recv(fd uintptr, p []byte, _ uintptr) (int, error) { return unix.Read(int(fd), p) }

// Send sends what the socket takes.
func Send(fd uintptr, p []byte, _ bool) (int, error) { return unix.Write(int(fd), p) }

// Close closes a socket.
func Close(fd int) { _ = unix.Close(fd) }
