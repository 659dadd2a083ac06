package lambdahost

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// outputGrace is how long the host waits for the end of a dead process's output,
// which something that it started outside its process group may hold open.
const outputGrace = time.Second

// maxRuntimeHeader is enough for the error cause that runtimes send as a header,
// up to 1 MB, beside the others.
const maxRuntimeHeader = 2 << 20

// sandbox is one process of a function and the Runtime API that it talks to.
type sandbox struct {
	function   *function
	generation int
	sink       *lineSink

	cmd            *exec.Cmd
	stdout, stderr *lineWriter
	server         *http.Server
	serving        sync.WaitGroup // the listener and its connections

	work       chan *invocation // to the runtime's waiting request for an event
	ready      chan struct{}    // closed by the first such request
	initFailed chan struct{}    // closed when the runtime reports a failed init
	exited     chan struct{}    // closed when process, listener and connections are gone

	mu          sync.Mutex // guards what the Runtime API changes
	asked       bool
	initFailure *FunctionError
	current     *invocation
	broken      bool // the runtime left the protocol

	life  sync.Mutex // guards signals against a process number that is free again
	ended bool
}

// invocation is one event on its way through a sandbox. After newInvocation only
// hand writes its deadline; sandbox.mu guards the answer.
type invocation struct {
	id, trace string
	payload   []byte
	deadline  time.Time
	finished  chan struct{} // closed when the function asks for its next event

	answered bool
	answer   []byte
	failure  *FunctionError
}

func newInvocation(payload []byte) *invocation {
	return &invocation{id: newRequestID(), trace: newTraceID(), payload: payload, finished: make(chan struct{})}
}

// newRequestID returns a random UUID, version 4.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// newTraceID returns an X-Ray tracing header for a request that is not sampled.
func newTraceID() string {
	var b [20]byte
	_, _ = rand.Read(b[:]) // it never fails
	return fmt.Sprintf("Root=1-%08x-%x;Parent=%x;Sampled=0", uint32(time.Now().Unix()), b[:12], b[12:])
}

func newLogStream() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return time.Now().UTC().Format("2006/01/02/") + "[" + functionVersion + "]" + hex.EncodeToString(b[:])
}

// start makes a sandbox and returns it when its runtime asks for an event. The
// error is a *FunctionError with the reason ErrInit, and then nothing is left.
func (h *Host) start(f *function, generation int) (*sandbox, error) {
	s := &sandbox{
		function:   f,
		generation: generation,
		sink:       h.logs,
		stdout:     &lineWriter{sink: h.logs, function: f.Name},
		stderr:     &lineWriter{sink: h.logs, function: f.Name},
		work:       make(chan *invocation),
		ready:      make(chan struct{}),
		initFailed: make(chan struct{}),
		exited:     make(chan struct{}),
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, s.initError("Runtime.NoListener", err.Error())
	}
	s.server = &http.Server{
		Handler:        s.runtimeAPI(),
		MaxHeaderBytes: maxRuntimeHeader,
		ConnState:      s.trackConnection,
		ErrorLog:       log.New(io.Discard, "", 0), // a killed process cuts its connections
	}
	s.serving.Add(1)
	go func() {
		defer s.serving.Done()
		_ = s.server.Serve(listener) // it ends with ErrServerClosed
	}()

	s.cmd = exec.Command(f.Bootstrap)
	s.cmd.Dir = filepath.Dir(f.Bootstrap)
	s.cmd.Env = h.options.environment(f.Function, listener.Addr().String(), newLogStream())
	s.cmd.Stdout, s.cmd.Stderr = s.stdout, s.stderr
	s.cmd.SysProcAttr = processAttributes()
	s.cmd.WaitDelay = outputGrace

	began := time.Now()
	if err := h.spawner.start(s.cmd); err != nil {
		s.closeServer()
		return nil, s.initError("Runtime.InvalidEntrypoint", err.Error())
	}
	h.adopt(s)
	go func() {
		defer h.work.Done()
		s.reap(func() { h.forget(s) })
	}()

	deadline := time.NewTimer(h.options.InitTimeout)
	defer deadline.Stop()
	select {
	case <-s.ready:
		h.noteInit(f, time.Since(began))
		return s, nil
	case <-s.initFailed:
		s.end()
		return nil, s.initFailure
	case <-s.exited:
		return nil, s.initError("Runtime.ExitError", "Runtime exited with error: "+s.exitStatus())
	case <-deadline.C:
		s.end()
		return nil, s.initError("Sandbox.Timedout", fmt.Sprintf("init timed out after %.2f seconds", h.options.InitTimeout.Seconds()))
	}
}

// reap sees the process to its end, with everything that it started in its
// group, and takes down its Runtime API. It calls forget before it says so.
func (s *sandbox) reap(forget func()) {
	waitExit(s.cmd.Process.Pid)
	s.life.Lock()
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	s.ended = true
	s.life.Unlock()
	_ = s.cmd.Wait() // the status stays in ProcessState
	s.stdout.flush(false)
	s.stderr.flush(false)
	s.closeServer()
	forget()
	close(s.exited)
}

func (s *sandbox) closeServer() {
	_ = s.server.Close()
	s.serving.Wait()
}

// trackConnection counts connections with their handlers. A connection is new
// while the listener, which is counted itself, still accepts.
func (s *sandbox) trackConnection(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.serving.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.serving.Done()
	}
}

// kill ends the process group at once; terminate asks it to end.
func (s *sandbox) kill()      { s.signal(syscall.SIGKILL) }
func (s *sandbox) terminate() { s.signal(syscall.SIGTERM) }

func (s *sandbox) signal(sig syscall.Signal) {
	s.life.Lock()
	defer s.life.Unlock()
	if !s.ended {
		_ = syscall.Kill(-s.cmd.Process.Pid, sig)
	}
}

// end kills the process group and waits until it is gone.
func (s *sandbox) end() {
	s.kill()
	<-s.exited
}

// exitStatus tells how the process ended. It is known once exited is closed.
func (s *sandbox) exitStatus() string {
	if s.cmd.ProcessState == nil {
		return "unknown status"
	}
	return s.cmd.ProcessState.String()
}

// spent reports whether the sandbox must not get another event.
func (s *sandbox) spent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// hand gives the event to the runtime and starts its time; it reports false when
// the process ended before it could take the event.
func (s *sandbox) hand(inv *invocation) bool {
	inv.deadline = time.Now().Add(s.function.Timeout)
	select {
	case s.work <- inv:
		return true
	case <-s.exited:
		return false
	}
}

// await returns the function's answer once it asked for its next event or ended.
func (s *sandbox) await(inv *invocation) ([]byte, error) {
	timeout := time.NewTimer(time.Until(inv.deadline))
	defer timeout.Stop()
	select {
	case <-inv.finished:
	case <-s.exited:
	case <-timeout.C:
		s.end()
		message := fmt.Sprintf("%s %s Task timed out after %.2f seconds",
			inv.deadline.UTC().Format("2006-01-02T15:04:05.000Z"), inv.id, s.function.Timeout.Seconds())
		s.sink.print(s.function.Name, []byte(message))
		return nil, s.fail(inv, ErrTimedOut, "Sandbox.Timedout", message)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !inv.answered {
		message := fmt.Sprintf("RequestId: %s Error: Runtime exited with error: %s", inv.id, s.exitStatus())
		s.sink.print(s.function.Name, []byte(message))
		return nil, s.fail(inv, ErrExited, "Runtime.ExitError", message)
	}
	if inv.failure != nil {
		return nil, inv.failure
	}
	return inv.answer, nil
}

func (s *sandbox) fail(inv *invocation, reason error, kind, message string) *FunctionError {
	return &FunctionError{Function: s.function.Name, RequestID: inv.id, Reason: reason, Type: kind, Message: message}
}

func (s *sandbox) initError(kind, message string) *FunctionError {
	return &FunctionError{Function: s.function.Name, Reason: ErrInit, Type: kind, Message: message}
}
