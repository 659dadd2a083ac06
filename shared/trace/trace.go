// Package trace carries one id through all that the gateway does for one request: from the vendor's call to the call to
// WeChat Pay, and from a callback over the queue to the vendor's webhook. The id stands in every log line on the way.
//
// It is W3C Trace Context's (https://www.w3.org/TR/trace-context/): a caller that sends a traceparent gives the id, and
// otherwise Lambda's X-Ray header does, whose ids are the same 32 digits. An id comes from outside and proves nothing: it
// finds log lines, and nothing is decided by it. What else a caller may send, a tracestate, goes no further.
package trace

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
	"strings"
)

// Header is the name of the header and of the queue's message attribute that carry a Trace.
const Header = "traceparent"

const (
	idDigits   = 32
	spanDigits = 16
	// length is that of a traceparent: version, id, span and flags with hyphens between them.
	length = 2 + 1 + idDigits + 1 + spanDigits + 1 + 2
)

// Trace is the id, and the span of it that is one function's work on one request or message.
type Trace struct {
	id, span string
	sampled  bool
}

// Begin returns the span of new work: in the trace of the traceparent if it is valid, else in that of the first valid
// X-Ray header, else in a new one.
func Begin(traceparent string, xray ...string) Trace {
	t, ok := parse(traceparent)
	for i := 0; !ok && i < len(xray); i++ {
		t, ok = parseXRay(xray[i])
	}
	if !ok {
		t.id = digits(rand.Uint64()) + digits(rand.Uint64())
	}
	t.span = digits(rand.Uint64())
	return t
}

// Valid reports whether a traceparent names a trace.
func Valid(traceparent string) bool {
	_, ok := parse(traceparent)
	return ok
}

// ID returns the trace's id, 32 hex digits.
func (t Trace) ID() string { return t.id }

// String returns the traceparent that makes the next one's work a child of this.
func (t Trace) String() string {
	if t.sampled {
		return "00-" + t.id + "-" + t.span + "-01"
	}
	return "00-" + t.id + "-" + t.span + "-00"
}

type contextKey struct{}

// With returns a context of work in t.
func With(ctx context.Context, t Trace) context.Context {
	return context.WithValue(ctx, contextKey{}, t)
}

// From returns the trace of the context's work, if it is in one.
func From(ctx context.Context) (Trace, bool) {
	t, ok := ctx.Value(contextKey{}).(Trace)
	return t, ok
}

// Lambda returns the X-Ray header of the invocation that ctx belongs to, "" outside of one.
func Lambda(ctx context.Context) string {
	header, _ := ctx.Value("x-amzn-trace-id").(string) // the key is aws-lambda-go's
	return header
}

// parse reads a traceparent of version 00, and of a later one what version 00 has of it.
func parse(s string) (Trace, bool) {
	if len(s) < length || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return Trace{}, false
	}
	version, id, span, flags := s[:2], s[3:35], s[36:52], s[53:55]
	later := version != "00" && len(s) > length && s[length] == '-'
	if len(s) != length && !later || version == "ff" || !isHex(version) || !isID(id) || !isID(span) || !isHex(flags) {
		return Trace{}, false
	}
	return Trace{id: id, span: span, sampled: strings.IndexByte("13579bdf", flags[1]) >= 0}, true
}

// parseXRay reads Root=1-5759e988-bd862e3fe1be46a994272793;Parent=…;Sampled=1, whose parts come in any order.
func parseXRay(s string) (t Trace, ok bool) {
	for part := range strings.SplitSeq(s, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Root":
			if len(value) != len("1-")+8+len("-")+24 || value[:2] != "1-" || value[10] != '-' {
				return Trace{}, false
			}
			t.id = value[2:10] + value[11:]
			ok = isID(t.id)
		case "Sampled":
			t.sampled = value == "1"
		}
	}
	if !ok {
		return Trace{}, false
	}
	return t, true
}

func digits(n uint64) string {
	var b [8]byte
	for i := range b {
		b[i] = byte(n >> (8 * i))
	}
	var text [2 * len(b)]byte
	hex.Encode(text[:], b[:])
	return string(text[:])
}

// isID tells whether s is hex digits, in lower case as the recommendation has them, and not all of them 0.
func isID(s string) bool { return isHex(s) && strings.Trim(s, "0") != "" }

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
