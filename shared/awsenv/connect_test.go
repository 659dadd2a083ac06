package awsenv

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// TestConnectGoesWhereTheSDKGoes: a connection to another host than the SDK's would never be used.
func TestConnectGoesWhereTheSDKGoes(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(map[string]string)
	}{
		{"a region", func(map[string]string) {}},
		{"another region", func(m map[string]string) { m["AWS_REGION"] = "us-east-1" }},
		{"China", func(m map[string]string) { m["AWS_REGION"] = "cn-north-1" }},
		{"an endpoint for all", func(m map[string]string) { m["AWS_ENDPOINT_URL"] = "http://localhost:5000" }},
		{"an endpoint of its own", func(m map[string]string) {
			m["AWS_ENDPOINT_URL"] = "http://localhost:5000"
			m["AWS_ENDPOINT_URL_SQS"] = "http://localhost:5001"
			m["AWS_ENDPOINT_URL_DYNAMODB"] = "http://localhost:5002"
			m["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = "http://localhost:5003"
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			env := lambda()
			tc.edit(env)
			cfg, err := Config(getenv(env), time.Second)
			if err != nil {
				t.Fatal(err)
			}
			source := cfg.ConfigSources[0].(*endpoints)
			for _, service := range []string{"Secrets Manager", "SQS", "DynamoDB"} {
				u, err := url.Parse(source.url(t.Context(), cfg.Region, service))
				if err != nil {
					t.Fatal(err)
				}
				if want := calledHost(t, cfg, service); u.Host != want {
					t.Errorf("%s: got %s, want the SDK's %s", service, u.Host, want)
				}
			}
		})
	}
}

// calledHost returns the host that a service package calls.
func calledHost(t *testing.T, cfg aws.Config, sdkID string) string {
	t.Helper()
	var host string
	cfg.HTTPClient = doFunc(func(r *http.Request) (*http.Response, error) {
		host = r.URL.Host
		return nil, context.Canceled
	})
	ctx := t.Context()
	switch sdkID {
	case "DynamoDB":
		_, _ = dynamodb.NewFromConfig(cfg).ListTables(ctx, nil)
	case "SQS":
		_, _ = sqs.NewFromConfig(cfg).ListQueues(ctx, nil)
	default:
		_, _ = secretsmanager.NewFromConfig(cfg).ListSecrets(ctx, nil)
	}
	return host
}

type doFunc func(*http.Request) (*http.Response, error)

func (f doFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// TestConnectSparesTheFirstCallAHandshake: the first call uses the connection that was opened.
func TestConnectSparesTheFirstCallAHandshake(t *testing.T) {
	var made atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = w.Write([]byte(`{}`))
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			made.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	env := lambda()
	env["AWS_ENDPOINT_URL"] = server.URL
	cfg, err := Config(getenv(env), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := Connect(t.Context(), cfg, "SQS"); err != nil {
		t.Fatal(err)
	}
	if _, err := sqs.NewFromConfig(cfg).ListQueues(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := made.Load(); got != 1 {
		t.Errorf("got %d connections, want the opened one alone", got)
	}
}

func TestConnectRefuses(t *testing.T) {
	if err := Connect(t.Context(), aws.Config{}, "SQS"); err == nil {
		t.Error("a configuration of another package was taken")
	}
	env := lambda()
	env["AWS_USE_FIPS_ENDPOINT"] = "true"
	cfg, err := Config(getenv(env), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := Connect(t.Context(), cfg, "SQS"); err == nil {
		t.Error("the address of a FIPS endpoint was guessed")
	}
}
