// Package problem is what the gateway answers when it refuses: RFC 9457
// problem details with a closed list of codes.
//
// Every room that answers a vendor or judges a vendor's field may import it;
// it imports no other room and knows nothing of HTTP handlers, AWS or WeChat
// Pay's wire formats. A caller's program acts on a code, never on a detail,
// so both lists of codes are only ever appended to.
//
// Sources: RFC 9457 (the members, about:blank and its titles), RFC 9110 and
// RFC 6585 (the titles themselves), RFC 6901 (pointers).
package problem

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ContentType is the media type of every body that Body makes.
const ContentType = "application/problem+json"

// FieldError says what is wrong with one member of the caller's body.
type FieldError struct {
	// Pointer is the RFC 6901 pointer of the member, such as "/plate_number".
	Pointer string `json:"pointer"`
	// Code is what a program acts on.
	Code FieldCode `json:"code"`
	// Detail is one plain sentence that never repeats the member's value.
	Detail string `json:"detail"`
}

// WeChatPay is what WeChat Pay said, as far as it may be passed on: its own
// message can be unsigned, so it explains the answer and proves nothing.
type WeChatPay struct {
	// HTTPStatus is the status code of WeChat Pay's answer.
	HTTPStatus int `json:"http_status"`
	// Code is WeChat Pay's error code, 1 to 32 of A-Z and "_", or empty.
	Code string `json:"code,omitempty"`
	// Message is WeChat Pay's text, capped by whoever fills it in, or empty.
	Message string `json:"message,omitempty"`
}

// Problem is one refusal. It is an error whose text holds the code and the
// detail only, both of which the caller may see anyway.
type Problem struct {
	// Code decides the status and the title.
	Code Code
	// Detail is one or two plain sentences for the caller: no secret, plate,
	// openid or internal cause.
	Detail string
	// Errors names the members that are wrong; it belongs to InvalidFields.
	Errors []FieldError
	// WeChatPay is set when the refusal is WeChat Pay's own.
	WeChatPay *WeChatPay
	// RetryAfter is how long the caller should wait; zero says nothing.
	RetryAfter time.Duration
}

// New returns the problem with this code and detail, and nothing else.
func New(code Code, detail string) *Problem {
	return &Problem{Code: code, Detail: detail}
}

// Error returns the code and the detail.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return string(p.Code)
	}
	return string(p.Code) + ": " + p.Detail
}

// RetryAfterSeconds returns the value of a Retry-After header: whole seconds,
// rounded up, so that a caller who obeys is never early. It is empty when
// RetryAfter is not positive.
func (p *Problem) RetryAfterSeconds() string {
	if p.RetryAfter <= 0 {
		return ""
	}
	seconds := p.RetryAfter / time.Second
	if p.RetryAfter%time.Second != 0 {
		seconds++
	}
	return strconv.FormatInt(int64(seconds), 10)
}

// document is the body on the wire, its members in the order in which a
// reader wants them.
type document struct {
	Type      string       `json:"type"`
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Detail    string       `json:"detail,omitempty"`
	Code      Code         `json:"code"`
	RequestID string       `json:"request_id"`
	Errors    []FieldError `json:"errors,omitempty"`
	WeChatPay *WeChatPay   `json:"wechatpay,omitzero"`
}

// Body returns the problem as application/problem+json. Bytes that are not
// UTF-8 become U+FFFD, so the result is always valid JSON.
func (p *Problem) Body(requestID string) []byte {
	b, err := json.Marshal(document{
		Type:      "about:blank",
		Title:     p.Code.Title(),
		Status:    p.Code.Status(),
		Detail:    p.Detail,
		Code:      p.Code,
		RequestID: requestID,
		Errors:    p.Errors,
		WeChatPay: p.WeChatPay,
	}, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		// Only strings and integers are marshalled: nothing in them can fail.
		panic("problem: " + err.Error())
	}
	return b
}
