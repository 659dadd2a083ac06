package secrets_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"wechat-parking-gateway/shared/secrets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// vault plays Secrets Manager: names, versions, delays and faults.
type vault struct {
	mu     sync.Mutex
	docs   map[string]version
	delay  time.Duration
	err    error
	calls  int
	stages []string
}

type version struct{ id, text string }

func newVault(text string) *vault {
	return &vault{docs: map[string]version{"merchant": {"v1", text}}}
}

func (v *vault) GetSecretValue(ctx context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	v.mu.Lock()
	v.calls++
	v.stages = append(v.stages, aws.ToString(in.VersionStage))
	delay := v.delay
	v.mu.Unlock()

	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		return nil, v.err
	}
	doc, ok := v.docs[aws.ToString(in.SecretId)]
	if !ok {
		return nil, errNotFound
	}
	return &secretsmanager.GetSecretValueOutput{SecretString: aws.String(doc.text), VersionId: aws.String(doc.id)}, nil
}

func (v *vault) put(id, text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.docs["merchant"] = version{id, text}
}

func (v *vault) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.err = err
}

func (v *vault) slow(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.delay = d
}

// wantCalls compares the number of calls so far.
func (v *vault) wantCalls(t *testing.T, want int) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.calls != want {
		t.Errorf("got %d calls, want %d", v.calls, want)
	}
}

var (
	errNotFound = errors.New("ResourceNotFoundException")
	errOut      = errors.New("connection refused")
	errBad      = errors.New("/mchid: missing")
)

// document is what the tests' parse function makes of a text.
type document struct{ text string }

func parse(docs [][]byte) (*document, error) {
	text := string(bytes.Join(docs, []byte("+")))
	if strings.Contains(text, "bad") {
		return nil, errBad
	}
	return &document{text}, nil
}

// longest makes every life the longest, so that tests know when it ends.
func longest(n int64) int64 { return n - 1 }

func newCache(v *vault, opts ...secrets.Option) *secrets.Cache[*document] {
	return secrets.New(v, []string{"merchant"}, parse, append([]secrets.Option{secrets.WithRandom(longest)}, opts...)...)
}

func wantGet(t *testing.T, c *secrets.Cache[*document], want string) {
	t.Helper()
	d, err := c.Get(t.Context())
	if err != nil {
		t.Fatalf("Get: got error %v, want %q", err, want)
	}
	if d.text != want {
		t.Errorf("Get: got %q, want %q", d.text, want)
	}
}

func wantGetError(t *testing.T, c *secrets.Cache[*document], want error) {
	t.Helper()
	d, err := c.Get(t.Context())
	if d != nil || !errors.Is(err, want) {
		t.Errorf("Get: got %v, %v, want nil and error %v", d, err, want)
	}
}

func wantRefresh(t *testing.T, c *secrets.Cache[*document], want string, wantChanged bool) {
	t.Helper()
	d, changed, err := c.Refresh(t.Context())
	if err != nil {
		t.Fatalf("Refresh: got error %v, want %q", err, want)
	}
	if d.text != want || changed != wantChanged {
		t.Errorf("Refresh: got %q, changed %t, want %q, changed %t", d.text, changed, want, wantChanged)
	}
}

func TestGetServesCachedValueUntilItExpires(t *testing.T) {
	for _, tt := range []struct {
		name    string
		int64n  func(int64) int64
		life    time.Duration
		options []secrets.Option
	}{
		{"shortest life", func(int64) int64 { return 0 }, secrets.MinLife, nil},
		{"longest life", longest, secrets.MaxLife, nil},
		{"shortest of a test's life", func(int64) int64 { return 0 }, 4 * time.Second, []secrets.Option{secrets.WithLife(5 * time.Second)}},
		{"longest of a test's life", longest, 5 * time.Second, []secrets.Option{secrets.WithLife(5 * time.Second)}},
		{"a longer life than promised", longest, secrets.MaxLife, []secrets.Option{secrets.WithLife(time.Hour)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVault("one")
				c := newCache(v, append(tt.options, secrets.WithRandom(tt.int64n))...)
				wantGet(t, c, "one")
				v.put("v2", "two")

				time.Sleep(tt.life - 1)
				wantGet(t, c, "one")
				v.wantCalls(t, 1)

				time.Sleep(1)
				wantGet(t, c, "two")
				v.wantCalls(t, 2)
			})
		})
	}
}

func TestDefaultRandomLifeIsWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault("one")
		c := secrets.New(v, []string{"merchant"}, parse)
		for calls := 1; calls < 50; calls++ {
			wantGet(t, c, "one")
			v.wantCalls(t, calls)
			time.Sleep(secrets.MinLife - 1)
			wantGet(t, c, "one")
			v.wantCalls(t, calls)
			time.Sleep(secrets.MaxLife - secrets.MinLife + 1)
		}
	})
}

// A value's life begins when it was asked for, not when it came: it may have
// been read just before it was replaced.
func TestLifeBeginsBeforeTheFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault("one")
		v.slow(time.Second)
		c := newCache(v)
		wantGet(t, c, "one")
		time.Sleep(secrets.MaxLife - time.Second)
		wantGet(t, c, "one")
		v.wantCalls(t, 2)
	})
}

func TestGetAsksForCurrentVersion(t *testing.T) {
	v := newVault("one")
	wantGet(t, newCache(v), "one")
	if want := []string{"AWSCURRENT"}; !slices.Equal(v.stages, want) {
		t.Errorf("got stages %q, want %q", v.stages, want)
	}
}

func TestSeveralSecretsAreFetchedInParallelAndParsedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vault{delay: time.Second, docs: map[string]version{
			"a": {"v1", "first"}, "b": {"v1", "second"}, "c": {"v1", "third"},
		}}
		c := secrets.New(v, []string{"a", "b", "c"}, parse)
		began := time.Now()
		wantGet(t, c, "first+second+third")
		if took := time.Since(began); took != time.Second {
			t.Errorf("got %v, want 1s: one after the other", took)
		}
		v.wantCalls(t, 3)
	})
}

func TestBinarySecret(t *testing.T) {
	api := apiFunc(func(context.Context, string) (*secretsmanager.GetSecretValueOutput, error) {
		return &secretsmanager.GetSecretValueOutput{SecretBinary: []byte("binary")}, nil
	})
	wantGet(t, secrets.New(api, []string{"merchant"}, parse), "binary")
}

func TestErrorsWithNothingCached(t *testing.T) {
	output := func(out *secretsmanager.GetSecretValueOutput) apiFunc {
		return func(context.Context, string) (*secretsmanager.GetSecretValueOutput, error) { return out, nil }
	}
	failure := func(err error) apiFunc {
		return func(context.Context, string) (*secretsmanager.GetSecretValueOutput, error) { return nil, err }
	}
	for _, tt := range []struct {
		name string
		api  secrets.API
		want error
		also error
		text string
	}{
		{"unreachable", failure(errOut), secrets.ErrUnavailable, errOut, "secret unavailable: merchant: connection refused"},
		{"absent", failure(errNotFound), secrets.ErrUnavailable, errNotFound, "secret unavailable: merchant: ResourceNotFoundException"},
		{
			"undecodable answer", failure(&smithy.DeserializationError{Err: errors.New(`invalid character near "whsec_c2VjcmV0"`)}),
			secrets.ErrUnavailable, nil, "secret unavailable: merchant: the answer of Secrets Manager could not be read",
		},
		{"no text at all", output(&secretsmanager.GetSecretValueOutput{}), secrets.ErrMalformed, nil, "secret malformed: merchant: it has no text"},
		{"empty text", output(&secretsmanager.GetSecretValueOutput{SecretString: aws.String("")}), secrets.ErrMalformed, nil, "secret malformed: merchant: it has no text"},
		{"refused by the parse function", output(&secretsmanager.GetSecretValueOutput{SecretString: aws.String("bad")}), secrets.ErrMalformed, errBad, "secret malformed: merchant: /mchid: missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := secrets.New(tt.api, []string{"merchant"}, parse).Get(t.Context())
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if tt.also != nil && !errors.Is(err, tt.also) {
				t.Errorf("got %v, want its cause %v", err, tt.also)
			}
			if err.Error() != tt.text {
				t.Errorf("got text %q, want %q", err, tt.text)
			}
		})
	}
}

func TestOneOfSeveralSecretsFails(t *testing.T) {
	v := &vault{docs: map[string]version{"a": {"v1", "first"}}}
	_, err := secrets.New(v, []string{"a", "b", "c"}, parse).Get(t.Context())
	if want := "secret unavailable: b: ResourceNotFoundException"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestNothingCachedTriesAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault("bad")
		c := newCache(v)
		wantGetError(t, c, secrets.ErrMalformed)
		v.fail(errOut)
		wantGetError(t, c, secrets.ErrUnavailable)
		v.fail(nil)
		v.put("v2", "good")
		wantGet(t, c, "good")
		v.wantCalls(t, 3)
	})
}

func TestStaleValueIsServedForOneHour(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*vault)
		want  error
	}{
		{"Secrets Manager is out", func(v *vault) { v.fail(errOut) }, secrets.ErrUnavailable},
		{"the new version is malformed", func(v *vault) { v.put("v2", "bad") }, secrets.ErrMalformed},
		{"the new version is empty", func(v *vault) { v.put("v2", "") }, secrets.ErrMalformed},
		{"Secrets Manager hangs", func(v *vault) { v.slow(24 * time.Hour) }, secrets.ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVault("one")
				c := newCache(v)
				wantGet(t, c, "one")
				tt.spoil(v)

				time.Sleep(secrets.MaxLife)
				wantGet(t, c, "one")
				v.wantCalls(t, 2)

				time.Sleep(secrets.StaleLimit - secrets.MaxLife - 2*secrets.FetchTimeout)
				wantGet(t, c, "one")
				v.wantCalls(t, 3)

				time.Sleep(2*secrets.FetchTimeout + 1)
				wantGetError(t, c, tt.want)
				v.wantCalls(t, 4)
			})
		})
	}
}

func TestStaleValueIsRetriedEveryThirtySecondsAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault("one")
		c := newCache(v)
		wantGet(t, c, "one")
		v.put("v2", "bad")
		time.Sleep(secrets.MaxLife)
		wantGet(t, c, "one")
		v.wantCalls(t, 2)

		time.Sleep(secrets.RetryInterval - 1)
		wantGet(t, c, "one")
		v.wantCalls(t, 2)

		time.Sleep(1)
		wantGet(t, c, "one")
		v.wantCalls(t, 3)

		v.put("v3", "three")
		time.Sleep(secrets.RetryInterval)
		wantGet(t, c, "three")
		v.wantCalls(t, 4)

		time.Sleep(secrets.MaxLife - 1)
		wantGet(t, c, "three")
		v.wantCalls(t, 4)
	})
}

func TestConcurrentCallersShareOneFetch(t *testing.T) {
	for _, tt := range []struct {
		name string
		doc  string
		want error
	}{
		{"good", "one", nil},
		{"malformed", "bad", secrets.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVault(tt.doc)
				v.slow(time.Second)
				c := newCache(v)
				var wg sync.WaitGroup
				for range 50 {
					wg.Go(func() {
						if _, err := c.Get(t.Context()); !errors.Is(err, tt.want) {
							t.Errorf("got %v, want %v", err, tt.want)
						}
					})
				}
				wg.Wait()
				v.wantCalls(t, 1)
			})
		})
	}
}

// TestLeaderEnds has one caller start a fetch and two wait for it. The leader
// ends first; a waiter takes over, and the other waits on.
func TestLeaderEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		want error
	}{
		{"cancelled", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(100*time.Millisecond, cancel)
			return ctx, cancel
		}, context.Canceled},
		{"out of time", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 100*time.Millisecond)
		}, context.DeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVault("one")
				v.slow(time.Second)
				c := newCache(v)

				var wg sync.WaitGroup
				wg.Go(func() {
					ctx, cancel := tt.ctx(t.Context())
					defer cancel()
					_, err := c.Get(ctx)
					if !errors.Is(err, tt.want) || !errors.Is(err, secrets.ErrUnavailable) {
						t.Errorf("leader: got %v, want %v and %v", err, tt.want, secrets.ErrUnavailable)
					}
				})
				synctest.Wait()
				for range 2 {
					wg.Go(func() {
						d, err := c.Get(t.Context())
						if err != nil || d.text != "one" {
							t.Errorf("waiter: got %v, %v, want one", d, err)
						}
					})
				}
				wg.Wait()
				v.wantCalls(t, 2)
			})
		})
	}
}

// A leader that cancels does not put off the next try while a stale value is
// there; Secrets Manager did not fail.
func TestCancelledLeaderIsNotAFailedFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault("one")
		c := newCache(v)
		wantGet(t, c, "one")
		v.put("v2", "two")
		time.Sleep(secrets.MaxLife)

		v.slow(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		if d, err := c.Get(ctx); err != nil || d.text != "one" {
			t.Errorf("leader: got %v, %v, want the stale value", d, err)
		}
		wantGet(t, c, "two")
		v.wantCalls(t, 3)
	})
}

// A leader whose time runs out does: Secrets Manager is too slow to be waited
// for by every caller in turn.
func TestLeaderOutOfTimeIsAFailedFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault("one")
		c := newCache(v)
		wantGet(t, c, "one")
		time.Sleep(secrets.MaxLife)

		v.slow(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if d, err := c.Get(ctx); err != nil || d.text != "one" {
			t.Errorf("leader: got %v, %v, want the stale value", d, err)
		}
		began := time.Now()
		wantGet(t, c, "one")
		if took := time.Since(began); took != 0 {
			t.Errorf("next caller: waited %v, want 0", took)
		}
		v.wantCalls(t, 2)
	})
}

func TestWaiterEndsWithItsOwnContext(t *testing.T) {
	for _, tt := range []struct {
		name  string
		held  bool
		want  string
		error error
	}{
		{name: "nothing cached", error: context.DeadlineExceeded},
		{name: "a stale value cached", held: true, want: "one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVault("one")
				c := newCache(v)
				if tt.held {
					wantGet(t, c, "one")
					time.Sleep(secrets.MaxLife)
				}
				v.slow(time.Second)
				var wg sync.WaitGroup
				wg.Go(func() { wantGet(t, c, "one") })
				synctest.Wait()

				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				defer cancel()
				began := time.Now()
				d, err := c.Get(ctx)
				if took := time.Since(began); took != 10*time.Millisecond {
					t.Errorf("got an answer after %v, want 10ms", took)
				}
				if !errors.Is(err, tt.error) || (d != nil) != tt.held {
					t.Errorf("got %v, %v, want %q, %v", d, err, tt.want, tt.error)
				}
				wg.Wait()
			})
		})
	}
}

// A parse function that panics must not leave the others waiting for ever.
func TestPanicOfParseIsTheLeadersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault("one")
		v.slow(time.Second)
		panics := true
		c := secrets.New(v, []string{"merchant"}, func(docs [][]byte) (*document, error) {
			if panics {
				panics = false
				panic("a bug")
			}
			return parse(docs)
		})
		var wg sync.WaitGroup
		wg.Go(func() {
			defer func() {
				if got := recover(); got != "a bug" {
					t.Errorf("got panic %v, want a bug", got)
				}
			}()
			_, _ = c.Get(t.Context())
		})
		synctest.Wait()
		wg.Go(func() { wantGet(t, c, "one") })
		wg.Wait()
	})
}

func TestRefreshTellsWhetherAnythingChanged(t *testing.T) {
	for _, tt := range []struct {
		name        string
		change      func(*vault)
		want        string
		wantChanged bool
	}{
		{"nothing", func(*vault) {}, "one", false},
		{"another version", func(v *vault) { v.put("v2", "two") }, "two", true},
		{"another version, same text", func(v *vault) { v.put("v2", "one") }, "one", true},
		{"same version, another text", func(v *vault) { v.put("v1", "two") }, "two", true},
		{"malformed", func(v *vault) { v.put("v2", "bad") }, "one", false},
		{"unreachable", func(v *vault) { v.fail(errOut) }, "one", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVault("one")
				c := newCache(v)
				before, err := c.Get(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				tt.change(v)
				wantRefresh(t, c, tt.want, tt.wantChanged)
				v.wantCalls(t, 2)

				after, _ := c.Get(t.Context())
				if same := before == after; same == tt.wantChanged {
					t.Errorf("got the same pointer: %t, want %t", same, !tt.wantChanged)
				}
			})
		})
	}
}

func TestRefreshIsForcedOnceInThirtySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault("one")
		c := newCache(v)
		wantRefresh(t, c, "one", true)
		v.put("v2", "two")

		time.Sleep(secrets.RetryInterval - 1)
		wantRefresh(t, c, "one", false)
		v.wantCalls(t, 1)

		time.Sleep(1)
		wantRefresh(t, c, "two", true)
		v.wantCalls(t, 2)
	})
}

func TestGetDoesNotUseUpTheForcedRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault("one")
		c := newCache(v)
		wantGet(t, c, "one")
		v.put("v2", "two")
		wantRefresh(t, c, "two", true)
	})
}

func TestRefreshWithinTheLimitStillDoesWhatGetDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault("one")
		v.fail(errOut)
		c := newCache(v)
		if _, _, err := c.Refresh(t.Context()); !errors.Is(err, secrets.ErrUnavailable) {
			t.Fatalf("got %v, want %v", err, secrets.ErrUnavailable)
		}
		v.fail(nil)
		time.Sleep(secrets.RetryInterval - 1)
		wantRefresh(t, c, "one", true)
		wantRefresh(t, c, "one", false)
		v.wantCalls(t, 2)

		time.Sleep(1) // what Refresh did in Get's way used up nothing
		v.put("v2", "two")
		wantRefresh(t, c, "two", true)
	})
}

func TestFailedRefreshDoesNotShortenTheLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault("one")
		c := newCache(v)
		wantGet(t, c, "one")
		v.fail(errOut)
		wantRefresh(t, c, "one", false)
		time.Sleep(secrets.MaxLife - 1)
		wantGet(t, c, "one")
		v.wantCalls(t, 2)
	})
}

func TestRefreshDoesNotDelayCallersWithALiveValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault("one")
		c := newCache(v)
		wantGet(t, c, "one")
		v.put("v2", "two")
		v.slow(time.Second)
		var wg sync.WaitGroup
		wg.Go(func() { wantRefresh(t, c, "two", true) })
		synctest.Wait()

		began := time.Now()
		wantGet(t, c, "one")
		if took := time.Since(began); took != 0 {
			t.Errorf("Get waited %v, want 0", took)
		}
		wg.Wait()
	})
}

func TestRefreshJoinsTheFetchUnderWay(t *testing.T) {
	for _, tt := range []struct {
		name  string
		start func(*testing.T, *secrets.Cache[*document])
	}{
		{"of a Refresh", func(t *testing.T, c *secrets.Cache[*document]) { wantRefresh(t, c, "two", true) }},
		{"of a Get", func(t *testing.T, c *secrets.Cache[*document]) { wantGet(t, c, "two") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVault("one")
				c := newCache(v)
				wantGet(t, c, "one")
				time.Sleep(secrets.MaxLife)
				v.put("v2", "two")
				v.slow(time.Second)
				var wg sync.WaitGroup
				wg.Go(func() { tt.start(t, c) })
				synctest.Wait()
				for range 10 {
					wg.Go(func() { wantRefresh(t, c, "two", true) })
				}
				wg.Wait()
				v.wantCalls(t, 2)
			})
		})
	}
}

func TestCancelledRefreshIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault("one")
		c := newCache(v)
		wantGet(t, c, "one")
		v.put("v2", "two")
		v.slow(time.Second)

		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		wg.Go(func() {
			if d, changed, err := c.Refresh(ctx); err != nil || changed || d.text != "one" {
				t.Errorf("leader: got %v, changed %t, %v, want the cached value", d, changed, err)
			}
		})
		synctest.Wait()
		wg.Go(func() { wantRefresh(t, c, "two", true) })
		wg.Wait()
		v.wantCalls(t, 3)
	})
}

// frozen returns t as a sandbox reads it that slept for d: the wall clock has
// moved and the monotonic one has not.
func frozen(t time.Time, d time.Duration) time.Time {
	const secondsShift = 30 // of the wall field, when a monotonic reading is present
	*(*uint64)(unsafe.Pointer(&t)) += uint64(d/time.Second) << secondsShift
	return t
}

func TestFrozenSandboxWakesWithAnExpiredValue(t *testing.T) {
	began := time.Now()
	now := began
	v := newVault("one")
	c := newCache(v, secrets.WithClock(func() time.Time { return now }))
	wantGet(t, c, "one")
	v.put("v2", "two")

	now = frozen(began, secrets.MaxLife)
	if got := now.Sub(began); got != 0 {
		t.Fatalf("monotonic clock moved by %v, want 0", got)
	}
	if got := now.Round(0).Sub(began.Round(0)); got != secrets.MaxLife {
		t.Fatalf("wall clock moved by %v, want %v", got, secrets.MaxLife)
	}
	wantGet(t, c, "two")

	v.fail(errOut)
	now = frozen(now, secrets.StaleLimit+time.Second)
	wantGetError(t, c, secrets.ErrUnavailable)
}

func TestClockSetBackExpiresTheValue(t *testing.T) {
	now := time.Date(2026, 6, 1, 8, 0, 0, 0, time.UTC)
	v := newVault("one")
	c := newCache(v, secrets.WithClock(func() time.Time { return now }))
	wantRefresh(t, c, "one", true)
	v.put("v2", "two")
	now = now.Add(-time.Second)
	wantGet(t, c, "two")

	v.fail(errOut)
	now = now.Add(-time.Second)
	wantGet(t, c, "two")
	wantRefresh(t, c, "two", false)
	v.wantCalls(t, 4)

	now = now.Add(-2 * secrets.StaleLimit)
	wantGetError(t, c, secrets.ErrUnavailable)
}

func TestLogNamesSecretAndReasonAndNoContent(t *testing.T) {
	for _, tt := range []struct {
		name  string
		held  bool
		spoil func(*vault)
		want  map[string]any
	}{
		{"unavailable, nothing cached", false, func(v *vault) { v.fail(errOut) }, map[string]any{
			"level": "ERROR", "msg": "secret not refreshed", "secret": "merchant", "reason": "unavailable",
			"error": "secret unavailable: merchant: connection refused", "stale": false,
		}},
		{"malformed, stale served", true, func(v *vault) { v.put("v2", "bad") }, map[string]any{
			"level": "WARN", "msg": "secret not refreshed", "secret": "merchant", "reason": "malformed",
			"error": "secret malformed: merchant: /mchid: missing", "stale": true,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				v := newVault("one")
				var observed []string
				c := newCache(v, secrets.WithLogger(slog.New(slog.NewJSONHandler(&log, nil))), secrets.WithObserver(func(err error, stale bool) {
					observed = append(observed, fmt.Sprint(errors.Is(err, secrets.ErrMalformed), errors.Is(err, secrets.ErrUnavailable), stale))
				}))
				if tt.held {
					wantGet(t, c, "one")
					time.Sleep(secrets.MaxLife)
				}
				tt.spoil(v)
				_, _ = c.Get(t.Context())

				var got map[string]any
				if err := json.Unmarshal(log.Bytes(), &got); err != nil {
					t.Fatalf("got log %q: %v", log.Bytes(), err)
				}
				delete(got, "time")
				if fmt.Sprint(got) != fmt.Sprint(tt.want) {
					t.Errorf("got %v, want %v", got, tt.want)
				}
				want := fmt.Sprint(got["reason"] == "malformed", got["reason"] == "unavailable", got["stale"])
				if !slices.Equal(observed, []string{want}) {
					t.Errorf("observed %v, want what the line says: %s", observed, want)
				}
			})
		})
	}
}

func TestCancelledFetchIsNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		v := newVault("one")
		v.slow(time.Second)
		c := newCache(v, secrets.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Get(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		if log.Len() != 0 {
			t.Errorf("got log %q, want none", &log)
		}
	})
}

func TestFetchTimeoutIsAnOption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault("one")
		v.slow(time.Hour)
		c := newCache(v, secrets.WithFetchTimeout(700*time.Millisecond))
		began := time.Now()
		wantGetError(t, c, context.DeadlineExceeded)
		if took := time.Since(began); took != 700*time.Millisecond {
			t.Errorf("got %v, want 700ms", took)
		}
	})
}

// TestManyCallersWhileEverythingChanges is for the race detector.
func TestManyCallersWhileEverythingChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault("one")
		v.slow(10 * time.Millisecond)
		c := newCache(v)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				for n := range 100 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+(i*n)%30)*time.Millisecond)
					if i%2 == 0 {
						_, _ = c.Get(ctx)
					} else {
						_, _, _ = c.Refresh(ctx)
					}
					cancel()
					v.put(fmt.Sprint("v", n), []string{"good", "bad", "better"}[n%3])
					time.Sleep(time.Duration(1+i) * time.Second)
				}
			})
		}
		wg.Wait()
		v.put("last", "last")
		time.Sleep(secrets.MaxLife)
		wantGet(t, c, "last")
	})
}

type apiFunc func(ctx context.Context, id string) (*secretsmanager.GetSecretValueOutput, error)

func (f apiFunc) GetSecretValue(ctx context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	return f(ctx, aws.ToString(in.SecretId))
}
