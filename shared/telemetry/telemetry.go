// Package telemetry writes what an operator may know of a request, and nothing else: one structured line for each
// request, of fields from a closed list, and metrics from another. A plate or an openid appears only as a hash keyed with the operator's own
// log_hash_key, by which a car's visit can be found again; a key, a secret, a body or a URL never appears.
package telemetry

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"

	"wechat-parking-gateway/shared/trace"
)

// Key is the name of a field that may be logged. The constants below are all of them: a record's other attributes are
// dropped on their way out, so that a careless call fails closed.
type Key string

// The fields of log lines.
const (
	RequestID   Key = "request_id"  // API Gateway's, which the caller sees as Request-Id
	TraceID     Key = "trace_id"    // see package trace; it is on every line of work that is in a trace
	Route       Key = "route"       // the template's route key, never the path
	VendorID    Key = "vendor_id"   // as configured; absent until the vendor is known
	WebhookID   Key = "webhook_id"  // the vendor's id of the fact
	Status      Key = "status"      // HTTP status answered, or a vendor's answer to an event
	Code        Key = "code"        // problem code answered
	Reason      Key = "reason"      // why a callback was refused, an event not delivered, or something of ours failed
	PlateHash   Key = "plate_hash"  // keyed hash, see Hash
	OpenIDHash  Key = "openid_hash" // keyed hash, see Hash
	EventID     Key = "event_id"    // evt_…
	EventType   Key = "event_type"  // the type as vendors see it
	Events      Key = "events"      // messages put on the queue
	Replayed    Key = "replayed"    // the answer was a stored one
	Tries       Key = "tries"       // calls made to WeChat Pay, or failed tries of an event so far
	MessageID   Key = "message_id"  // SQS's id of a received message
	Decision    Key = "decision"    // what became of a received message: delivered, delayed, parked, failed
	Delay       Key = "delay_s"     // seconds until an event is received again
	WeChatHTTP  Key = "wechatpay_http_status"
	WeChatCode  Key = "wechatpay_code"
	WeChatID    Key = "wechatpay_request_id" // WeChat Pay's Request-ID of its answer or callback
	SignSerial  Key = "wechatpay_serial"     // id of WeChat Pay's key that a message names: public, at most 64 characters
	Duration    Key = "duration_ms"
	Secret      Key = "secret" // name of a secret in Secrets Manager
	Error       Key = "error"  // what an AWS service or a parser of ours said; such errors carry no document
	Stale       Key = "stale"  // an older secret was served
	Panic       Key = "panic"
	Stack       Key = "stack"
	ServiceCall Key = "call" // the AWS action that failed

	// The platform certificates that a refresh has added and dropped, by their serial numbers with commas between, and the
	// days that those in use last.
	CertsAdded   Key = "certificates_added"
	CertsDropped Key = "certificates_dropped"
	DaysLeft     Key = "days_left"
)

var allowed = map[string]bool{
	string(RequestID): true, string(TraceID): true, string(WeChatID): true, string(Route): true, string(VendorID): true, string(WebhookID): true, string(Status): true,
	string(Code): true, string(Reason): true, string(PlateHash): true, string(OpenIDHash): true, string(EventID): true,
	string(EventType): true, string(Events): true, string(Replayed): true, string(Tries): true, string(WeChatHTTP): true,
	string(WeChatCode): true, string(SignSerial): true, string(Duration): true, string(Secret): true, string(Error): true, string(Stale): true, string(Panic): true,
	string(Stack): true, string(ServiceCall): true, string(MessageID): true, string(Decision): true, string(Delay): true,
	string(CertsAdded): true, string(CertsDropped): true, string(DaysLeft): true,
}

// NewLogger returns a logger that writes through next and drops every attribute whose key is not a Key above.
func NewLogger(next slog.Handler) *slog.Logger { return slog.New(allowList{next}) }

type allowList struct{ next slog.Handler }

func (h allowList) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h allowList) Handle(ctx context.Context, r slog.Record) error {
	kept := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if allowed[a.Key] {
			kept.AddAttrs(a)
		}
		return true
	})
	if t, ok := trace.From(ctx); ok {
		kept.AddAttrs(slog.String(string(TraceID), t.ID()))
	}
	return h.next.Handle(ctx, kept)
}

func (h allowList) WithAttrs(attrs []slog.Attr) slog.Handler {
	kept := make([]slog.Attr, 0, len(attrs))
	for _, a := range attrs {
		if allowed[a.Key] {
			kept = append(kept, a)
		}
	}
	return allowList{h.next.WithAttrs(kept)}
}

// WithGroup opens no group: every field has one name, at the top level.
func (h allowList) WithGroup(string) slog.Handler { return h }

// Line collects the fields of one request's log line, and its metrics. It is safe for concurrent use.
type Line struct {
	mu      sync.Mutex
	attrs   []slog.Attr
	samples []sample
	few     [4]sample // room for the samples that most requests have
}

type lineKey struct{}

// Begin returns a context in which Set, Count and Measure add to the returned Line.
func Begin(ctx context.Context) (context.Context, *Line) {
	l := &Line{attrs: make([]slog.Attr, 0, 16)}
	l.samples = l.few[:0]
	return context.WithValue(ctx, lineKey{}, l), l
}

// Set notes a field of the request's log line; an empty text is left out. Outside a request it does nothing.
func Set(ctx context.Context, key Key, value any) {
	l, ok := ctx.Value(lineKey{}).(*Line)
	if !ok || value == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.attrs {
		if l.attrs[i].Key == string(key) {
			l.attrs[i].Value = slog.AnyValue(value)
			return
		}
	}
	l.attrs = append(l.attrs, slog.Any(string(key), value))
}

// Write logs the line once, at the end of the request.
func (l *Line) Write(ctx context.Context, logger *slog.Logger, level slog.Level, message string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	logger.LogAttrs(ctx, level, message, l.attrs...)
}

// Hash returns 16 hex digits of HMAC-SHA256 of value under the operator's log_hash_key: enough to find a plate's lines,
// useless to whoever lacks the key. Without a key there is no hash at all, since plates are few enough to be guessed.
func Hash(key []byte, value string) string {
	if len(key) == 0 || value == "" {
		return ""
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(value))
	var sum [sha256.Size]byte
	mac.Sum(sum[:0])
	var text [16]byte
	hex.Encode(text[:], sum[:len(text)/2])
	return string(text[:])
}

// Reference returns an id that another gave to a message for its own records, for a log line: "" where it is anything but
// 1 to 64 of A-Z, a-z, 0-9, hyphen and underscore.
func Reference(id string) string {
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' {
			return ""
		}
	}
	if len(id) > 64 {
		return ""
	}
	return id
}

// PanicText says what panicked without its words, which may hold a part of a message, unless they are the runtime's own.
func PanicText(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

// Word is what an error of ours is called in a log line.
type Word struct {
	Err  error
	Text string
}

// Cause names what is known of a failed call to AWS without its message, which may repeat what was sent: the service's
// error code, or the first of words that fits, or how the call ended.
func Cause(err error, words ...Word) string {
	var coded interface{ ErrorCode() string }
	if errors.As(err, &coded) {
		return coded.ErrorCode()
	}
	for _, w := range words {
		if errors.Is(err, w.Err) {
			return w.Text
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "timed out"
	}
	return "unreachable"
}
