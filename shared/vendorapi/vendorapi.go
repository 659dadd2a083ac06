// Package vendorapi is what the vendors' routes have in common: the order in which a call is checked, and one answer for
// each webhook-id. A route adds only its own body and its own call to WeChat Pay.
//
// The order is size (413), authentication (401), content type (415), JSON (400), permission (403), fields (422), the
// idempotency claim, WeChat Pay; the first that fails answers. DynamoDB and WeChat Pay are never touched before the
// vendor's signature holds.
//
// A route that only reads, an [Inquiry], ends after the second of these checks.
package vendorapi

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"wechat-parking-gateway/shared/httpapi"
	"wechat-parking-gateway/shared/idempotency"
	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/telemetry"
	"wechat-parking-gateway/shared/vendor"
	"wechat-parking-gateway/shared/wechatpay"
)

// unavailableRetry is Retry-After where something of the gateway's own is out, or WeChat Pay is.
const unavailableRetry = 5 * time.Second

// answerMargin is what is kept of an invocation's time to answer the caller.
const answerMargin = 200 * time.Millisecond

// inProgressRetry is the longest Retry-After while the same request is running, which ends within a call's budget.
const inProgressRetry = 3 * time.Second

// Vendors is where the configured vendors come from.
type Vendors interface {
	Get(ctx context.Context) (*vendor.Directory, error)
	Refresh(ctx context.Context) (d *vendor.Directory, changed bool, err error)
}

// Claims keeps one answer for each webhook-id; see package idempotency.
type Claims interface {
	Claim(ctx context.Context, key idempotency.Key, fingerprint [32]byte, deadline time.Time) (idempotency.Result, error)
	Complete(ctx context.Context, claim *idempotency.Claim, answer idempotency.Answer) error
	Release(ctx context.Context, claim *idempotency.Claim) error
}

// Call is a validated request, ready to be made.
type Call struct {
	// Fingerprint is a hash of what the vendor asked for, after validation: two requests that mean the same have the same.
	Fingerprint [32]byte
	// Do calls WeChat Pay and returns the answer for the vendor. Its errors are *wechatpay.Error, or failures of ours.
	Do func(ctx context.Context) (idempotency.Answer, error)
}

// Prepare checks an authenticated request's body, in the order JSON, permission, fields. It calls nobody and writes
// nothing.
type Prepare func(ctx context.Context, req *httpapi.Request, v *vendor.Vendor) (Call, *problem.Problem)

// Endpoint is one vendor route.
type Endpoint struct {
	Name    string // in idempotency records; never changes
	Vendors Vendors
	Claims  Claims
	Now     func() time.Time
	Prepare Prepare
}

// Handle is the route's httpapi.Handler.
func (e *Endpoint) Handle(ctx context.Context, req *httpapi.Request) httpapi.Response {
	res, p := e.serve(ctx, req)
	if p != nil {
		return refuse(ctx, p, req)
	}
	return res
}

// refuse answers with a problem, and notes its code in the request's log line and metrics.
func refuse(ctx context.Context, p *problem.Problem, req *httpapi.Request) httpapi.Response {
	telemetry.Set(ctx, telemetry.Code, string(p.Code))
	if p.Code == problem.GatewayUnavailable {
		telemetry.Count(ctx, telemetry.GatewayUnavailable)
	}
	return httpapi.FromProblem(p, req.ID)
}

// Failed answers a request whose handler panicked.
func Failed(ctx context.Context, req *httpapi.Request) httpapi.Response {
	return refuse(ctx, Unavailable("The gateway failed while it handled this request."), req)
}

// Unavailable is the problem of something of the gateway's own that is out.
func Unavailable(detail string) *problem.Problem {
	return &problem.Problem{Code: problem.GatewayUnavailable, RetryAfter: unavailableRetry,
		Detail: detail + " Send the same request with the same webhook-id again after the time in Retry-After."}
}

func (e *Endpoint) serve(ctx context.Context, req *httpapi.Request) (httpapi.Response, *problem.Problem) {
	caller, p := admit(ctx, e.Vendors, e.Now(), req)
	if p != nil {
		return httpapi.Response{}, p
	}
	if p := checkContentType(req.Header); p != nil {
		return httpapi.Response{}, p
	}
	call, p := e.Prepare(ctx, req, caller.Vendor)
	if p != nil {
		return httpapi.Response{}, p
	}
	return e.once(ctx, req, idempotency.Key{VendorID: caller.Vendor.ID, Route: e.Name, ID: caller.Message.ID}, call)
}

// admit makes the checks that every vendor route begins with: size, then authentication.
func admit(ctx context.Context, vendors Vendors, now time.Time, req *httpapi.Request) (Caller, *problem.Problem) {
	if len(req.Body) > httpapi.MaxBody {
		return Caller{}, problem.New(problem.BodyTooLarge,
			fmt.Sprintf("The body has %d bytes; at most %d are taken.", len(req.Body), httpapi.MaxBody))
	}
	return authenticate(ctx, vendors, now, req)
}

// once makes the call unless its id has an answer already.
func (e *Endpoint) once(ctx context.Context, req *httpapi.Request, key idempotency.Key, call Call) (httpapi.Response, *problem.Problem) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = e.Now().Add(time.Minute)
	}
	result, err := e.Claims.Claim(ctx, key, call.Fingerprint, deadline)
	if err != nil {
		telemetry.Set(ctx, telemetry.Reason, "idempotency claim: "+awsReason(err))
		return httpapi.Response{}, Unavailable("The gateway's record of webhook-ids could not be reached; WeChat Pay was not called.")
	}
	switch result.Outcome {
	case idempotency.Replay:
		telemetry.Set(ctx, telemetry.Replayed, true)
		res := respond(result.Answer)
		res.Header["Idempotency-Replayed"] = "true"
		return res, nil
	case idempotency.Mismatch:
		return httpapi.Response{}, problem.New(problem.IdempotencyMismatch,
			"This webhook-id was used for another request within the last 72 hours. A new fact needs a new id; a repeat must carry the same fields.")
	case idempotency.Running:
		// The lease may last longer than the call that holds it, so a caller is asked back sooner.
		return httpapi.Response{}, &problem.Problem{Code: problem.InProgress, RetryAfter: min(result.RetryAfter, inProgressRetry),
			Detail: "The same request is being handled right now. Ask again after the time in Retry-After, with the same webhook-id."}
	}

	answer, err := call.Do(ctx)
	var p *problem.Problem
	if err != nil {
		p = failure(ctx, err)
		answer = idempotency.Answer{Status: p.Code.Status(), Body: p.Body(req.ID)}
	}
	e.record(ctx, result.Claim, answer)
	if p != nil {
		return httpapi.Response{}, p
	}
	return respond(answer), nil
}

// record keeps an answer that will stay the same, and frees the id after any other, so that a repeat calls WeChat Pay
// again. WeChat Pay has been called by now: a record that cannot be written changes nothing for the caller, and the
// claim's lease ends by itself.
func (e *Endpoint) record(ctx context.Context, claim *idempotency.Claim, answer idempotency.Answer) {
	// The answer must still get out when DynamoDB is slow.
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-answerMargin))
		defer cancel()
	}
	final := answer.Status < 300 || answer.Status == http.StatusUnprocessableEntity
	var err error
	if final {
		err = e.Claims.Complete(ctx, claim, answer)
	} else {
		err = e.Claims.Release(ctx, claim)
	}
	if err != nil {
		telemetry.Set(ctx, telemetry.Reason, "idempotency record: "+awsReason(err))
	}
}

// awsReason names a failed call of ours; see [telemetry.Cause].
func awsReason(err error) string {
	return telemetry.Cause(err, telemetry.Word{Err: idempotency.ErrLostClaim, Text: "the claim was lost to another invocation"})
}

// respond turns a fresh or stored answer into a response. Its content type follows from its status.
func respond(a idempotency.Answer) httpapi.Response {
	res := httpapi.Response{Status: a.Status, Header: make(map[string]string, 3), Body: a.Body}
	switch {
	case len(a.Body) == 0:
	case a.Status >= 400:
		res.Header["Content-Type"] = problem.ContentType
	default:
		res.Header["Content-Type"] = "application/json"
	}
	return res
}

// checkContentType takes application/json alone, in UTF-8 where a charset is named.
func checkContentType(h httpapi.Header) *problem.Problem {
	value, count := h.Get("content-type")
	mediaType, params, err := mime.ParseMediaType(value)
	charset, named := params["charset"]
	if count == 1 && err == nil && mediaType == "application/json" && (!named || strings.EqualFold(charset, "utf-8")) {
		return nil
	}
	return problem.New(problem.UnsupportedMediaType, "Send the body as JSON, with the header Content-Type: application/json.")
}

// KeysUnavailable is the problem of a merchant's secret that could not be read or is malformed.
func KeysUnavailable(ctx context.Context, err error) *problem.Problem {
	telemetry.Set(ctx, telemetry.Reason, "keys: "+err.Error())
	return Unavailable("The gateway's keys could not be read; WeChat Pay was not called.")
}

// NotAllowed turns the error of a merchant's selection into a problem where it refuses; an ambiguous one comes later in
// the order of checks, see Ambiguous.
func NotAllowed(err error) *problem.Problem {
	if err == nil || errors.Is(err, vendor.ErrAmbiguous) {
		return nil
	}
	detail := "The merchant that the request names is not one of this vendor's; the given ids must all belong to one merchant of the configuration."
	if errors.Is(err, vendor.ErrNotConfigured) {
		detail = "This product is not configured for the vendor's merchant: ask the operator to add it."
	}
	return problem.New(problem.MerchantNotAllowed, detail)
}

// Ambiguous is the problem of a request that names too little to tell the vendor's merchants apart.
func Ambiguous(err error) *problem.Problem {
	if !errors.Is(err, vendor.ErrAmbiguous) {
		return nil
	}
	return problem.New(problem.MerchantAmbiguous, "The vendor has several merchants with this product: name the merchant in the request.")
}

// FutureHint explains time_in_future, whose usual cause is a time zone.
const FutureHint = "The time lies more than 5 minutes ahead of the server's clock. Beijing time written as UTC is 8 hours ahead: check the offset."

// failure turns what Call.Do returned into a problem. This table, with the codes in package wechatpay, is the whole of
// how WeChat Pay's refusals reach a vendor.
func failure(ctx context.Context, err error) *problem.Problem {
	var e *wechatpay.Error
	if !errors.As(err, &e) {
		return KeysUnavailable(ctx, err)
	}
	p := &problem.Problem{}
	if e.HTTPStatus != 0 {
		p.WeChatPay = &problem.WeChatPay{HTTPStatus: e.HTTPStatus, Code: e.Code, Message: e.Message}
	}
	switch e.Kind {
	case wechatpay.Refused:
		p.Code, p.Detail = problem.WeChatPayRefused, "WeChat Pay refused the request; its own words are in wechatpay. The same request would be refused again."
	case wechatpay.NoPermission:
		p.Code, p.Detail = problem.WeChatPayNoPermission, "The merchant has no permission for this product at WeChat Pay: ask the merchant to apply for it, or to authorise the appid."
	case wechatpay.RateLimited:
		p.Code, p.Detail = problem.WeChatPayRateLimited, "WeChat Pay takes no more calls for now. Send the same request with the same webhook-id again after the time in Retry-After."
		p.RetryAfter = e.RetryAfter
	case wechatpay.SignatureRejected:
		p.Code, p.Detail = problem.WeChatPayRejectedOurSignature, "WeChat Pay does not accept the gateway's signature. The operator has to check the merchant's keys; nothing in the request is at fault."
	case wechatpay.Unverified:
		p.Code, p.Detail = problem.WeChatPayUnverified, "WeChat Pay's answer could not be verified, so it is not passed on. Send the same request with the same webhook-id again; WeChat Pay may hear it twice."
	case wechatpay.Unknown:
		p.Code, p.Detail = problem.OutcomeUnknown, "WeChat Pay did not answer in time, and may or may not have acted. Send the same request with the same webhook-id again; WeChat Pay may hear it twice."
	default:
		p.Code, p.Detail = problem.WeChatPayUnavailable, "WeChat Pay is not available. Send the same request with the same webhook-id again after the time in Retry-After."
		p.RetryAfter = unavailableRetry
	}
	return p
}
