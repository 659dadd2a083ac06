//go:build unix && !linux

package lambdahost

import (
	"os"
	"syscall"
)

// processAttributes put a sandbox into a process group of its own. Only Linux
// can also have the kernel end it with the host.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// waitExit returns when the process has ended. Here it reaps the process too, so
// its exit status is unknown afterwards: this file keeps the module compiling on
// systems that cannot run a provided.al2023 bootstrap anyway.
func waitExit(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_, _ = p.Wait()
	}
}
