package lambdahost

import (
	"errors"
	"fmt"
)

// What Invoke and New fail with before a function runs.
var (
	// ErrConfiguration says that a function cannot be hosted as described.
	ErrConfiguration = errors.New("lambdahost: bad configuration")
	// ErrUnknownFunction says that the host has no function of that name.
	ErrUnknownFunction = errors.New("lambdahost: no such function")
	// ErrRequestTooLarge says that the event has more than MaxPayload bytes.
	ErrRequestTooLarge = errors.New("lambdahost: event is too large")
	// ErrThrottled says that a concurrency cap is reached; Lambda's own name for
	// it is TooManyRequestsException.
	ErrThrottled = errors.New("lambdahost: too many concurrent invocations")
	// ErrClosed says that the host was closed.
	ErrClosed = errors.New("lambdahost: host is closed")
)

// Reasons of a FunctionError.
var (
	// ErrReported says that the function itself answered an error; a panic that
	// the runtime caught is one too.
	ErrReported = errors.New("the function answered an error")
	// ErrInit says that a sandbox never asked for its first event: it could not
	// be started, ended, reported a failed init or took too long.
	ErrInit = errors.New("the sandbox failed to start")
	// ErrExited says that the process ended before it answered.
	ErrExited = errors.New("the process ended before it answered")
	// ErrTimedOut says that the function ran past its timeout and was killed.
	ErrTimedOut = errors.New("the function timed out")
	// ErrResponseTooLarge says that the answer has more than MaxPayload bytes.
	ErrResponseTooLarge = errors.New("the answer is too large")
)

// FunctionError is the failure of one invocation, told as Lambda tells it.
type FunctionError struct {
	// Function is the function's name.
	Function string
	// RequestID is the invocation's id; empty when the sandbox never started.
	RequestID string
	// Reason is one of ErrReported, ErrInit, ErrExited, ErrTimedOut and
	// ErrResponseTooLarge; errors.Is finds it.
	Reason error
	// Type is Lambda's errorType, such as "Sandbox.Timedout",
	// "Runtime.ExitError" or the name of the function's own error type.
	Type string
	// Message is Lambda's errorMessage. It may quote the event, which is why
	// Error leaves it out.
	Message string
	// Payload is what the function posted, when Reason is ErrReported.
	Payload []byte
}

// Error names the function, the reason and the error's type.
func (e *FunctionError) Error() string {
	return fmt.Sprintf("lambdahost: %s: %v (%s)", e.Function, e.Reason, e.Type)
}

// Unwrap returns the reason.
func (e *FunctionError) Unwrap() error { return e.Reason }
