package demo

import "syscall"

// attributes keep a child out of reach of the terminal's Ctrl-C, which is for the
// demo alone, and have it die with the demo.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
