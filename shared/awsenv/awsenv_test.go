package awsenv

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"
)

// lambda is the environment as Lambda sets it. Tests change it in one place.
func lambda() map[string]string {
	return map[string]string{
		"AWS_REGION":            "ap-east-1",
		"AWS_DEFAULT_REGION":    "ap-east-1",
		"AWS_ACCESS_KEY_ID":     "ASIAEXAMPLE",
		"AWS_SECRET_ACCESS_KEY": "secret-example",
		"AWS_SESSION_TOKEN":     "session-example",
	}
}

func getenv(m map[string]string) func(string) string {
	return func(name string) string { return m[name] }
}

func TestConfig(t *testing.T) {
	tests := []struct {
		name   string
		edit   func(map[string]string)
		region string
		base   *string
		want   aws.Credentials
	}{
		{
			name:   "as Lambda sets it",
			edit:   func(map[string]string) {},
			region: "ap-east-1",
			want:   aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret-example", SessionToken: "session-example", Source: "environment"},
		},
		{
			name:   "region before default region",
			edit:   func(m map[string]string) { m["AWS_REGION"] = "cn-north-1" },
			region: "cn-north-1",
			want:   aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret-example", SessionToken: "session-example", Source: "environment"},
		},
		{
			name:   "default region alone",
			edit:   func(m map[string]string) { delete(m, "AWS_REGION") },
			region: "ap-east-1",
			want:   aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret-example", SessionToken: "session-example", Source: "environment"},
		},
		{
			name:   "no session",
			edit:   func(m map[string]string) { delete(m, "AWS_SESSION_TOKEN") },
			region: "ap-east-1",
			want:   aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret-example", Source: "environment"},
		},
		{
			name:   "an endpoint for every service",
			edit:   func(m map[string]string) { m["AWS_ENDPOINT_URL"] = "http://localhost:5000" },
			region: "ap-east-1",
			base:   aws.String("http://localhost:5000"),
			want:   aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret-example", SessionToken: "session-example", Source: "environment"},
		},
		{
			name: "endpoints ignored",
			edit: func(m map[string]string) {
				m["AWS_ENDPOINT_URL"] = "http://localhost:5000"
				m["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "TRUE"
			},
			region: "ap-east-1",
			want:   aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret-example", SessionToken: "session-example", Source: "environment"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			env := lambda()
			tt.edit(env)
			cfg, err := Config(getenv(env), time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Region != tt.region {
				t.Errorf("Region = %q, want %q", cfg.Region, tt.region)
			}
			if diff := cmp.Diff(tt.base, cfg.BaseEndpoint); diff != "" {
				t.Errorf("BaseEndpoint (-want +got):\n%s", diff)
			}
			got, err := cfg.Credentials.Retrieve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Credentials (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigRefuses(t *testing.T) {
	tests := []struct {
		name    string
		edit    func(map[string]string)
		want    error
		setting string
	}{
		{"no region", func(m map[string]string) { delete(m, "AWS_REGION"); delete(m, "AWS_DEFAULT_REGION") }, ErrMissing, "AWS_REGION"},
		{"no access key", func(m map[string]string) { delete(m, "AWS_ACCESS_KEY_ID") }, ErrMissing, "AWS_ACCESS_KEY_ID"},
		{"empty access key", func(m map[string]string) { m["AWS_ACCESS_KEY_ID"] = "" }, ErrMissing, "AWS_ACCESS_KEY_ID"},
		{"no secret key", func(m map[string]string) { delete(m, "AWS_SECRET_ACCESS_KEY") }, ErrMissing, "AWS_SECRET_ACCESS_KEY"},
		{"endpoint without a scheme", func(m map[string]string) { m["AWS_ENDPOINT_URL"] = "localhost:5000" }, ErrMalformed, "AWS_ENDPOINT_URL"},
		{"endpoint without a host", func(m map[string]string) { m["AWS_ENDPOINT_URL"] = "http://" }, ErrMalformed, "AWS_ENDPOINT_URL"},
		{"endpoint of another scheme", func(m map[string]string) { m["AWS_ENDPOINT_URL"] = "ftp://localhost" }, ErrMalformed, "AWS_ENDPOINT_URL"},
		{"endpoint that is no URL", func(m map[string]string) { m["AWS_ENDPOINT_URL"] = "http://local host" }, ErrMalformed, "AWS_ENDPOINT_URL"},
		{"SQS endpoint", func(m map[string]string) { m["AWS_ENDPOINT_URL_SQS"] = "moto" }, ErrMalformed, "AWS_ENDPOINT_URL_SQS"},
		{"DynamoDB endpoint", func(m map[string]string) { m["AWS_ENDPOINT_URL_DYNAMODB"] = "moto" }, ErrMalformed, "AWS_ENDPOINT_URL_DYNAMODB"},
		{"Secrets Manager endpoint", func(m map[string]string) { m["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = "moto" }, ErrMalformed, "AWS_ENDPOINT_URL_SECRETS_MANAGER"},
		{"FIPS neither true nor false", func(m map[string]string) { m["AWS_USE_FIPS_ENDPOINT"] = "yes" }, ErrMalformed, "AWS_USE_FIPS_ENDPOINT"},
		{"dual stack neither true nor false", func(m map[string]string) { m["AWS_USE_DUALSTACK_ENDPOINT"] = "1" }, ErrMalformed, "AWS_USE_DUALSTACK_ENDPOINT"},
		{"ignore neither true nor false", func(m map[string]string) { m["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "on" }, ErrMalformed, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			env := lambda()
			tt.edit(env)
			_, err := Config(getenv(env), time.Second)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got error %v, want %v", err, tt.want)
			}
			words := strings.FieldsFunc(err.Error(), func(c rune) bool { return c == ' ' || c == ':' })
			if !contains(words, tt.setting) {
				t.Errorf("error %q does not name %s", err, tt.setting)
			}
			for _, value := range []string{"secret-example", "session-example", "moto", "local host"} {
				if strings.Contains(err.Error(), value) {
					t.Errorf("error %q repeats a value", err)
				}
			}
		})
	}
	t.Run("no time limit", func(t *testing.T) {
		if _, err := Config(getenv(lambda()), 0); err == nil {
			t.Error("got no error, want one")
		}
	})
}

func contains(words []string, want string) bool {
	for _, w := range words {
		if w == want {
			return true
		}
	}
	return false
}

// operation calls one service; the answer is of no interest.
type operation func(ctx context.Context, cfg aws.Config) error

func operations() map[string]operation {
	return map[string]operation{
		"SECRETS_MANAGER": func(ctx context.Context, cfg aws.Config) error {
			_, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("s")})
			return err
		},
		"SQS": func(ctx context.Context, cfg aws.Config) error {
			_, err := sqs.NewFromConfig(cfg).GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("q")})
			return err
		},
		"DYNAMODB": func(ctx context.Context, cfg aws.Config) error {
			_, err := dynamodb.NewFromConfig(cfg).DeleteItem(ctx, &dynamodb.DeleteItemInput{
				TableName: aws.String("t"), Key: map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "k"}},
			})
			return err
		},
	}
}

// endpointServer stands for AWS. It counts calls and keeps the last one's headers.
type endpointServer struct {
	*httptest.Server
	calls  int
	header http.Header
}

func newEndpoint(t *testing.T) *endpointServer {
	s := &endpointServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls++
		s.header = r.Header
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Write([]byte("{}"))
	}))
	t.Cleanup(s.Close)
	return s
}

// TestEndpoints sends one call of every service, with the settings in the
// process's environment too: the service packages look there by themselves.
func TestEndpoints(t *testing.T) {
	type counts struct{ Everyone, Own int }
	for service, call := range operations() {
		tests := []struct {
			name     string
			settings func(everyone, own string) map[string]string
			want     counts
		}{
			{"for every service", func(everyone, _ string) map[string]string {
				return map[string]string{"AWS_ENDPOINT_URL": everyone}
			}, counts{Everyone: 1}},
			{"for the service", func(_, own string) map[string]string {
				return map[string]string{"AWS_ENDPOINT_URL_" + service: own}
			}, counts{Own: 1}},
			{"both", func(everyone, own string) map[string]string {
				return map[string]string{"AWS_ENDPOINT_URL": everyone, "AWS_ENDPOINT_URL_" + service: own}
			}, counts{Own: 1}},
			{"another service's", func(everyone, own string) map[string]string {
				return map[string]string{"AWS_ENDPOINT_URL": everyone, "AWS_ENDPOINT_URL_S3": own}
			}, counts{Everyone: 1}},
		}
		for _, tt := range tests {
			t.Run(service+" "+tt.name, func(t *testing.T) {
				everyone, own := newEndpoint(t), newEndpoint(t)
				env := lambda()
				maps.Copy(env, tt.settings(everyone.URL, own.URL))
				for name, value := range env {
					t.Setenv(name, value)
				}
				cfg, err := Config(getenv(env), time.Second)
				if err != nil {
					t.Fatal(err)
				}
				if err := call(t.Context(), cfg); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, counts{everyone.calls, own.calls}); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestSignature(t *testing.T) {
	for service, call := range operations() {
		t.Run(service, func(t *testing.T) {
			server := newEndpoint(t)
			env := lambda()
			env["AWS_ENDPOINT_URL"] = server.URL
			cfg, err := Config(getenv(env), time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if err := call(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			authorization := server.header.Get("Authorization")
			for _, want := range []string{"AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/", "/ap-east-1/"} {
				if !strings.Contains(authorization, want) {
					t.Errorf("Authorization = %q, want it to hold %q", authorization, want)
				}
			}
			if got := server.header.Get("X-Amz-Security-Token"); got != "session-example" {
				t.Errorf("X-Amz-Security-Token = %q, want the session token", got)
			}
		})
	}
}

// TestRealHosts looks at the hosts that calls without an endpoint setting go to.
func TestRealHosts(t *testing.T) {
	tests := []struct {
		name, service string
		edit          func(map[string]string)
		want          string
	}{
		{"plain", "SQS", func(map[string]string) {}, "sqs.ap-east-1.amazonaws.com"},
		{"plain", "DYNAMODB", func(map[string]string) {}, "dynamodb.ap-east-1.amazonaws.com"},
		{"plain", "SECRETS_MANAGER", func(map[string]string) {}, "secretsmanager.ap-east-1.amazonaws.com"},
		{"China", "SQS", func(m map[string]string) { m["AWS_REGION"] = "cn-north-1" }, "sqs.cn-north-1.amazonaws.com.cn"},
		{"FIPS", "SQS", func(m map[string]string) {
			m["AWS_REGION"] = "us-east-1"
			m["AWS_USE_FIPS_ENDPOINT"] = "true"
		}, "sqs-fips.us-east-1.amazonaws.com"},
		{"dual stack", "SQS", func(m map[string]string) { m["AWS_USE_DUALSTACK_ENDPOINT"] = "True" }, "sqs.ap-east-1.api.aws"},
		{"neither", "SQS", func(m map[string]string) {
			m["AWS_USE_FIPS_ENDPOINT"] = "false"
			m["AWS_USE_DUALSTACK_ENDPOINT"] = "false"
		}, "sqs.ap-east-1.amazonaws.com"},
		{"ignored", "SQS", func(m map[string]string) {
			m["AWS_ENDPOINT_URL_SQS"] = "http://localhost:5000"
			m["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "true"
		}, "sqs.ap-east-1.amazonaws.com"},
	}
	for _, tt := range tests {
		t.Run(tt.service+" "+tt.name, func(t *testing.T) {
			env := lambda()
			tt.edit(env)
			cfg, err := Config(getenv(env), time.Second)
			if err != nil {
				t.Fatal(err)
			}
			host := &hostRecorder{}
			cfg.HTTPClient = host
			if err := operations()[tt.service](t.Context(), cfg); err == nil {
				t.Error("got no error, want the one of the recorder")
			}
			if host.got != tt.want {
				t.Errorf("host = %q, want %q", host.got, tt.want)
			}
		})
	}
}

type hostRecorder struct{ got string }

func (h *hostRecorder) Do(r *http.Request) (*http.Response, error) {
	h.got = r.URL.Host
	return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Body: http.NoBody}, nil
}
