package wechatpay

import (
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// codes maps WeChat Pay's error codes of both versions to what they mean to the gateway. A code that is not listed is
// judged by its HTTP status (V3), or is a refusal (V2): unknown codes are taken for permanent.
var codes = map[string]Kind{
	"SIGN_ERROR": SignatureRejected,
	"SIGNERROR":  SignatureRejected,

	"NO_AUTH":           NoPermission,
	"NOAUTH":            NoPermission,
	"PERMISSION_DENIED": NoPermission,

	"RATELIMIT_EXCEEDED":  RateLimited,
	"RATELIMIT_EXCEED":    RateLimited,
	"RATE_LIMITED":        RateLimited,
	"FREQUENCY_LIMITED":   RateLimited,
	"FREQUENCY_LIMIT":     RateLimited,
	"FREQ_LIMIT":          RateLimited,
	"SYSTEM_ERROR":        Unavailable,
	"SYSTEMERROR":         Unavailable,
	"SERVICE_UNAVAILABLE": Unavailable,
}

// messages maps what V2 says in words where it gives no code that says it (return_msg of an unsigned FAIL, and the
// err_code_des of INVALID_REQUEST, under which "Permission denied" has been seen).
var messages = []struct {
	part string
	kind Kind
}{
	{"签名", SignatureRejected},
	{"Permission denied", NoPermission},
	{"权限", NoPermission},
	{"频率", RateLimited},
	{"SYSTEMERROR", Unavailable},
	{"SYSTEM_ERROR", Unavailable},
	{"系统", Unavailable},
}

// refusalV3 judges a V3 answer that is not a success.
func refusalV3(r reply, code, message string) *Error {
	e := &Error{Kind: statusKind(r.status), HTTPStatus: r.status, Code: cleanCode(code), Message: cleanMessage(message)}
	// A 401 is about our signature whatever its code; otherwise the code says more than the status.
	if kind, ok := codes[e.Code]; ok && r.status != http.StatusUnauthorized {
		e.Kind = kind
	}
	if e.Kind == RateLimited {
		e.RetryAfter = retryAfter(r.header)
	}
	return e
}

// refusalV2 judges a V2 answer that says FAIL: with err_code and err_code_des, or with return_msg alone.
func refusalV2(r reply, code, message string) *Error {
	e := &Error{Kind: kindV2(code, message), HTTPStatus: r.status, Code: cleanCode(code), Message: cleanMessage(message)}
	if e.Kind == RateLimited {
		e.RetryAfter = retryAfter(r.header)
	}
	return e
}

// kindV2 goes by the code, then by a message that is a code, then by words in the message.
func kindV2(code, message string) Kind {
	for _, c := range []string{code, message} {
		if kind, ok := codes[c]; ok {
			return kind
		}
	}
	if code != "" && code != "INVALID_REQUEST" {
		return Refused // the words beside another code only explain it
	}
	for _, m := range messages {
		if strings.Contains(message, m.part) {
			return m.kind
		}
	}
	return Refused
}

// statusKind judges an HTTP status that is not a success.
func statusKind(status int) Kind {
	switch {
	case status == http.StatusUnauthorized:
		return SignatureRejected
	case status == http.StatusForbidden:
		return NoPermission
	case status == http.StatusTooManyRequests:
		return RateLimited
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout:
		return Refused
	default:
		// 5xx; 408; 202, which asks for the same request again; redirects, which are never followed.
		return Unavailable
	}
}

// retryAfter reads a Retry-After in seconds.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds <= 0 {
		return rateLimitDelay
	}
	return time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
}

// cleanCode lets a code pass only when it is one: 1 to 32 of A-Z and _.
func cleanCode(code string) string {
	if len(code) > 32 || strings.ContainsFunc(code, func(r rune) bool { return r != '_' && (r < 'A' || r > 'Z') }) {
		return ""
	}
	return code
}

// cleanMessage drops control characters and cuts a message at a character's border.
func cleanMessage(message string) string {
	message = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, message)
	if len(message) <= maxMessage {
		return message
	}
	cut := maxMessage
	for !utf8.RuneStart(message[cut]) {
		cut--
	}
	return message[:cut]
}
