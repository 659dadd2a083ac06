package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// Reason is the stable name of one way to get no answer. It is an error, so that
// errors.Is finds it.
type Reason string

// The reasons. Only append: they stand in the attributes of parked events.
const (
	// ErrBadURL: it is not an absolute URL of the form that Post takes.
	ErrBadURL Reason = "bad_url"
	// ErrNotHTTPS: its scheme is another one.
	ErrNotHTTPS Reason = "not_https"
	// ErrBadPort: its port is another one than 443.
	ErrBadPort Reason = "bad_port"
	// ErrForbiddenAddress: the host's address is not globally reachable.
	ErrForbiddenAddress Reason = "forbidden_address"
	// ErrNoSuchHost: the name has no address.
	ErrNoSuchHost Reason = "no_such_host"
	// ErrResolveFailed: the name could not be resolved.
	ErrResolveFailed Reason = "resolve_failed"
	// ErrConnectFailed: no connection came about.
	ErrConnectFailed Reason = "connect_failed"
	// ErrTLSFailed: the TLS handshake failed; the detail says what about it.
	ErrTLSFailed Reason = "tls_failed"
	// ErrTimeout: there was no complete head of an answer in time.
	ErrTimeout Reason = "timeout"
	// ErrConnectionLost: the connection ended before a complete head of an answer.
	ErrConnectionLost Reason = "connection_lost"
	// ErrHeaderTooLarge: the head of the answer is larger than MaxResponseHeader.
	ErrHeaderTooLarge Reason = "header_too_large"
	// ErrBadResponse: the answer is not HTTP.
	ErrBadResponse Reason = "bad_response"
	// ErrCanceled: the caller's context ended first, which is no fault of the
	// vendor's. The error is the context's too.
	ErrCanceled Reason = "canceled"
)

// Reasons returns every reason, in the order of a request's steps.
func Reasons() []Reason {
	return []Reason{
		ErrBadURL, ErrNotHTTPS, ErrBadPort, ErrForbiddenAddress, ErrNoSuchHost, ErrResolveFailed, ErrConnectFailed,
		ErrTLSFailed, ErrTimeout, ErrConnectionLost, ErrHeaderTooLarge, ErrBadResponse, ErrCanceled,
	}
}

// Error returns the reason's name.
func (r Reason) Error() string { return string(r) }

// Error says why there is no answer. It holds no URL, name, address or byte of an
// answer, so it may be logged beside the vendor's id.
type Error struct {
	Reason Reason
	// Detail is a plain phrase out of a fixed set.
	Detail string
	// cause is the caller's context's error, with ErrCanceled.
	cause error
}

// Error returns the reason and the detail.
func (e *Error) Error() string { return "egress: " + string(e.Reason) + ": " + e.Detail }

// Unwrap returns the reason, and for ErrCanceled the context's error.
func (e *Error) Unwrap() []error {
	if e.cause != nil {
		return []error{e.Reason, e.cause}
	}
	return []error{e.Reason}
}

func failure(reason Reason, detail string) *Error { return &Error{Reason: reason, Detail: detail} }

// over tells that ctx has ended. A socket notices its deadline before the context
// does, so the clock counts too.
func over(ctx context.Context) bool {
	deadline, limited := ctx.Deadline()
	return ctx.Err() != nil || limited && !time.Now().Before(deadline)
}

// classify gives the reason of a failure: caller is the context that Post was
// called with, within the one that ends with Post's own timeout too. The text of
// err, which holds names and addresses, ends here.
func classify(caller, within context.Context, err error) *Error {
	var known *Error
	if errors.As(err, &known) && known.Reason == ErrForbiddenAddress {
		return known
	}
	if over(caller) {
		cause := caller.Err()
		if cause == nil {
			cause = context.DeadlineExceeded
		}
		return &Error{Reason: ErrCanceled, Detail: "the caller's context ended first", cause: cause}
	}
	var timeout net.Error
	if over(within) || errors.As(err, &timeout) && timeout.Timeout() {
		return failure(ErrTimeout, "there was no complete answer in time")
	}
	if known != nil {
		return known
	}
	var lookup *net.DNSError
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return failure(ErrNoSuchHost, "the host's name has no address")
	case errors.As(err, &lookup):
		return failure(ErrResolveFailed, "the host's name could not be resolved")
	case errors.Is(err, syscall.ECONNREFUSED):
		return failure(ErrConnectFailed, "the connection was refused")
	}
	return failure(ErrConnectFailed, "no connection could be made")
}

// handshakeFailure tells the mistakes of a vendor's certificate apart.
func handshakeFailure(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var (
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &name):
		return failure(ErrTLSFailed, "the certificate is for another name")
	case errors.As(err, &unknown):
		return failure(ErrTLSFailed, "the certificate is of no known authority, or the chain is incomplete")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return failure(ErrTLSFailed, "the certificate has expired or is not valid yet")
	case errors.As(err, &invalid):
		return failure(ErrTLSFailed, "the certificate is not valid")
	case errors.As(err, &record):
		return failure(ErrTLSFailed, "the host does not speak TLS")
	}
	return failure(ErrTLSFailed, "the handshake failed")
}
