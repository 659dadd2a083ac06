package moto

import "syscall"

// ownGroup keeps a Ctrl-C in the terminal from the child, and ends it with its parent.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
