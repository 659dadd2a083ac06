// Package awsenv makes the AWS SDK's configuration from the environment that
// Lambda sets, without the SDK's config package: no files, no instance metadata,
// no credential chain. A function uses none of them, and they cost it 1.9 MB of
// bootstrap and milliseconds of start-up (against some 20 µs here).
//
// The main packages of the functions use it; nothing else knows about the
// environment. The names and meanings of the settings are the AWS SDKs and Tools
// Reference Guide's.
package awsenv

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

var (
	// ErrMissing is returned when a setting that is needed is absent or empty.
	// The error names it.
	ErrMissing = errors.New("awsenv: missing setting")
	// ErrMalformed is returned when a setting has a value that it cannot have.
	// The error names the setting, not the value.
	ErrMalformed = errors.New("awsenv: malformed setting")
)

// Config returns the configuration for the AWS clients of a function. It reads
// the environment through getenv (os.Getenv in production):
//
//	AWS_REGION, else AWS_DEFAULT_REGION              required
//	AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY         required
//	AWS_SESSION_TOKEN                                of temporary credentials
//	AWS_ENDPOINT_URL                                 an http or https URL, for every service
//	AWS_ENDPOINT_URL_<SERVICE>                       for one service: SQS, DYNAMODB, SECRETS_MANAGER, …
//	AWS_IGNORE_CONFIGURED_ENDPOINT_URLS              true: neither of the two counts
//	AWS_USE_FIPS_ENDPOINT, AWS_USE_DUALSTACK_ENDPOINT  true or false
//
// Credentials are read once: Lambda replaces a sandbox before they expire. Any
// other setting of the SDKs, and every file, is not read.
//
// An operation makes at most three attempts, the second after up to 50 ms, the
// third after up to 100 ms more. Each attempt, from the connection to the last
// byte of the answer, may take perTry, which must be positive; a context given to
// the operation bounds them all. The clients share one pool of HTTP/1.1
// connections, in which a connection idle for 20 s by the wall clock is dropped.
// No proxy is used and no redirect is followed.
func Config(getenv func(string) string, perTry time.Duration) (aws.Config, error) {
	if perTry <= 0 {
		return aws.Config{}, fmt.Errorf("awsenv: a try needs a positive time limit, got %v", perTry)
	}
	e := environment{getenv}
	region, err := e.region()
	if err != nil {
		return aws.Config{}, err
	}
	credentials, err := e.credentials()
	if err != nil {
		return aws.Config{}, err
	}
	endpoints, err := e.endpoints()
	if err != nil {
		return aws.Config{}, err
	}
	return aws.Config{
		Region:        region,
		Credentials:   credentials,
		BaseEndpoint:  endpoints.base,
		ConfigSources: []any{endpoints},
		HTTPClient:    client(perTry),
		Retryer:       retryer,
	}, nil
}

// environment reads settings. An empty value is an absent one, as in the SDKs.
type environment struct{ getenv func(string) string }

func (e environment) region() (string, error) {
	if region := e.getenv("AWS_REGION"); region != "" {
		return region, nil
	}
	if region := e.getenv("AWS_DEFAULT_REGION"); region != "" {
		return region, nil
	}
	return "", fmt.Errorf("%w: AWS_REGION", ErrMissing)
}

func (e environment) credentials() (aws.CredentialsProvider, error) {
	c := aws.Credentials{
		AccessKeyID:     e.getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: e.getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    e.getenv("AWS_SESSION_TOKEN"),
		Source:          "environment",
	}
	if c.AccessKeyID == "" {
		return nil, fmt.Errorf("%w: AWS_ACCESS_KEY_ID", ErrMissing)
	}
	if c.SecretAccessKey == "" {
		return nil, fmt.Errorf("%w: AWS_SECRET_ACCESS_KEY", ErrMissing)
	}
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return c, nil
	}), nil
}

// boolean returns the value of a setting that is true or false, and whether it
// is there.
func (e environment) boolean(name string) (value, found bool, err error) {
	text := e.getenv(name)
	if text == "" {
		return false, false, nil
	}
	switch {
	case strings.EqualFold(text, "true"):
		return true, true, nil
	case strings.EqualFold(text, "false"):
		return false, true, nil
	}
	return false, false, fmt.Errorf("%w: %s is neither true nor false", ErrMalformed, name)
}
