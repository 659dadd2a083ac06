package sandbox_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"wechat-parking-gateway/shared/sandbox"
	"wechat-parking-gateway/shared/secrets"
)

// asFunction is the setting that makes the test binary behave as a function at its start.
const asFunction = "SANDBOX_TEST_AS_FUNCTION"

func TestMain(m *testing.M) {
	if os.Getenv(asFunction) == "" {
		os.Exit(m.Run())
	}
	box := sandbox.Open(os.Getenv)
	box.Settings.Required("MERCHANT_SECRET_ID")
	box.Settings.BaseURL("WECHATPAY_BASE_URL", "")
	config := box.Ready()
	box.Logger.Info("request", "vendor_id", "acme", "plate_number", "粤B888888")
	_, _ = os.Stdout.WriteString("ready in " + config.Region + "\n")
}

// start runs a function's start with the given environment and nothing else.
func start(t *testing.T, env ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	// A binary that was built to measure coverage would otherwise say that it has nowhere to write it.
	cmd.Env = slices.Concat(env, []string{asFunction + "=1", "GOCOVERDIR=" + t.TempDir()})
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

var whole = []string{"AWS_REGION=cn-north-1", "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=a-secret", "MERCHANT_SECRET_ID=merchant"}

func TestReady(t *testing.T) {
	stdout, stderr, err := start(t, whole...)
	if err != nil || !strings.Contains(stdout, "ready in cn-north-1\n") {
		t.Fatalf("got %v, %s%s, want it ready", err, stdout, stderr)
	}
	if !strings.Contains(stdout+stderr, "acme") || strings.Contains(stdout+stderr, "粤B888888") {
		t.Errorf("got %s%s, want the line without the field that is on no list", stdout, stderr)
	}
}

// TestNotReady holds that a setting that is missing or malformed ends the process, and that all of them are named at once.
func TestNotReady(t *testing.T) {
	for name, tc := range map[string]struct {
		env  []string
		want []string
	}{
		"a setting of ours":            {whole[:3], []string{"MERCHANT_SECRET_ID"}},
		"one that is malformed":        {append(whole[:4:4], "WECHATPAY_BASE_URL=http://example.com/a-secret"), []string{"WECHATPAY_BASE_URL"}},
		"the region":                   {whole[1:], []string{"AWS_REGION"}},
		"one of ours and one of AWS's": {whole[1:3], []string{"MERCHANT_SECRET_ID", "AWS_REGION"}},
		"all of ours":                  {append(whole[:3:3], "WECHATPAY_BASE_URL=x"), []string{"MERCHANT_SECRET_ID", "WECHATPAY_BASE_URL"}},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, err := start(t, tc.env...)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || stdout != "" {
				t.Fatalf("got %v and %q, want exit status 1 and nothing else", err, stdout)
			}
			for _, name := range tc.want {
				if !strings.Contains(stderr, name) {
					t.Errorf("got %q, want %s named", stderr, name)
				}
			}
			if got := strings.Count(stderr, "\n"); got != len(tc.want) {
				t.Errorf("got %d lines, want one for each of %v:\n%s", got, tc.want, stderr)
			}
			if strings.Contains(stderr, "a-secret") {
				t.Errorf("got %q, want no value in it", stderr)
			}
		})
	}
}

// TestWarm holds that fetches run side by side, and that the start goes on after 2 s whatever they do.
func TestWarm(t *testing.T) {
	for name, tc := range map[string]struct {
		lasts []time.Duration
		want  time.Duration
	}{
		"nothing":       {nil, 0},
		"three at once": {[]time.Duration{time.Second, 1500 * time.Millisecond, time.Millisecond}, 1500 * time.Millisecond},
		"one hangs":     {[]time.Duration{time.Millisecond, time.Hour}, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var fetches []func(context.Context)
				for _, lasts := range tc.lasts {
					fetches = append(fetches, func(ctx context.Context) {
						select {
						case <-ctx.Done():
						case <-time.After(lasts):
						}
					})
				}
				began := time.Now()
				(&sandbox.Box{}).Warm(fetches...)
				if took := time.Since(began); took != tc.want {
					t.Errorf("took %v, want %v", took, tc.want)
				}
			})
		})
	}
}

// store is Secrets Manager with one document, or out.
type store struct {
	err   error
	calls int
}

func (s *store) GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	s.calls++
	return &secretsmanager.GetSecretValueOutput{SecretString: aws.String("document"), VersionId: aws.String("1")}, s.err
}

// TestFetch holds that a secret is fetched before the first request, and that one which is out does not end the start.
func TestFetch(t *testing.T) {
	parse := func(docs [][]byte) (string, error) { return string(docs[0]), nil }
	good := &store{}
	cache := secrets.New(good, []string{"a"}, parse)
	(&sandbox.Box{}).Warm(sandbox.Fetch(cache))
	if got, err := cache.Get(t.Context()); got != "document" || err != nil || good.calls != 1 {
		t.Errorf("got %q, %v after %d calls, want the document after one", got, err, good.calls)
	}
	out := &store{err: errors.New("out")}
	broken := secrets.New(out, []string{"a"}, parse)
	(&sandbox.Box{}).Warm(sandbox.Fetch(broken))
	out.err = nil
	if got, err := broken.Get(t.Context()); got != "document" || err != nil {
		t.Errorf("got %q, %v, want the first request to find it", got, err)
	}
}

func ExampleBox_Warm() {
	(&sandbox.Box{}).Warm(
		func(context.Context) { /* fetch the merchant's keys */ },
		func(context.Context) { /* fetch the vendors */ },
	)
	// Output:
}
