//go:build unix

package service

import "syscall"

// fileLimit is how many files the program may have open; Go has raised it as far as
// it could.
func fileLimit() (n uint64, known bool) {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0, false
	}
	return uint64(limit.Cur), true
}
