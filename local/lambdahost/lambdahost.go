// Package lambdahost plays AWS Lambda for compiled provided.al2023 bootstraps:
// it starts them as they are deployed, hands them events over the Lambda
// Runtime API and takes their answers, so that what runs locally is the very
// program that runs in the cloud.
//
// A sandbox is one process with its own Runtime API listener, its own clean
// environment and its own process group. It handles one invocation at a time;
// idle sandboxes are used again, the most recently used first. A function that
// runs past its timeout, or leaves the protocol, loses its sandbox, and the
// next invocation gets a fresh one.
//
// Only local/ and cmd/ may import this package. The rules are those of the
// Lambda developer guide, "Using the Lambda runtime API for custom runtimes"
// and "Understanding the Lambda execution environment lifecycle"
// (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html). It differs
// from the service in four ways: sandboxes are neither frozen between
// invocations nor retired with age, a failed init is reported at once instead
// of being tried again, /tmp is shared, and memory is stated, not limited.
package lambdahost

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"
)

// MaxPayload is the most bytes that an event or an answer may have: the 6 MB of
// a synchronous invocation, as the service counts them.
const MaxPayload = 6*1024*1024 + 100

// Defaults of [Options] and [Function].
const (
	DefaultTimeout     = 3 * time.Second
	DefaultMemoryMB    = 128
	DefaultInitTimeout = 10 * time.Second
	DefaultConcurrency = 1000
	DefaultRegion      = "us-east-1"
	DefaultAccountID   = "123456789012"
)

// stopGrace is how long a process may take to end after SIGTERM, which is what
// Lambda grants in its shutdown phase.
const stopGrace = 500 * time.Millisecond

// Function is one function of the host.
type Function struct {
	// Name is the function's name: in the environment, in its ARN, in front of
	// its log lines and in Invoke.
	Name string
	// Bootstrap is the path of the executable. Its folder is the function's
	// LAMBDA_TASK_ROOT and working directory.
	Bootstrap string
	// Env holds the function's own settings. A name that Lambda reserves is
	// refused, as Lambda refuses it.
	Env map[string]string
	// Timeout is how long one invocation may take; zero means DefaultTimeout.
	Timeout time.Duration
	// MemoryMB is what the function is told that it has; zero means
	// DefaultMemoryMB.
	MemoryMB int
	// Concurrency caps the function's running invocations; zero means that only
	// the host's cap holds.
	Concurrency int
}

// Options are the host's settings; the zero value works.
type Options struct {
	// Logs receives what functions print, one whole line a Write call, with the
	// function's name in front. Calls never overlap. Nil discards.
	Logs io.Writer
	// Concurrency caps the running invocations of all functions together; zero
	// means DefaultConcurrency.
	Concurrency int
	// InitTimeout is how long a sandbox may take from its start to its first
	// request for an invocation; zero means DefaultInitTimeout.
	InitTimeout time.Duration
	// Region and AccountID name where the functions believe to be; empty means
	// DefaultRegion and DefaultAccountID.
	Region, AccountID string
	// AccessKeyID, SecretAccessKey and SessionToken are the credentials that the
	// functions see; empty means placeholders that only an emulator accepts.
	AccessKeyID, SecretAccessKey, SessionToken string
}

// Stats counts what happened to one function since New.
type Stats struct {
	// ColdStarts is the number of processes that were started.
	ColdStarts int
	// Invocations is the number of events that reached a sandbox.
	Invocations int
	// Throttles is the number of invocations that a concurrency cap refused.
	Throttles int
	// LastInit is the time from the start of the youngest ready sandbox's
	// process to its first request for an invocation.
	LastInit time.Duration
}

// Host runs functions. It is safe for concurrent use.
type Host struct {
	options   Options
	functions map[string]*function
	logs      *lineSink
	spawner   *spawner

	// work counts invocations and processes. It only grows while mu is held and
	// closed is false, or on behalf of an invocation that it already counts.
	work sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	running int
	live    map[*sandbox]struct{}
}

// function is a Function with its state, which Host.mu guards.
type function struct {
	Function
	arn string

	idle       []*sandbox // the most recently used last
	running    int
	generation int // raised by Kill: a sandbox of an older one is never used again
	stats      Stats
}

// New makes a host of functions and starts none of them. The error wraps
// ErrConfiguration and names the function and what is wrong with it.
func New(functions []Function, options Options) (*Host, error) {
	h := &Host{
		options:   options.withDefaults(),
		functions: make(map[string]*function, len(functions)),
		live:      make(map[*sandbox]struct{}),
	}
	h.logs = &lineSink{w: h.options.Logs}
	for _, f := range functions {
		if _, dup := h.functions[f.Name]; dup {
			return nil, fmt.Errorf("%w: function %q is there twice", ErrConfiguration, f.Name)
		}
		checked, err := f.withDefaults()
		if err != nil {
			return nil, err
		}
		h.functions[f.Name] = &function{Function: checked, arn: h.options.arn(f.Name)}
	}
	h.spawner = newSpawner()
	return h, nil
}

func (o Options) withDefaults() Options {
	if o.Logs == nil {
		o.Logs = io.Discard
	}
	if o.Concurrency == 0 {
		o.Concurrency = DefaultConcurrency
	}
	if o.InitTimeout == 0 {
		o.InitTimeout = DefaultInitTimeout
	}
	if o.Region == "" {
		o.Region = DefaultRegion
	}
	if o.AccountID == "" {
		o.AccountID = DefaultAccountID
	}
	if o.AccessKeyID == "" {
		o.AccessKeyID, o.SecretAccessKey, o.SessionToken = "local", "local", "local"
	}
	return o
}

func (f Function) withDefaults() (Function, error) {
	if f.Name == "" || f.Bootstrap == "" {
		return f, fmt.Errorf("%w: function %q: it needs a name and a bootstrap", ErrConfiguration, f.Name)
	}
	if f.Timeout < 0 || f.MemoryMB < 0 || f.Concurrency < 0 {
		return f, fmt.Errorf("%w: function %q: timeout, memory and concurrency cannot be negative", ErrConfiguration, f.Name)
	}
	if err := checkSettings(f.Env); err != nil {
		return f, fmt.Errorf("%w: function %q: %w", ErrConfiguration, f.Name, err)
	}
	path, err := filepath.Abs(f.Bootstrap)
	if err != nil {
		return f, fmt.Errorf("%w: function %q: %w", ErrConfiguration, f.Name, err)
	}
	f.Bootstrap = path
	if f.Timeout == 0 {
		f.Timeout = DefaultTimeout
	}
	if f.MemoryMB == 0 {
		f.MemoryMB = DefaultMemoryMB
	}
	return f, nil
}

// Invoke hands payload, a JSON event, to the named function and returns its
// answer once the function is ready for its next event, which is when Lambda
// ends an invocation too.
//
// It fails with ErrUnknownFunction, ErrRequestTooLarge, ErrThrottled or
// ErrClosed before anything runs, with a *FunctionError when the function or
// its sandbox failed, and with the error of ctx when ctx ends first. In that
// last case the function runs on to its own end or timeout and counts as
// running until then, as a Lambda function does whose caller went away.
func (h *Host) Invoke(ctx context.Context, name string, payload []byte) ([]byte, error) {
	f, ok := h.functions[name]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrUnknownFunction, name)
	}
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("%w: %s: %d bytes, at most %d", ErrRequestTooLarge, name, len(payload), MaxPayload)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := h.admit(f); err != nil {
		return nil, err
	}
	type outcome struct {
		answer []byte
		err    error
	}
	done := make(chan outcome, 1)
	event := bytes.Clone(payload) // the caller may give up and use its bytes again
	go func() {
		defer h.work.Done()
		answer, err := h.run(f, event)
		h.leave(f)
		done <- outcome{answer, err}
	}()
	select {
	case o := <-done:
		return o.answer, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Kill ends every sandbox of the named function, those at work too, whose
// invocations then fail with ErrExited, or with ErrInit where a sandbox was
// still starting. It returns when the processes are gone. The next invocation is
// a cold start. An unknown name has no sandboxes.
func (h *Host) Kill(name string) {
	f, ok := h.functions[name]
	if !ok {
		return
	}
	h.mu.Lock()
	f.generation++
	f.idle = nil
	var ending []*sandbox
	for s := range h.live {
		if s.function == f {
			ending = append(ending, s)
		}
	}
	h.mu.Unlock()
	for _, s := range ending {
		s.kill()
	}
	for _, s := range ending {
		<-s.exited
	}
}

// Close refuses further invocations, asks every process to end with SIGTERM,
// kills those that are still there half a second later, and returns when no
// process, listener or goroutine of the host is left. Running invocations fail
// as under Kill. Further calls wait for the same end.
func (h *Host) Close() {
	h.mu.Lock()
	h.closed = true
	ending := make([]*sandbox, 0, len(h.live))
	for s := range h.live {
		ending = append(ending, s)
	}
	h.mu.Unlock()

	for _, s := range ending {
		s.terminate()
	}
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	for _, s := range ending {
		select {
		case <-s.exited:
		case <-grace.C:
			for _, late := range ending {
				late.kill()
			}
			<-s.exited
		}
	}
	h.work.Wait()
	h.spawner.close()
}

// Stats returns the named function's counts; an unknown name has none.
func (h *Host) Stats(name string) Stats {
	f, ok := h.functions[name]
	if !ok {
		return Stats{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return f.stats
}

// admit counts one more running invocation, or says why there may be none.
func (h *Host) admit(f *function) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	full := h.running >= h.options.Concurrency || (f.Concurrency > 0 && f.running >= f.Concurrency)
	if full {
		f.stats.Throttles++
		return fmt.Errorf("%w: %s", ErrThrottled, f.Name)
	}
	h.running++
	f.running++
	h.work.Add(1)
	return nil
}

func (h *Host) leave(f *function) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running--
	f.running--
}

// run finds a sandbox for one event and sees the invocation through.
func (h *Host) run(f *function, payload []byte) ([]byte, error) {
	for {
		s, err := h.sandboxFor(f)
		if err != nil {
			return nil, err
		}
		inv := newInvocation(payload)
		if !s.hand(inv) {
			continue // the process ended while it was idle
		}
		h.count(f)
		answer, err := s.await(inv)
		h.release(s)
		return answer, err
	}
}

func (h *Host) count(f *function) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f.stats.Invocations++
}

// sandboxFor returns the idle sandbox that was used last, or starts one.
func (h *Host) sandboxFor(f *function) (*sandbox, error) {
	s, generation, err := h.takeIdle(f)
	if err != nil || s != nil {
		return s, err
	}
	return h.start(f, generation)
}

// takeIdle returns the idle sandbox that was used last, or nil and the
// generation that a new one belongs to.
func (h *Host) takeIdle(f *function) (*sandbox, int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, 0, ErrClosed
	}
	last := len(f.idle) - 1
	if last < 0 {
		return nil, f.generation, nil
	}
	s := f.idle[last]
	f.idle = f.idle[:last]
	return s, f.generation, nil
}

// release makes a sandbox idle, unless it ended or must not be used again.
func (h *Host) release(s *sandbox) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, alive := h.live[s]; !alive {
		return
	}
	if h.closed || s.generation != s.function.generation || s.spent() {
		s.kill()
		return
	}
	s.function.idle = append(s.function.idle, s)
}

// adopt puts a new sandbox under the care of Kill and Close. When either was
// called since the sandbox began to start, it is killed at once.
func (h *Host) adopt(s *sandbox) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.live[s] = struct{}{}
	h.work.Add(1)
	s.function.stats.ColdStarts++
	if h.closed || s.generation != s.function.generation {
		s.kill()
	}
}

// forget drops a sandbox whose process is gone.
func (h *Host) forget(s *sandbox) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.live, s)
	for i, other := range s.function.idle {
		if other == s {
			s.function.idle = append(s.function.idle[:i], s.function.idle[i+1:]...)
			return
		}
	}
}

func (h *Host) noteInit(f *function, took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f.stats.LastInit = took
}
