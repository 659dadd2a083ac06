package lambdahost

import (
	"syscall"
	"unsafe"
)

// processAttributes put a sandbox into a process group of its own, so that what
// it starts ends with it, and have the kernel kill it when the host dies,
// however the host dies.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// Arguments of waitid(2), from linux/wait.h.
const (
	waitPID    = 1
	waitExited = 0x00000004
	waitNoWait = 0x01000000
	// siginfoSize is the size of siginfo_t on every Linux architecture.
	siginfoSize = 128
)

// waitExit returns when the process has ended, and leaves it a zombie: until it
// is reaped neither its number nor its group's can be given to another process,
// so a signal to the group cannot hit a stranger.
func waitExit(pid int) {
	var info [siginfoSize / 8]uint64
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, waitPID, uintptr(pid),
			uintptr(unsafe.Pointer(&info)), waitExited|waitNoWait, 0, 0)
		if errno != syscall.EINTR {
			return
		}
	}
}
