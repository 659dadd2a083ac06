// Package sandbox is what every function does at its start: read its settings, make its logger, its meter and its AWS
// configuration, and fetch its secrets and connect to what it calls while Lambda's init phase runs, when the processor is
// at its fastest.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"

	"wechat-parking-gateway/shared/awsenv"
	"wechat-parking-gateway/shared/secrets"
	"wechat-parking-gateway/shared/settings"
	"wechat-parking-gateway/shared/telemetry"
)

const (
	// awsTry bounds one try of a call to an AWS service.
	awsTry = 800 * time.Millisecond
	// initBudget bounds the fetch of secrets in the init phase, which Lambda gives 10 s.
	initBudget = 2 * time.Second
)

// shortLife names the setting that makes secrets be fetched more often than every 5 minutes. It is for the run that rotates
// every key, which waits for the end of a secret's life after each step; the template never sets it.
const shortLife = "SECRETS_LIFE_FOR_TESTS"

// Box is a function's surroundings.
type Box struct {
	Settings *settings.Reader
	Logger   *slog.Logger
	Meter    *telemetry.Meter
	getenv   func(string) string
	life     time.Duration // of fetched secrets, 0 for the ordinary one
}

// Open returns the surroundings that getenv describes, which is os.Getenv in a function.
func Open(getenv func(string) string) *Box {
	reader := settings.From(getenv)
	return &Box{
		Settings: reader,
		life:     reader.Duration(shortLife, secrets.MaxLife),
		Logger:   telemetry.NewLogger(lambdacontext.NewLogHandler()),
		Meter:    telemetry.NewMeter(os.Stdout, time.Now, getenv("AWS_LAMBDA_FUNCTION_NAME")),
		getenv:   getenv,
	}
}

// Ready returns the AWS configuration. A setting that is missing or malformed ends the process here, with one line for
// each mistake: it is the only failure that does, since nothing but a new deployment mends it.
func (b *Box) Ready() aws.Config {
	config, err := awsenv.Config(b.getenv, awsTry)
	if err := errors.Join(b.Settings.Err(), err); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return config
}

// Fetch returns a function that fills c.
func Fetch[T any](c *secrets.Cache[T]) func(context.Context) {
	return func(ctx context.Context) {
		// A failure is logged by the cache, and the first request tries again: init never fails.
		_, _ = c.Get(ctx)
	}
}

// Reports makes a cache of secrets log and count its failed fetches.
func (b *Box) Reports() []secrets.Option {
	options := []secrets.Option{secrets.WithLogger(b.Logger), secrets.WithObserver(b.secretFailed)}
	if b.life > 0 {
		options = append(options, secrets.WithLife(b.life))
	}
	return options
}

func (b *Box) secretFailed(err error, stale bool) {
	if errors.Is(err, secrets.ErrMalformed) {
		b.Meter.Count(telemetry.SecretMalformed)
	} else {
		b.Meter.Count(telemetry.SecretUnavailable)
	}
	if stale {
		b.Meter.Count(telemetry.SecretServedStale)
	}
}

// Connect returns a function for Warm that opens a connection to an AWS service, named by its SDK id, so that the first
// request does not wait for the handshake. A failure costs nothing else: the request connects by itself.
func Connect(config aws.Config, sdkID string) func(context.Context) {
	return func(ctx context.Context) { _ = awsenv.Connect(ctx, config, sdkID) }
}

// To returns a function for Warm that opens a connection to the host of a URL, with the same effect as Connect's.
func To(transport interface {
	Connect(ctx context.Context, baseURL string) error
}, baseURL string) func(context.Context) {
	return func(ctx context.Context) { _ = transport.Connect(ctx, baseURL) }
}

// Warm runs what can be done ahead of the first request side by side, for at most 2 s, and ends the init phase: what is
// left is to start serving.
func (b *Box) Warm(ahead ...func(context.Context)) {
	defer b.Meter.Ready()
	ctx, cancel := context.WithTimeout(context.Background(), initBudget)
	defer cancel()
	var wg sync.WaitGroup
	for _, do := range ahead {
		wg.Go(func() { do(ctx) })
	}
	wg.Wait()
}
