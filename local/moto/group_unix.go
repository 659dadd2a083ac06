//go:build unix && !linux

package moto

import "syscall"

// ownGroup keeps a Ctrl-C in the terminal from the child.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
