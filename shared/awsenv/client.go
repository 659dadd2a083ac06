package awsenv

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"wechat-parking-gateway/shared/preconnect"
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

// httpClient is the HTTP client of the SDK, which calls Do once an attempt: the
// client's timeout is the attempt's.
//
// It is not the SDK's BuildableClient, of which every service makes copies: one
// pool of connections serves them all.
type httpClient struct {
	http.Client
	dialer *preconnect.Dialer
}

func client(perTry time.Duration) *httpClient {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	dialer := &preconnect.Dialer{Timeout: perTry, MaxIdle: idleLimit, Now: time.Now}
	return &httpClient{dialer: dialer, Client: http.Client{
		Timeout: perTry,
		Transport: &http.Transport{
			DialContext:    dialer.DialContext,
			DialTLSContext: dialer.DialTLSContext,
			// Besides closing connections by a timer, which stands still while a
			// sandbox is frozen, net/http compares the wall clock before it uses one.
			IdleConnTimeout:     idleLimit,
			MaxIdleConnsPerHost: idlePerHost,
			Protocols:           protocols,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Connect opens a connection to a service, named by its SDK id (such as DynamoDB),
// for the first call to take. In the init phase it spares that call the handshake.
// Config must come from this package. Where Connect fails, the call connects by
// itself.
func Connect(ctx context.Context, config aws.Config, sdkID string) error {
	c, ok := config.HTTPClient.(*httpClient)
	if !ok {
		return errors.New("awsenv: Connect needs a configuration of this package")
	}
	for _, source := range config.ConfigSources {
		if s, ok := source.(*endpoints); ok {
			return c.dialer.Open(ctx, s.url(ctx, config.Region, sdkID))
		}
	}
	return errors.New("awsenv: Connect needs a configuration of this package")
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
