package sandbox_test

import (
	"context"
	"errors"
	"log/slog"
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
	"wechat-parking-gateway/shared/telemetry"
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
	err       error
	malformed error // of the document
	version   string
	calls     int
}

func (s *store) GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	s.calls++
	return &secretsmanager.GetSecretValueOutput{SecretString: aws.String("document"), VersionId: aws.String("1" + s.version)}, s.err
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

// TestReports holds that a failed fetch is logged and counted, and that the init phase's length is measured.
func TestReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines, metrics strings.Builder
		box := &sandbox.Box{
			Logger: telemetry.NewLogger(slog.NewTextHandler(&lines, nil)), Meter: telemetry.NewMeter(&metrics, time.Now, "f"),
		}
		source := &store{}
		cache := secrets.New(source, []string{"a"}, func(docs [][]byte) (string, error) { return string(docs[0]), source.malformed }, box.Reports()...)
		box.Warm(sandbox.Fetch(cache), func(context.Context) { time.Sleep(300 * time.Millisecond) })
		_, line := telemetry.Begin(t.Context())
		box.Meter.Write(line, 5*time.Millisecond)
		if got := metrics.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"FirstAnswer":305}`) {
			t.Errorf("got %s, want a first answer after 305 ms", got)
		}
		for name, spoil := range map[string]func(){
			"SecretUnavailable": func() { source.err = errors.New("out") },
			"SecretMalformed":   func() { source.malformed, source.version = errors.New("/mchid: missing"), "2" },
		} {
			lines.Reset()
			metrics.Reset()
			source.err, source.malformed, source.version = nil, nil, "1"
			spoil()
			time.Sleep(secrets.MaxLife)
			if _, err := cache.Get(t.Context()); err != nil {
				t.Errorf("%s: got %v, want the stale document", name, err)
			}
			if got := metrics.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, name+`":1}`) || !strings.Contains(got, `"SecretServedStale":1}`) {
				t.Errorf("%s: got %s, want it counted, and the stale one", name, got)
			}
			if !strings.Contains(lines.String(), "secret not refreshed") {
				t.Errorf("%s: got %q, want a line", name, lines.String())
			}
		}
	})
}

func ExampleBox_Warm() {
	(&sandbox.Box{}).Warm(
		func(context.Context) { /* fetch the merchant's keys */ },
		func(context.Context) { /* fetch the vendors */ },
	)
	// Output:
}
