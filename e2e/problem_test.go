//go:build e2e

package e2e

import (
	"mime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// The contract's closed lists, written down a second time: this file checks what is answered and imports nothing that
// makes the answers.
var (
	statusOfCode = map[string]int{
		"malformed_json": 400, "duplicate_key": 400, "wrong_type": 400,
		"missing_header": 401, "malformed_header": 401, "timestamp_out_of_range": 401, "not_authenticated": 401,
		"vendor_disabled": 403, "merchant_not_allowed": 403, "wechatpay_no_permission": 403,
		"in_progress": 409, "body_too_large": 413, "unsupported_media_type": 415,
		"invalid_fields": 422, "merchant_ambiguous": 422, "idempotency_mismatch": 422, "wechatpay_refused": 422,
		"wechatpay_rate_limited": 429, "wechatpay_unverified": 502, "wechatpay_rejected_our_signature": 502,
		"wechatpay_unavailable": 503, "gateway_unavailable": 503, "outcome_unknown": 504,
	}
	titleOfStatus = map[int]string{
		400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 409: "Conflict", 413: "Content Too Large",
		415: "Unsupported Media Type", 422: "Unprocessable Content", 429: "Too Many Requests", 502: "Bad Gateway",
		503: "Service Unavailable", 504: "Gateway Timeout",
	}
	fieldCodes = []string{
		"required", "unknown_field", "too_long", "bad_value", "not_in_this_scene", "config_mismatch", "plate_malformed",
		"plate_unsupported", "time_malformed", "time_in_future",
	}
	// Codes whose cause may be an answer of WeChat Pay's, which is then told.
	wechatPayCodes = []string{
		"wechatpay_no_permission", "wechatpay_refused", "wechatpay_rate_limited", "wechatpay_unverified",
		"wechatpay_rejected_our_signature", "wechatpay_unavailable", "outcome_unknown",
	}
	// What is internal, in lower case, and stands in no answer.
	internalWords = []string{
		"arn:", "amazon", "aws", "dynamodb", "secretsmanager", "secrets manager", "lambda", "goroutine", ".go:", "panic",
		"127.0.0.1", "pub_key_id", "whsec_", "-----begin", "<nil>", "%!",
	}
)

// problemDocument is an application/problem+json body, with every member that there may be.
type problemDocument struct {
	Type      *string         `json:"type"`
	Title     *string         `json:"title"`
	Status    *int            `json:"status"`
	Detail    *string         `json:"detail"`
	Code      *string         `json:"code"`
	RequestID *string         `json:"request_id"`
	Errors    *[]problemField `json:"errors"`
	WeChatPay *problemOfTheir `json:"wechatpay"`
}

type problemField struct {
	Pointer *string `json:"pointer"`
	Code    *string `json:"code"`
	Detail  *string `json:"detail"`
}

type problemOfTheir struct {
	HTTPStatus *int    `json:"http_status"`
	Code       *string `json:"code"`
	Message    *string `json:"message"`
}

// checkProblem holds an answer against the contract of problem details, down to the last member, and returns it. A stored
// answer that is replayed carries the id of the request that it first answered.
func checkProblem(t *testing.T, a answer) problemDocument {
	t.Helper()
	if mediaType, _, err := mime.ParseMediaType(a.header.Get("Content-Type")); err != nil || mediaType != "application/problem+json" {
		t.Fatalf("got status %d with Content-Type %q, want application/problem+json: %s", a.status, a.header.Get("Content-Type"), a.body)
	}
	var p problemDocument
	// The decoder refuses duplicates, names in other letters and broken UTF-8 by itself.
	if err := json.Unmarshal(a.body, &p, json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("the problem is not of the documented form: %v: %s", err, a.body)
	}
	if p.Type == nil || p.Title == nil || p.Status == nil || p.Detail == nil || p.Code == nil || p.RequestID == nil {
		t.Fatalf("a required member of the problem is missing: %s", a.body)
	}
	suite.seen.met("code", *p.Code)
	want, known := statusOfCode[*p.Code]
	replayed := a.header.Get("Idempotency-Replayed") == "true"
	switch {
	case !known:
		t.Errorf("got code %q, which is not in the list", *p.Code)
	case a.status != want || *p.Status != want:
		t.Errorf("%s: got HTTP status %d and status %d, want %d", *p.Code, a.status, *p.Status, want)
	case *p.Type != "about:blank" || *p.Title != titleOfStatus[want]:
		t.Errorf("%s: got type %q and title %q, want about:blank and %q", *p.Code, *p.Type, *p.Title, titleOfStatus[want])
	case !replayed && (a.requestID() == "" || *p.RequestID != a.requestID()):
		t.Errorf("%s: got request_id %q, want that of the header, %q", *p.Code, *p.RequestID, a.requestID())
	}
	checkSentence(t, *p.Detail)
	checkFields(t, p)
	checkRetryAfter(t, a, want)
	if p.WeChatPay != nil {
		checkTheirs(t, p)
	}
	if found := suite.private.in(string(a.body)); p.WeChatPay == nil && len(found) > 0 {
		t.Errorf("%s: the answer repeats %q", *p.Code, found)
	}
	// The id is random letters, among which any word may stand.
	words := strings.ToLower(strings.Replace(string(a.body), *p.RequestID, "", 1))
	for _, word := range internalWords {
		if strings.Contains(words, word) {
			t.Errorf("%s: the answer holds %q, which is internal: %s", *p.Code, word, a.body)
		}
	}
	return p
}

func checkSentence(t *testing.T, s string) {
	t.Helper()
	if len(s) < 10 || !strings.HasSuffix(s, ".") || strings.ContainsAny(s, "\n\r\t") {
		t.Errorf("got the detail %q, want one or two plain sentences", s)
	}
}

func checkFields(t *testing.T, p problemDocument) {
	t.Helper()
	if (*p.Code == "invalid_fields") != (p.Errors != nil) {
		t.Errorf("%s: errors stand with invalid_fields and only there", *p.Code)
	}
	if p.Errors == nil {
		return
	}
	if len(*p.Errors) == 0 {
		t.Error("got no errors, want at least one")
	}
	for _, e := range *p.Errors {
		if e.Pointer == nil || e.Code == nil || e.Detail == nil {
			t.Fatal("a required member of an error is missing")
		}
		suite.seen.met("field code", *e.Code)
		if !strings.HasPrefix(*e.Pointer, "/") {
			t.Errorf("got pointer %q, want a JSON pointer", *e.Pointer)
		}
		if !slices.Contains(fieldCodes, *e.Code) {
			t.Errorf("got field code %q, which is not in the list", *e.Code)
		}
		checkSentence(t, *e.Detail)
	}
}

func checkTheirs(t *testing.T, p problemDocument) {
	t.Helper()
	w := p.WeChatPay
	if !slices.Contains(wechatPayCodes, *p.Code) {
		t.Errorf("%s: got the member wechatpay, which it does not have", *p.Code)
	}
	if w.HTTPStatus == nil || *w.HTTPStatus < 200 || *w.HTTPStatus > 599 {
		t.Errorf("%s: wechatpay has no http_status", *p.Code)
	}
	if w.Code != nil && (*w.Code == "" || len(*w.Code) > 32 || strings.Trim(*w.Code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "") {
		t.Errorf("%s: got wechatpay.code %q, want 1 to 32 of A-Z and _", *p.Code, *w.Code)
	}
	if w.Message != nil && (*w.Message == "" || len(*w.Message) > 512) {
		t.Errorf("%s: got a wechatpay.message of %d bytes", *p.Code, len(*w.Message))
	}
}

func checkRetryAfter(t *testing.T, a answer, status int) {
	t.Helper()
	text := a.header.Get("Retry-After")
	seconds, err := strconv.Atoi(text)
	wanted := status == 409 || status == 429 || status == 503
	switch {
	case wanted && (err != nil || seconds <= 0 || seconds > 3600):
		t.Errorf("status %d: got Retry-After %q, want seconds", status, text)
	case !wanted && text != "":
		t.Errorf("status %d: got Retry-After %q, want none", status, text)
	}
}
