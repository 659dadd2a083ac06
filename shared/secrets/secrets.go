// Package secrets reads documents from AWS Secrets Manager, keeps what was
// parsed from them, and refreshes it: the room between the AWS API and the
// packages that say what a document means.
//
// A [Cache] holds the value parsed from one or several secrets. It is made
// once for each sandbox by a function's main package and used by every
// invocation, at the same time where a test or the local stack does so. It
// knows nothing of what is in a document: the parse function that it is given
// does, and shared/merchant and shared/vendor have such functions.
//
// The rules:
//
//   - Always the version staged AWSCURRENT is asked for, by name.
//   - A value lives between [MinLife] and [MaxLife], drawn anew for each fetch
//     so that sandboxes do not ask in step. Life is counted by the wall clock
//     from before the fetch: a sandbox that was frozen wakes with an expired
//     value, and a removed key stops working within [MaxLife].
//   - One fetch at a time. It runs inside the call that started it and under
//     that call's context; other callers wait for it, each within its own
//     context. No goroutine outlives the call that started it.
//   - When a fetch fails, or what it brings cannot be parsed, the last good
//     value is served until [StaleLimit] after it was fetched, and the fetch is
//     tried again every [RetryInterval]. After that, and when there never was a
//     good value, the caller gets an error and the next call tries again.
//
// The functions' main packages import it, and the tools that play them; rooms
// that only use a value name the methods they need in an interface of their
// own. It imports no other room. The call and its staging labels are described
// in the AWS Secrets Manager API Reference, "GetSecretValue".
package secrets

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
)

const (
	// MinLife and MaxLife bound the time for which a fetched value is served
	// without asking Secrets Manager again.
	MinLife = 4 * time.Minute
	MaxLife = 5 * time.Minute

	// RetryInterval is the least time between two tries while a stale value is
	// served, and, counted apart, between two forced refreshes.
	RetryInterval = 30 * time.Second

	// StaleLimit is how long after it was fetched a value may still be served
	// when it cannot be replaced.
	StaleLimit = time.Hour

	// FetchTimeout bounds one fetch of all secrets, the API client's own
	// retries included, unless [WithFetchTimeout] says otherwise. It leaves a
	// caller whose own time is short some of it to work with a stale value.
	FetchTimeout = 2 * time.Second
)

var (
	// ErrUnavailable says that Secrets Manager gave no document: it could not
	// be reached, did not answer in time, refused, or has no such secret.
	ErrUnavailable = errors.New("secret unavailable")

	// ErrMalformed says that a secret was read and is empty, or that its
	// document was refused by the parse function.
	ErrMalformed = errors.New("secret malformed")
)

// API is the one call of Secrets Manager that a [Cache] makes.
// *secretsmanager.Client has it.
type API interface {
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
}

// Cache serves the value of type T that its parse function made of one or
// several secrets. It is safe for concurrent use. Every caller gets the same
// value, so nobody may change it.
type Cache[T any] struct {
	api   API
	ids   []string
	parse func(docs [][]byte) (T, error)
	settings

	mu         sync.Mutex
	held       *holding[T] // the last good value; nil before the first
	failedAt   time.Time   // when the latest failed fetch began
	lastForced time.Time   // when the latest forced refresh began
	flight     *flight[T]  // the fetch under way, if any
}

// holding is one good value and how long it is good for.
type holding[T any] struct {
	value   T
	prints  []fingerprint
	fetched time.Time
	life    time.Duration
}

// fingerprint tells two versions of a secret apart without keeping its text.
type fingerprint struct {
	versionID string
	sum       [sha256.Size]byte
}

// flight is one fetch that several callers may wait for. Its results may be
// read once done is closed.
type flight[T any] struct {
	began        time.Time
	forced       bool
	forcedBefore time.Time // lastForced as it was, to be given back if the leader gives up

	done     chan struct{}
	orphaned bool // ended with its leader, before Secrets Manager answered
	value    T
	changed  bool
	err      error
}

type settings struct {
	now     func() time.Time
	int64n  func(n int64) int64
	logger  *slog.Logger
	observe func(err error, stale bool)
	timeout time.Duration
	life    time.Duration // the longest
}

// Option changes how a [Cache] works.
type Option func(*settings)

// WithClock makes the cache read the time from now instead of [time.Now].
func WithClock(now func() time.Time) Option {
	return func(s *settings) { s.now = now }
}

// WithRandom makes the cache draw lives with int64n, which returns a number in
// [0, n), instead of [rand.Int64N].
func WithRandom(int64n func(n int64) int64) Option {
	return func(s *settings) { s.int64n = int64n }
}

// WithLogger makes the cache report each failed fetch to logger, with the
// attributes "secret" (the secret's name), "reason" ("unavailable" or
// "malformed"), "error" and "stale" (whether an older value was served). What
// is in a secret is never logged, given a parse function whose errors hold
// none of it. Without this option nothing is logged.
func WithLogger(logger *slog.Logger) Option {
	return func(s *settings) { s.logger = logger }
}

// WithObserver makes the cache tell observe of each failed fetch that it would
// log: what it came to, which wraps [ErrUnavailable] or [ErrMalformed], and
// whether an older value was served.
func WithObserver(observe func(err error, stale bool)) Option {
	return func(s *settings) { s.observe = observe }
}

// WithFetchTimeout replaces [FetchTimeout].
func WithFetchTimeout(d time.Duration) Option {
	return func(s *settings) { s.timeout = d }
}

// WithLife makes values live shorter than [MaxLife], and the least of their
// lives than [MinLife] in proportion. It is for tests that wait for a life to
// end. A longer life than MaxLife is cut to it: a removed key would work on for
// longer than is promised.
func WithLife(longest time.Duration) Option {
	return func(s *settings) { s.life = min(longest, MaxLife) }
}

// New returns a cache of what parse makes of the secrets named ids. It fetches
// nothing: the first [Cache.Get] does.
//
// parse gets one document for each id, in the order of ids. It runs outside
// the cache's lock, never twice at a time, and not at all when a fetch brings
// the versions that are already held; where T is a pointer, equal pointers
// therefore mean unchanged secrets. Its errors must name fields, never values:
// they are logged and returned.
func New[T any](api API, ids []string, parse func(docs [][]byte) (T, error), opts ...Option) *Cache[T] {
	c := &Cache[T]{
		api:   api,
		ids:   slices.Clone(ids),
		parse: parse,
		settings: settings{
			now:     time.Now,
			int64n:  rand.Int64N,
			logger:  slog.New(slog.DiscardHandler),
			observe: func(error, bool) {},
			timeout: FetchTimeout,
			life:    MaxLife,
		},
	}
	for _, opt := range opts {
		opt(&c.settings)
	}
	return c
}

// Get returns the cached value while it lives, and otherwise fetches it or
// waits for the fetch that is under way. A value no older than [StaleLimit] is
// returned, without an error, whenever a newer one cannot be had, ctx ending
// included. The error wraps [ErrUnavailable] or [ErrMalformed], and ctx's
// error where it ended first.
func (c *Cache[T]) Get(ctx context.Context) (T, error) {
	v, _, err := c.load(ctx, false)
	return v, err
}

// Refresh fetches the value although the cached one may still live, for a
// caller that met a key or a vendor that the cached value lacks. A fetch that
// is under way is joined. A forced refresh begins at most once in
// [RetryInterval], whatever became of the one before; within that time Refresh
// does what [Cache.Get] does.
//
// changed reports that this call, or the fetch that it joined, brought another
// version of any of the secrets. A caller that read its value some time ago
// may hold an older one than was cached here; where T is a pointer it should
// compare v with what it holds instead. Errors are those of Get.
func (c *Cache[T]) Refresh(ctx context.Context) (v T, changed bool, err error) {
	return c.load(ctx, true)
}

func (c *Cache[T]) load(ctx context.Context, forced bool) (v T, changed bool, err error) {
	for {
		f, leads, held := c.board(forced)
		if f == nil {
			return held, false, nil
		}
		if leads {
			c.fly(ctx, f)
			return f.value, f.changed, f.err
		}
		select {
		case <-f.done:
			if f.orphaned {
				continue
			}
			return f.value, f.changed, f.err
		case <-ctx.Done():
			v, err := c.staleOr(fmt.Errorf("%w: %s: gave up waiting for the fetch: %w", ErrUnavailable, c.names(), ctx.Err()))
			return v, false, err
		}
	}
}

// board decides what a caller does: use the held value (f is nil), wait for
// the flight f, or lead it.
func (c *Cache[T]) board(forced bool) (f *flight[T], leads bool, held T) {
	now := c.wallClock()
	c.mu.Lock()
	defer c.mu.Unlock()

	if !c.due(now, forced) {
		return nil, false, c.held.value
	}
	if c.flight != nil {
		return c.flight, false, held
	}
	f = &flight[T]{began: now, done: make(chan struct{}), orphaned: true, forcedBefore: c.lastForced}
	if forced && !within(now, c.lastForced, RetryInterval) {
		f.forced = true
		c.lastForced = now
	}
	c.flight = f
	return f, true, held
}

// due reports whether a caller at now needs a fetch, its own or the one that
// is under way.
func (c *Cache[T]) due(now time.Time, forced bool) bool {
	if !c.held.usable(now) {
		return true
	}
	if !within(now, c.held.fetched, c.held.life) && !within(now, c.failedAt, RetryInterval) {
		return true
	}
	return forced && (c.flight != nil || !within(now, c.lastForced, RetryInterval))
}

// fly fetches and parses for everybody who waits for f, under the leader's ctx.
func (c *Cache[T]) fly(ctx context.Context, f *flight[T]) {
	defer c.land(f)

	next, err := c.fetch(ctx)
	if err != nil {
		c.fail(ctx, f, err)
		return
	}
	next.fetched = f.began

	c.mu.Lock()
	defer c.mu.Unlock()
	f.value, f.orphaned = next.value, false
	f.changed = c.held == nil || !slices.Equal(c.held.prints, next.prints)
	c.held = next
}

// land ends f for those who wait, whatever happened to it: a parse function
// that panics leaves an orphan, and the next of them takes over.
func (c *Cache[T]) land(f *flight[T]) {
	c.mu.Lock()
	c.flight = nil
	c.mu.Unlock()
	close(f.done)
}

// fail settles a flight that brought nothing. What ends because its leader
// cancelled says nothing about Secrets Manager: it is not reported and counts
// neither as a failed fetch nor as the forced refresh that it may have been.
// What ends because the leader's time ran out counts as both. Either way it is
// an orphan, and who still has time tries again.
func (c *Cache[T]) fail(ctx context.Context, f *flight[T], err error) {
	f.value, f.err = c.staleOr(err)
	f.orphaned = ctx.Err() != nil

	c.mu.Lock()
	if errors.Is(ctx.Err(), context.Canceled) {
		if f.forced {
			c.lastForced = f.forcedBefore
		}
		c.mu.Unlock()
		return
	}
	c.failedAt = f.began
	c.mu.Unlock()
	c.report(ctx, err, f.err == nil)
}

func (c *Cache[T]) report(ctx context.Context, err error, stale bool) {
	c.observe(err, stale)
	level, secret, reason := slog.LevelError, c.names(), "unavailable"
	if stale {
		level = slog.LevelWarn
	}
	if one, ok := errors.AsType[*fetchError](err); ok {
		secret = one.secret
	}
	if errors.Is(err, ErrMalformed) {
		reason = "malformed"
	}
	c.logger.LogAttrs(ctx, level, "secret not refreshed",
		slog.String("secret", secret),
		slog.String("reason", reason),
		slog.String("error", err.Error()),
		slog.Bool("stale", stale),
	)
}

// staleOr returns the held value while it may be served, and else err.
func (c *Cache[T]) staleOr(err error) (v T, _ error) {
	now := c.wallClock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held.usable(now) {
		return c.held.value, nil
	}
	return v, err
}

// fetch reads all secrets in parallel and parses them, unless they are the
// versions that are held already. Of several failures it returns the first in
// the order of the ids.
func (c *Cache[T]) fetch(ctx context.Context) (*holding[T], error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()

	docs := make([][]byte, len(c.ids))
	prints := make([]fingerprint, len(c.ids))
	errs := make([]error, len(c.ids))
	var wg sync.WaitGroup
	for i, id := range c.ids {
		wg.Go(func() { docs[i], prints[i], errs[i] = c.read(ctx, id) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}

	spread := c.life / (MaxLife / (MaxLife - MinLife))
	next := &holding[T]{prints: prints, life: c.life - spread + time.Duration(c.int64n(int64(spread)+1))}
	c.mu.Lock()
	held := c.held
	c.mu.Unlock()
	if held != nil && slices.Equal(held.prints, prints) {
		next.value = held.value
		return next, nil
	}
	v, err := c.parse(docs)
	if err != nil {
		return nil, &fetchError{secret: c.names(), kind: ErrMalformed, cause: err}
	}
	next.value = v
	return next, nil
}

func (c *Cache[T]) read(ctx context.Context, id string) ([]byte, fingerprint, error) {
	out, err := c.api.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId:     aws.String(id),
		VersionStage: aws.String("AWSCURRENT"),
	})
	if err != nil {
		return nil, fingerprint{}, &fetchError{secret: id, kind: ErrUnavailable, cause: withoutContent(err)}
	}
	doc := out.SecretBinary
	if out.SecretString != nil {
		doc = []byte(*out.SecretString)
	}
	if len(doc) == 0 {
		return nil, fingerprint{}, &fetchError{secret: id, kind: ErrMalformed, cause: errEmpty}
	}
	return doc, fingerprint{aws.ToString(out.VersionId), sha256.Sum256(doc)}, nil
}

func (c *Cache[T]) names() string { return strings.Join(c.ids, ",") }

// wallClock strips the monotonic reading, which stands still while a sandbox
// is frozen.
func (c *Cache[T]) wallClock() time.Time { return c.now().Round(0) }

// usable reports whether h may be served at now if nothing newer can be had. A
// clock that was set back makes a value's age negative and is given the same
// leeway.
func (h *holding[T]) usable(now time.Time) bool {
	return h != nil && now.Sub(h.fetched).Abs() <= StaleLimit
}

// within reports whether now lies in the time d that begins at since. A clock
// that was set back to before since ends it.
func within(now, since time.Time, d time.Duration) bool {
	age := now.Sub(since)
	return age >= 0 && age < d
}

// fetchError names the secret, or the secrets that were parsed together, that
// could not be had.
type fetchError struct {
	secret string
	kind   error // ErrUnavailable or ErrMalformed
	cause  error
}

func (e *fetchError) Error() string {
	return fmt.Sprintf("%v: %s: %v", e.kind, e.secret, e.cause)
}

func (e *fetchError) Unwrap() []error { return []error{e.kind, e.cause} }

var (
	errEmpty      = errors.New("it has no text")
	errUnreadable = errors.New("the answer of Secrets Manager could not be read")
)

// withoutContent replaces the error of an answer that the API client could not
// decode, because that error quotes the answer, by one that does not.
func withoutContent(err error) error {
	if _, broken := errors.AsType[*smithy.DeserializationError](err); broken {
		return errUnreadable
	}
	return err
}
