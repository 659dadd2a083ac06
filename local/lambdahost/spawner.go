package lambdahost

import (
	"os/exec"
	"runtime"
	"sync"
)

// spawner starts processes from one OS thread that lives as long as the host.
//
// The kernel sends a child its parent-death signal when the thread that made it
// ends, not when the process ends. The Go runtime ends threads at will, and with
// them would go sandboxes in the middle of their work.
type spawner struct {
	requests chan spawnRequest
	done     chan struct{}
	once     sync.Once
}

type spawnRequest struct {
	cmd *exec.Cmd
	err chan<- error
}

func newSpawner() *spawner {
	p := &spawner{requests: make(chan spawnRequest), done: make(chan struct{})}
	go p.run()
	return p
}

func (p *spawner) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	for r := range p.requests {
		r.err <- r.cmd.Start()
	}
}

// start is cmd.Start from the long-lived thread.
func (p *spawner) start(cmd *exec.Cmd) error {
	err := make(chan error, 1)
	p.requests <- spawnRequest{cmd, err}
	return <-err
}

// close lets the thread go. No process of the host may be left, and none may be
// started any more; closing twice is fine.
func (p *spawner) close() {
	p.once.Do(func() { close(p.requests) })
	<-p.done
}
