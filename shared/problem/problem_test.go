package problem

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
)

func TestCodes(t *testing.T) {
	tests := []struct {
		code   Code
		status int
		title  string
	}{
		{"malformed_json", 400, "Bad Request"},
		{"duplicate_key", 400, "Bad Request"},
		{"wrong_type", 400, "Bad Request"},
		{"missing_header", 401, "Unauthorized"},
		{"malformed_header", 401, "Unauthorized"},
		{"timestamp_out_of_range", 401, "Unauthorized"},
		{"not_authenticated", 401, "Unauthorized"},
		{"vendor_disabled", 403, "Forbidden"},
		{"merchant_not_allowed", 403, "Forbidden"},
		{"wechatpay_no_permission", 403, "Forbidden"},
		{"in_progress", 409, "Conflict"},
		{"body_too_large", 413, "Content Too Large"},
		{"unsupported_media_type", 415, "Unsupported Media Type"},
		{"invalid_fields", 422, "Unprocessable Content"},
		{"merchant_ambiguous", 422, "Unprocessable Content"},
		{"idempotency_mismatch", 422, "Unprocessable Content"},
		{"wechatpay_refused", 422, "Unprocessable Content"},
		{"wechatpay_rate_limited", 429, "Too Many Requests"},
		{"wechatpay_unverified", 502, "Bad Gateway"},
		{"wechatpay_rejected_our_signature", 502, "Bad Gateway"},
		{"wechatpay_unavailable", 503, "Service Unavailable"},
		{"gateway_unavailable", 503, "Service Unavailable"},
		{"outcome_unknown", 504, "Gateway Timeout"},
	}
	var listed []Code
	for _, test := range tests {
		listed = append(listed, test.code)
		if got := test.code.Status(); got != test.status {
			t.Errorf("%s: got status %d, want %d", test.code, got, test.status)
		}
		if got := test.code.Title(); got != test.title {
			t.Errorf("%s: got title %q, want %q", test.code, got, test.title)
		}
	}
	if diff := cmp.Diff(listed, Codes()); diff != "" {
		t.Errorf("Codes() (-want +got):\n%s", diff)
	}
	if got, want := Code("other").Status(), 500; got != want {
		t.Errorf("status of a code that is not listed: got %d, want %d", got, want)
	}
	if got, want := Code("other").Title(), "Internal Server Error"; got != want {
		t.Errorf("title of a code that is not listed: got %q, want %q", got, want)
	}
}

func TestFieldCodes(t *testing.T) {
	want := []FieldCode{
		"required", "unknown_field", "too_long", "bad_value", "not_in_this_scene", "config_mismatch",
		"plate_malformed", "plate_unsupported", "time_malformed", "time_in_future",
	}
	if diff := cmp.Diff(want, FieldCodes()); diff != "" {
		t.Errorf("FieldCodes() (-want +got):\n%s", diff)
	}
}

// TestListsHoldEveryConstant reads the source, so that a code that is added
// and not listed fails here.
func TestListsHoldEveryConstant(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "code.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string][]string{}
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			value := spec.(*ast.ValueSpec)
			text, err := strconv.Unquote(value.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			kind := value.Type.(*ast.Ident).Name
			declared[kind] = append(declared[kind], text)
		}
	}
	var codes, fieldCodes []string
	for _, c := range Codes() {
		codes = append(codes, string(c))
	}
	for _, c := range FieldCodes() {
		fieldCodes = append(fieldCodes, string(c))
	}
	if !slices.Equal(declared["Code"], codes) {
		t.Errorf("constants of type Code: got %q listed, want %q", codes, declared["Code"])
	}
	if !slices.Equal(declared["FieldCode"], fieldCodes) {
		t.Errorf("constants of type FieldCode: got %q listed, want %q", fieldCodes, declared["FieldCode"])
	}
}

func TestBody(t *testing.T) {
	tests := []struct {
		name    string
		problem *Problem
		want    string
	}{
		{
			"the least",
			New(NotAuthenticated, "The signature does not match."),
			`{"type":"about:blank","title":"Unauthorized","status":401,"detail":"The signature does not match.","code":"not_authenticated","request_id":"req-1"}`,
		},
		{
			"without detail",
			New(InProgress, ""),
			`{"type":"about:blank","title":"Conflict","status":409,"code":"in_progress","request_id":"req-1"}`,
		},
		{
			"fields",
			&Problem{Code: InvalidFields, Detail: "Two fields are wrong.", Errors: []FieldError{
				{Pointer: "/openid", Code: Required, Detail: "The field is required."},
				{Pointer: "/a~1b", Code: UnknownField, Detail: "No such field is known here."},
			}},
			`{"type":"about:blank","title":"Unprocessable Content","status":422,"detail":"Two fields are wrong.","code":"invalid_fields","request_id":"req-1",` +
				`"errors":[{"pointer":"/openid","code":"required","detail":"The field is required."},{"pointer":"/a~1b","code":"unknown_field","detail":"No such field is known here."}]}`,
		},
		{
			"WeChat Pay's refusal",
			&Problem{Code: WeChatPayRefused, Detail: "WeChat Pay refused the request.", WeChatPay: &WeChatPay{HTTPStatus: 400, Code: "PARAM_ERROR", Message: "参数错误"}},
			`{"type":"about:blank","title":"Unprocessable Content","status":422,"detail":"WeChat Pay refused the request.","code":"wechatpay_refused","request_id":"req-1",` +
				`"wechatpay":{"http_status":400,"code":"PARAM_ERROR","message":"参数错误"}}`,
		},
		{
			"WeChat Pay without code, and RetryAfter which is a header's",
			&Problem{Code: WeChatPayUnavailable, Detail: "WeChat Pay fails.", WeChatPay: &WeChatPay{HTTPStatus: 503}, RetryAfter: time.Second},
			`{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"WeChat Pay fails.","code":"wechatpay_unavailable","request_id":"req-1","wechatpay":{"http_status":503}}`,
		},
		{
			"quotes, control characters and invalid UTF-8",
			New(MalformedJSON, "a\"b\\c\n\x00<é>\xff"),
			`{"type":"about:blank","title":"Bad Request","status":400,"detail":"a\"b\\c\n\u0000<é>` + "\ufffd" + `","code":"malformed_json","request_id":"req-1"}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := string(test.problem.Body("req-1")); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestBodyOfEveryCode(t *testing.T) {
	for _, code := range Codes() {
		var got struct {
			Status int    `json:"status"`
			Code   string `json:"code"`
		}
		if err := json.Unmarshal(New(code, "").Body(""), &got); err != nil {
			t.Errorf("%s: got error %v, want none", code, err)
		}
		if got.Status != code.Status() || got.Code != string(code) {
			t.Errorf("%s: got %+v, want its status and its name", code, got)
		}
	}
}

func TestError(t *testing.T) {
	if got, want := New(InProgress, "Try again.").Error(), "in_progress: Try again."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := New(InProgress, "").Error(), "in_progress"; got != want {
		t.Errorf("without detail: got %q, want %q", got, want)
	}
}

func TestRetryAfterSeconds(t *testing.T) {
	tests := []struct {
		after time.Duration
		want  string
	}{
		{-time.Second, ""},
		{0, ""},
		{1, "1"},
		{time.Second, "1"},
		{time.Second + 1, "2"},
		{90 * time.Second, "90"},
	}
	for _, test := range tests {
		if got := (&Problem{RetryAfter: test.after}).RetryAfterSeconds(); got != test.want {
			t.Errorf("%v: got %q, want %q", test.after, got, test.want)
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add("detail", "/plate_number", "message", "req-1")
	f.Add("\xff\x00\"", "\u2028", "</script>", "")
	f.Fuzz(func(t *testing.T, detail, pointer, message, requestID string) {
		p := Problem{
			Code: InvalidFields, Detail: detail,
			Errors:    []FieldError{{Pointer: pointer, Code: BadValue, Detail: detail}},
			WeChatPay: &WeChatPay{HTTPStatus: 400, Message: message},
		}
		var got map[string]any
		if err := json.Unmarshal(p.Body(requestID), &got); err != nil {
			t.Errorf("got error %v, want valid JSON", err)
		}
	})
}
