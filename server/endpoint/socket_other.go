//go:build !linux

package endpoint

import "golang.org/x/sys/unix"

func recv(fd uintptr, p []byte, _ uintptr) (int, error) { return unix.Read(int(fd), p) }

func send(fd uintptr, p []byte, _ bool) (int, error) { return unix.Write(int(fd), p) }

func closeFD(fd int) { _ = unix.Close(fd) }
