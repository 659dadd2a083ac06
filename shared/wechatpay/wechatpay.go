// Package wechatpay speaks WeChat Pay's parking interfaces in WeChat Pay's own terms: the V3 call that reports a member's
// parking state (商圈会员停车状态同步), the V2 call that reports a car's entry (用户入场通知), and the callbacks that come
// back. It signs with package signing, trusts an answer only when its signature verifies, and retries as long as the
// budget of a call lasts.
//
// Sources: https://pay.weixin.qq.com/doc/v3/merchant/4012535502 (V3 call), https://pay.weixin.qq.com/doc/v2/partner/4011988204
// and https://pay.weixin.qq.com/doc/v2/merchant/4011985272 (V2 call), https://pay.weixin.qq.com/doc/v2/merchant/4011987424
// (V2 callback), https://pay.weixin.qq.com/docs/merchant/development/interface-rules/signature-verification.html.
package wechatpay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"wechat-parking-gateway/shared/preconnect"
	"wechat-parking-gateway/shared/telemetry"
	"wechat-parking-gateway/shared/trace"
)

// The hosts of WeChat Pay; both are named by the V3 page.
const (
	DefaultBaseURL   = "https://api.mch.weixin.qq.com"
	DefaultBackupURL = "https://api2.mch.weixin.qq.com"
)

// BackupFor returns the backup host for a base URL where none is set: WeChat Pay's own for WeChat Pay's own, and for a
// stand-in the stand-in itself, so that what is meant for a test never reaches the real one.
func BackupFor(baseURL string) string {
	if baseURL == DefaultBaseURL {
		return DefaultBackupURL
	}
	return baseURL
}

// How long a call may take.
const (
	callBudget     = 8 * time.Second        // all tries of a call
	tryBudget      = 3 * time.Second        // one try, from dialling to the last byte of the answer
	connectBudget  = time.Second            // connecting, and the TLS handshake
	afterwards     = time.Second            // left of the invocation when a call gives up, for what follows it
	maxTries       = 3                      // "2-3 tries" is WeChat Pay's advice for SYSTEM_ERROR
	backoff        = 200 * time.Millisecond // doubled for each further try, full jitter
	maxIdle        = 20 * time.Second       // a connection idle for longer is not used again
	maxAnswer      = 64 << 10               // bytes of an answer's body
	userAgent      = "wechat-parking-gateway"
	maxMessage     = 256 // bytes of WeChat Pay's message that go on to the caller
	maxRetryAfter  = time.Hour
	rateLimitDelay = 5 * time.Second // Retry-After where WeChat Pay gives none
)

// Kind is what became of a call that did not succeed.
type Kind int

// The kinds. Unknown alone says that WeChat Pay may have acted.
const (
	Refused           Kind = iota + 1 // a parameter or the business was refused; the same call will be refused again
	NoPermission                      // the merchant may not use this product
	RateLimited                       // too many calls
	SignatureRejected                 // WeChat Pay does not accept our signature: key, serial number or clock
	Unavailable                       // WeChat Pay is out, or nothing could be sent
	Unverified                        // a success came whose signature does not verify
	Unknown                           // something was sent and no complete answer came
)

var kindText = map[Kind]string{
	Refused: "refused", NoPermission: "no permission", RateLimited: "rate limited", SignatureRejected: "signature rejected",
	Unavailable: "unavailable", Unverified: "answer not verified", Unknown: "outcome unknown",
}

// outcomes are the metrics of calls that did not succeed. Answers that do not verify are counted one by one.
var outcomes = map[Kind]telemetry.Metric{
	Refused: telemetry.WeChatPayRefused, NoPermission: telemetry.WeChatPayNoPermission,
	RateLimited: telemetry.WeChatPayRateLimited, SignatureRejected: telemetry.WeChatPayRejectedOurSignature,
	Unavailable: telemetry.WeChatPayUnavailable, Unknown: telemetry.WeChatPayOutcomeUnknown,
}

// Error is a call's failure. Code and Message are WeChat Pay's own, cleaned and capped; they are not verified facts.
type Error struct {
	Kind       Kind
	HTTPStatus int // of the last complete answer, 0 where none came
	Code       string
	Message    string
	RetryAfter time.Duration // for RateLimited

	cause error // of an answer that was not taken
}

// Unwrap returns why an answer was not taken, where that is known.
func (e *Error) Unwrap() error { return e.cause }

// Error names the kind and the code, never the message, which may repeat what was sent.
func (e *Error) Error() string {
	if e.cause != nil {
		return "wechatpay: " + kindText[e.Kind] + ": " + e.cause.Error()
	}
	if e.Code != "" {
		return "wechatpay: " + kindText[e.Kind] + ": " + e.Code
	}
	return "wechatpay: " + kindText[e.Kind]
}

// Client calls WeChat Pay. It is safe for concurrent use.
type Client struct {
	BaseURL   string // https://host, without a slash at the end
	BackupURL string // for V3, from the second try on
	Transport http.RoundTripper
	Now       func() time.Time
	Random    io.Reader // for nonces
}

// NewTransport returns the connections to WeChat Pay: TLS always verified, no proxy, no redirects followed, nothing
// decompressed (a signature covers the bytes as sent). A connection that has been idle for 20 s by the wall clock is not
// used again: a sandbox that was frozen wakes with connections that are dead, and net/http does not repeat a POST.
func NewTransport(now func() time.Time) *Transport {
	dialer := &preconnect.Dialer{Timeout: connectBudget, MaxIdle: maxIdle, Now: now}
	return &Transport{
		now:    now,
		dialer: dialer,
		http: &http.Transport{
			DialContext:            dialer.DialContext,
			DialTLSContext:         dialer.DialTLSContext,
			DisableCompression:     true,
			MaxIdleConnsPerHost:    4,
			IdleConnTimeout:        maxIdle,
			MaxResponseHeaderBytes: 32 << 10,
		},
	}
}

// Transport is the connections to WeChat Pay. It drops idle ones by the wall clock, since the timers of net/http stand
// still in a frozen sandbox.
type Transport struct {
	http   *http.Transport
	dialer *preconnect.Dialer
	now    func() time.Time
	mu     sync.Mutex
	used   time.Time
}

// Connect opens a connection to the host of baseURL for the first call to take. In the init phase it spares that call the
// handshake; where it fails, the call connects by itself.
func (t *Transport) Connect(ctx context.Context, baseURL string) error {
	return t.dialer.Open(ctx, baseURL)
}

// RoundTrip sends a request, as http.RoundTripper says.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	// Round(0) strips the monotonic reading, which may stop with the sandbox.
	now := t.now().Round(0)
	t.mu.Lock()
	idle := now.Sub(t.used)
	t.used = now
	t.mu.Unlock()
	if idle >= maxIdle || idle < 0 {
		t.http.CloseIdleConnections()
	}
	return t.http.RoundTrip(req)
}

// reply is a complete answer of WeChat Pay.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// errNotSent marks a transport failure before any byte could leave.
var errNotSent = errors.New("wechatpay: not sent")

// send makes one try and reads the whole answer.
func (c *Client) send(ctx context.Context, req *http.Request) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, tryBudget)
	defer cancel()
	connected := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
	res, err := c.Transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		if !connected {
			return reply{}, errNotSent
		}
		return reply{}, err
	}
	defer res.Body.Close()
	telemetry.Set(ctx, telemetry.WeChatID, telemetry.Reference(res.Header.Get("Request-Id")))
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return reply{}, err
	}
	if len(body) > maxAnswer {
		return reply{}, errors.New("wechatpay: the answer is too large")
	}
	return reply{status: res.StatusCode, header: res.Header, body: body}, nil
}

// attempt makes the n-th try (from 0) of a call. A nil error is a success; again says that a failure is worth another try.
type attempt func(ctx context.Context, n int) (again bool, err *Error)

// call makes a call and counts what came of it.
func (c *Client) call(ctx context.Context, try attempt) error {
	began := c.Now()
	err := c.retry(ctx, try)
	telemetry.Measure(ctx, telemetry.WeChatPayDuration, c.Now().Sub(began).Milliseconds())
	var failure *Error
	switch {
	case err == nil:
		telemetry.Count(ctx, telemetry.WeChatPaySucceeded)
	case errors.As(err, &failure):
		telemetry.Count(ctx, outcomes[failure.Kind])
	}
	return err
}

// retry makes tries until one settles the call, the tries are used up or the budget is. The failure is the last try's,
// except that one try without an answer makes the outcome unknown where nothing later settled it.
func (c *Client) retry(ctx context.Context, try attempt) error {
	ctx, cancel := withBudget(ctx)
	defer cancel()
	var last *Error
	unknown := false
	for n := range maxTries {
		if n > 0 && !pause(ctx, n) {
			break
		}
		if ctx.Err() != nil {
			break
		}
		telemetry.Set(ctx, telemetry.Tries, n+1)
		again, err := try(ctx, n)
		if err == nil {
			return nil
		}
		last = err
		if err.Kind == Unverified {
			telemetry.Count(ctx, telemetry.WeChatPayUnverified)
		}
		unknown = unknown || err.Kind == Unknown
		if !again {
			return err
		}
	}
	switch {
	case last == nil:
		return &Error{Kind: Unavailable}
	case unknown && last.Kind == Unavailable:
		last.Kind = Unknown
	}
	return last
}

// withBudget bounds a call by its own budget and by what is left of the invocation.
func withBudget(ctx context.Context) (context.Context, context.CancelFunc) {
	budget := callBudget
	if deadline, ok := ctx.Deadline(); ok {
		budget = min(budget, time.Until(deadline)-afterwards)
	}
	return context.WithTimeout(ctx, budget)
}

// pause waits before try n, for a time drawn from [0, backoff·2^(n-1)), and tells whether the budget still allows a try.
func pause(ctx context.Context, n int) bool {
	timer := time.NewTimer(rand.N(backoff << (n - 1)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// transportError is the failure of a try that brought no complete answer.
func transportError(err error) *Error {
	if errors.Is(err, errNotSent) {
		return &Error{Kind: Unavailable}
	}
	return &Error{Kind: Unknown}
}

// newRequest builds a request whose body is body.
func newRequest(ctx context.Context, method, url string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	// Without GetBody net/http never repeats the request behind our back: each try carries a signature of its own.
	req.GetBody = nil
	req.Header.Set("User-Agent", userAgent)
	if t, ok := trace.From(ctx); ok {
		req.Header.Set(trace.Header, t.String())
	}
	return req, nil
}
