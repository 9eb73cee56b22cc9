//go:build !linux

package demo

import "syscall"

// attributes are the defaults. Children get the terminal's Ctrl-C as the demo does;
// they outlive a demo that is killed until they next write a line of their log.
func attributes() *syscall.SysProcAttr { return nil }
