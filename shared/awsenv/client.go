package awsenv

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

const (
	maxAttempts = 3
	// firstBackoff bounds the wait before the second attempt; the bound doubles.
	firstBackoff = 50 * time.Millisecond
	// idleLimit is how long an idle connection stays usable. A sandbox that was
	// frozen for longer wakes with connections that the other side has closed.
	idleLimit = 20 * time.Second
	// idlePerHost is how many idle connections are kept to one service.
	idlePerHost = 10
)

// client returns an HTTP client for the SDK, which calls Do once an attempt: the
// client's timeout is the attempt's.
//
// It is a plain client and not the SDK's BuildableClient, of which every service
// makes copies: one pool of connections serves them all.
func client(perTry time.Duration) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Client{
		Timeout: perTry,
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: perTry}).DialContext,
			TLSHandshakeTimeout: perTry,
			// Besides closing connections by a timer, which stands still while a
			// sandbox is frozen, net/http compares the wall clock before it uses one.
			IdleConnTimeout:     idleLimit,
			MaxIdleConnsPerHost: idlePerHost,
			Protocols:           protocols,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// retryer returns the SDK's standard retryer with waits that fit into a request
// of a few seconds. The SDK's own begin at up to 2 s.
func retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxAttempts
		o.Backoff = retry.BackoffDelayerFunc(backoff)
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(cutShort))
	})
}

// cutShort makes an answer whose connection ended within the body worth another
// attempt, which the standard retryer gives up on.
func cutShort(err error) aws.Ternary {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// backoff returns a wait between nothing and the bound ("full jitter"). The first
// attempt is number 1.
func backoff(attempt int, _ error) (time.Duration, error) {
	bound := firstBackoff << max(attempt-1, 0)
	return rand.N(bound + 1), nil
}
