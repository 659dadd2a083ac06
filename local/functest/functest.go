// Package functest lets a function's handlers run inside a test: secrets and claims held in memory, WeChat Pay behind an
// http.RoundTripper without a socket, API Gateway's events and a vendor's signature made by hand, and a log that fails
// the test when anything stands in it that belongs in no log.
//
// Only tests may import it.
package functest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"wechat-parking-gateway/local/contract"
	"wechat-parking-gateway/local/emf"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/shared/idempotency"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/stdwebhook"
	"wechat-parking-gateway/shared/telemetry"
	"wechat-parking-gateway/shared/vendor"
)

// NewWorld returns a world of its own whose RSA keys are those of every other world of the test binary: making keys
// takes longer than any test.
func NewWorld(t testing.TB) *fixture.World {
	t.Helper()
	first, err := world()
	if err != nil {
		t.Fatal(err)
	}
	w := *first
	clone(t, &w.Merchant)
	clone(t, &w.MerchantKey)
	clone(t, &w.Vendors)
	w.WeChatPay.Merchants = slices.Clone(w.WeChatPay.Merchants)
	w.WeChatPay.APIv2Keys = slices.Clone(w.WeChatPay.APIv2Keys)
	w.WeChatPay.MerchantKeys = maps.Clone(w.WeChatPay.MerchantKeys)
	return &w
}

var world = sync.OnceValues(func() (*fixture.World, error) { return fixture.New(time.Now) })

func clone[T any](t testing.TB, v *T) {
	t.Helper()
	b := Document(t, v)
	var copied T
	if err := json.Unmarshal(b, &copied); err != nil {
		t.Fatal(err)
	}
	*v = copied
}

// Document returns the bytes of a secret.
func Document(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Private returns the words of w that must stand in no log line and no error: keys and secrets, plates and openids.
func Private(w *fixture.World) []string {
	words := []string{fixture.Plate, fixture.OpenID, w.Merchant.LogHashKey, w.MerchantKey.PrivateKey}
	words = append(words, w.Merchant.APIv2Keys...)
	words = append(words, w.Merchant.APIv3Keys...)
	for _, v := range w.Vendors.Vendors {
		words = append(words, v.RequestSecrets...)
		words = append(words, v.WebhookSecrets...)
	}
	return words
}

// Log takes a function's lines. When the test ends, none of the private words may stand in any.
type Log struct {
	mu      sync.Mutex
	out     bytes.Buffer
	metrics bytes.Buffer
	private []string
}

// NewLog returns a log in which none of private may stand, nor in the metrics beside it.
func NewLog(t testing.TB, private ...string) *Log {
	t.Helper()
	l := &Log{}
	l.Never(private...)
	t.Cleanup(func() {
		if leak := l.Leak(l.String()); leak != "" {
			t.Errorf("the log holds %q, which belongs in no log:\n%s", leak, l)
		}
		if leak := l.Leak(l.metrics.String()); leak != "" {
			t.Errorf("the metrics hold %q, which belongs in no metric:\n%s", leak, &l.metrics)
		}
	})
	return l
}

// Never adds private words. Of a word of several lines, such as PEM, each line counts.
func (l *Log) Never(private ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, word := range private {
		for line := range strings.Lines(word) {
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, "-----") {
				l.private = append(l.private, line)
			}
		}
	}
}

// Leak returns the first private word that stands in text, or "".
func (l *Log) Leak(text string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leak(text)
}

func (l *Log) leak(text string) string {
	for _, word := range l.private {
		if strings.Contains(text, word) {
			return word
		}
	}
	return ""
}

// Write takes a line.
func (l *Log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(line)
}

// String returns all lines.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.String()
}

// Take returns all lines and forgets them, for a fuzz target that fills the log without end.
func (l *Log) Take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.out.String()
	l.out.Reset()
	return lines
}

// Logger returns the functions' own logger, writing JSON lines to the log.
func (l *Log) Logger() *slog.Logger { return telemetry.NewLogger(slog.NewJSONHandler(l, nil)) }

// Meter returns a meter whose documents are kept beside the log's lines.
func (l *Log) Meter() *telemetry.Meter { return telemetry.NewMeter(documents{l}, time.Now, "function") }

type documents struct{ log *Log }

func (d documents) Write(document []byte) (int, error) {
	d.log.mu.Lock()
	defer d.log.mu.Unlock()
	return d.log.metrics.Write(document)
}

// Counted returns the sums of the metrics that were written since it was last asked, by their names, which for one with a
// reason is Name/reason. FirstAnswer and the durations, which tell of the machine, are left out.
func (l *Log) Counted(t testing.TB) map[string]int64 {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	sums := map[string]int64{}
	for line := range strings.Lines(l.metrics.String()) {
		values, err := emf.Read(line)
		if err != nil {
			t.Fatalf("CloudWatch would drop a document: %v: %s", err, line)
		}
		for _, v := range values {
			name := string(v.Metric)
			if v.Reason != "" {
				name += "/" + v.Reason
			}
			sums[name] += int64(v.Value)
		}
	}
	for d := range telemetry.Metrics() {
		if d.Unit == "Milliseconds" {
			delete(sums, string(d.Metric))
		}
	}
	if leak := l.leak(l.metrics.String()); leak != "" {
		t.Errorf("the metrics hold %q, which belongs in no metric:\n%s", leak, &l.metrics)
	}
	l.metrics.Reset()
	return sums
}

// Last returns the fields of the last line, as text.
func (l *Log) Last(t testing.TB) map[string]string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(l.String()), "\n")
	var fields map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &fields); err != nil {
		t.Fatalf("the last log line is no JSON: %v", err)
	}
	texts := make(map[string]string, len(fields))
	for name, v := range fields {
		texts[name] = fmt.Sprint(v)
	}
	return texts
}

// ErrDown is what things say that a test has switched off.
var ErrDown = errors.New("switched off by the test")

// Source is a cached secret without Secrets Manager: a value, an error instead, or a newer value that the next Refresh
// brings. It is not safe for concurrent use.
type Source[T any] struct {
	Value     T
	Err       error
	Next      *T
	Gets      int
	Refreshes int
}

// Get returns the value or the error.
func (s *Source[T]) Get(context.Context) (T, error) {
	s.Gets++
	return s.Value, s.Err
}

// Refresh brings the newer value, once.
func (s *Source[T]) Refresh(context.Context) (T, bool, error) {
	s.Refreshes++
	changed := s.Next != nil
	if changed {
		s.Value, s.Next = *s.Next, nil
	}
	return s.Value, changed, s.Err
}

// Merchant is the world's merchant document as the functions read it.
func Merchant(t testing.TB, w *fixture.World) *merchant.Merchant {
	t.Helper()
	return parse(t, merchant.Parse, w.Merchant)
}

// Key is the document with the private key.
func Key(t testing.TB, w *fixture.World) *merchant.Key {
	t.Helper()
	return parse(t, merchant.ParseKey, w.MerchantKey)
}

// Vendors is the vendors' document.
func Vendors(t testing.TB, w *fixture.World) *vendor.Directory {
	t.Helper()
	return parse(t, vendor.Parse, w.Vendors)
}

func parse[T any](t testing.TB, parse func([][]byte) (T, error), document any) T {
	t.Helper()
	v, err := parse([][]byte{Document(t, document)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Problem is application/problem+json as a caller reads it.
type Problem struct {
	Type, Title, Detail, Code string
	Status                    int
	RequestID                 string               `json:"request_id"`
	Errors                    []problem.FieldError `json:"errors"`
	WeChatPay                 *problem.WeChatPay   `json:"wechatpay"`
}

// Fields returns the errors as "pointer code", in their order.
func (p Problem) Fields() []string {
	var fields []string
	for _, e := range p.Errors {
		fields = append(fields, e.Pointer+" "+string(e.Code))
	}
	return fields
}

// WantProblem holds an answer to be the whole problem called code.
func WantProblem(t testing.TB, a Answer, code problem.Code) Problem {
	t.Helper()
	var p Problem
	if err := json.Unmarshal([]byte(a.Body), &p); err != nil {
		t.Fatalf("got %d %q, want the problem %s", a.Status, a.Body, code)
	}
	if p.Code != string(code) || a.Status != code.Status() || p.Status != a.Status {
		t.Fatalf("got %s with status %d, want %s with %d: %s", p.Code, a.Status, code, code.Status(), a.Body)
	}
	if p.Type != "about:blank" || p.Title != code.Title() || p.Detail == "" || p.RequestID != a.Header["Request-Id"] ||
		a.Header["Content-Type"] != problem.ContentType || a.Header["Request-Id"] == "" {
		t.Errorf("got %+v with %v, want type, title, detail and request id", p, a.Header)
	}
	return p
}

// Claims is the record of webhook-ids in memory: each id has one fingerprint and, once completed, one answer.
type Claims struct {
	ClaimErr, CompleteErr, ReleaseErr error
	// Calls are the calls that were made: claim, complete <status>, release.
	Calls []string
	// Keys are the keys that were claimed.
	Keys []idempotency.Key

	mu      sync.Mutex
	records map[idempotency.Key]*record
}

type record struct {
	fingerprint [32]byte
	claim       *idempotency.Claim
	answer      *idempotency.Answer
}

// Claim claims key, replays its answer or says why not.
func (c *Claims) Claim(_ context.Context, key idempotency.Key, fingerprint [32]byte, _ time.Time) (idempotency.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Calls, c.Keys = append(c.Calls, "claim"), append(c.Keys, key)
	if c.ClaimErr != nil {
		return idempotency.Result{}, c.ClaimErr
	}
	switch r := c.records[key]; {
	case r == nil:
		if c.records == nil {
			c.records = make(map[idempotency.Key]*record)
		}
		c.records[key] = &record{fingerprint: fingerprint, claim: new(idempotency.Claim)}
		return idempotency.Result{Outcome: idempotency.Claimed, Claim: c.records[key].claim}, nil
	case r.fingerprint != fingerprint:
		return idempotency.Result{Outcome: idempotency.Mismatch}, nil
	case r.answer != nil:
		return idempotency.Result{Outcome: idempotency.Replay, Answer: *r.answer}, nil
	}
	return idempotency.Result{Outcome: idempotency.Running, RetryAfter: 7 * time.Second}, nil
}

// Complete keeps an answer.
func (c *Claims) Complete(_ context.Context, claim *idempotency.Claim, answer idempotency.Answer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Calls = append(c.Calls, "complete "+strconv.Itoa(answer.Status))
	if c.CompleteErr != nil {
		return c.CompleteErr
	}
	for _, r := range c.records {
		if r.claim == claim {
			r.answer = &answer
		}
	}
	return nil
}

// Release frees an id.
func (c *Claims) Release(_ context.Context, claim *idempotency.Claim) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Calls = append(c.Calls, "release")
	if c.ReleaseErr != nil {
		return c.ReleaseErr
	}
	maps.DeleteFunc(c.records, func(_ idempotency.Key, r *record) bool { return r.claim == claim })
	return nil
}

// Event is an HTTP API's event of payload format 2.0.
type Event struct {
	Route, RequestID, Domain string
	Path, Header             map[string]string
	Body                     string
	Base64                   bool
}

// JSON returns the event as Lambda gets it.
func (e Event) JSON(t testing.TB) []byte {
	t.Helper()
	method, _, _ := strings.Cut(e.Route, " ")
	return Document(t, map[string]any{
		"version": "2.0", "routeKey": e.Route, "rawPath": "/stage/not/to/be/read", "rawQueryString": "",
		"headers": e.Header, "pathParameters": e.Path, "body": e.Body, "isBase64Encoded": e.Base64,
		"requestContext": map[string]any{
			"requestId": e.RequestID, "domainName": e.Domain, "stage": "$default",
			"http": map[string]string{"method": method, "path": "/stage/not/to/be/read"},
		},
	})
}

// Answer is a payload 2.0 response.
type Answer struct {
	Status int               `json:"statusCode"`
	Header map[string]string `json:"headers"`
	Body   string            `json:"body"`
}

// Invoke hands an event to a function and reads its answer. An exchange that the contract does not have fails the test; while
// a target is being fuzzed it is not looked at, since its validator's branches would draw the fuzzing to themselves, at a
// thousandth of the speed.
func Invoke(ctx context.Context, t testing.TB, f interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}, e Event) Answer {
	t.Helper()
	a := Run(ctx, t, f, e)
	if !fuzzing() {
		checkContract(t, e, a)
	}
	return a
}

// Run is Invoke for handlers and routes that are made up, of which the contract knows nothing.
func Run(ctx context.Context, t testing.TB, f interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}, e Event) Answer {
	t.Helper()
	b, err := f.Invoke(ctx, e.JSON(t))
	if err != nil {
		t.Fatal(err)
	}
	var a Answer
	if err := json.Unmarshal(b, &a); err != nil {
		t.Fatalf("the answer is no JSON: %v: %s", err, b)
	}
	return a
}

// fuzzing tells whether go test was asked to fuzz. What a fuzz target begins with runs in every test besides.
func fuzzing() bool {
	asked := flag.Lookup("test.fuzz")
	return asked != nil && asked.Value.String() != ""
}

func checkContract(t testing.TB, e Event, a Answer) {
	t.Helper()
	c, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(e.Body)
	if e.Base64 {
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Check(contract.Exchange{
		Route: e.Route, Path: e.Path, Header: header(e.Header), Body: body,
		Status: a.Status, Answered: header(a.Header), Answer: []byte(a.Body),
	}); err != nil {
		t.Error(err)
	}
}

func header(values map[string]string) http.Header {
	h := make(http.Header, len(values))
	for name, value := range values {
		h.Add(name, value)
	}
	return h
}

// SignedHeader returns a vendor's headers for body, signed at the given moment.
func SignedHeader(t testing.TB, secret, id string, at time.Time, body string) map[string]string {
	t.Helper()
	parsed, err := stdwebhook.ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"content-type":      "application/json",
		"webhook-id":        id,
		"webhook-timestamp": strconv.FormatInt(at.Unix(), 10),
		"webhook-signature": stdwebhook.Sign(id, at, []byte(body), []stdwebhook.Secret{parsed}),
	}
}

// Vary returns fields with up to three of them replaced by one of their options, where nil leaves a field out. One seed
// gives one variation.
func Vary(seed uint64, fields map[string]any, options map[string][]any) map[string]any {
	random := rand.New(rand.NewPCG(1, seed))
	varied, names := maps.Clone(fields), slices.Sorted(maps.Keys(options))
	for range random.IntN(4) {
		name := names[random.IntN(len(names))]
		if varied[name] = options[name][random.IntN(len(options[name]))]; varied[name] == nil {
			delete(varied, name)
		}
	}
	return varied
}

// Transport carries requests to h in this process. A handler that aborts, as one does that resets its connection, leaves
// the client without an answer.
func Transport(h http.Handler) http.RoundTripper { return transport{h} }

type transport struct{ handler http.Handler }

func (t transport) RoundTrip(req *http.Request) (res *http.Response, err error) {
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	// The body was read to its end; there is nothing that closing could say.
	_ = req.Body.Close()
	served := httptest.NewRequestWithContext(req.Context(), req.Method, req.URL.RequestURI(), bytes.NewReader(body))
	served.Host, served.Header = req.URL.Host, req.Header.Clone()
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				panic(p)
			}
			res, err = nil, errors.Join(io.ErrUnexpectedEOF, req.Context().Err())
		}
	}()
	recorder := httptest.NewRecorder()
	t.handler.ServeHTTP(recorder, served)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return recorder.Result(), nil
}

// Forgetful claims every id and keeps nothing, for benchmarks whose every request is a new one.
type Forgetful struct{}

// Claim claims key.
func (Forgetful) Claim(context.Context, idempotency.Key, [32]byte, time.Time) (idempotency.Result, error) {
	return idempotency.Result{Outcome: idempotency.Claimed, Claim: &idempotency.Claim{}}, nil
}

// Complete keeps nothing.
func (Forgetful) Complete(context.Context, *idempotency.Claim, idempotency.Answer) error { return nil }

// Release frees nothing.
func (Forgetful) Release(context.Context, *idempotency.Claim) error { return nil }

// Echo answers every request as next answered the first, for benchmarks in which WeChat Pay costs nothing. The answer's
// signature is good for as long as its time is.
type Echo struct {
	next  http.RoundTripper
	once  sync.Once
	first *http.Response
	body  []byte
	err   error
}

// NewEcho returns an Echo of next.
func NewEcho(next http.RoundTripper) *Echo { return &Echo{next: next} }

// RoundTrip answers as http.RoundTripper says.
func (e *Echo) RoundTrip(req *http.Request) (*http.Response, error) {
	e.once.Do(func() {
		if e.first, e.err = e.next.RoundTrip(req); e.err == nil {
			e.body, e.err = io.ReadAll(e.first.Body)
		}
	})
	if e.err != nil {
		return nil, e.err
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: e.first.StatusCode, Header: e.first.Header, Body: io.NopCloser(bytes.NewReader(e.body))}, nil
}

// Quiet is the functions' own logger with nowhere to write: a line costs what it costs and is gone.
func Quiet() *slog.Logger { return telemetry.NewLogger(slog.NewJSONHandler(io.Discard, nil)) }

// Benchmark returns a func that hands payload to a function and fails unless it answers with status.
func Benchmark(ctx context.Context, f interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}, payload []byte, status int,
) func() error {
	want := fmt.Appendf(nil, `"statusCode":%d`, status)
	return func() error {
		answer, err := f.Invoke(ctx, payload)
		if err != nil {
			return err
		}
		if !bytes.Contains(answer, want) {
			return fmt.Errorf("got %s, want the status %d", answer, status)
		}
		return nil
	}
}

// AtDepth runs f deeper in the stack by n frames of some 100 bytes. How long an RSA signature takes depends, by up to a
// tenth, on where in its page of memory the stack happens to lie: a benchmark that is to be compared with another one runs
// at each of Depths in turn.
func AtDepth(n int, f func() error) error {
	var frame [64]byte
	frame[n%len(frame)] = 1
	if n == 0 {
		return f()
	}
	err := AtDepth(n-1, f)
	if frame[n%len(frame)] == 0 { // keeps the frame
		panic("the stack was overwritten")
	}
	return err
}

// Depths is how many depths of AtDepth go round a page of memory.
const Depths = 40
