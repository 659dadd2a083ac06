// Package httpapi stands between API Gateway's events and the handlers: an HTTP API's event (payload format 2.0) becomes
// a Request, a Response becomes the answer, and a panic becomes an answer too. It is the only package that knows the
// event's shape. Routing goes by routeKey and pathParameters, never by rawPath, which carries the stage and is not
// normalised.
//
// Source of the shapes: "Working with AWS Lambda proxy integrations for HTTP APIs", payload format version 2.0.
package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/telemetry"
	"wechat-parking-gateway/shared/trace"
)

// MaxBody is the largest request body in bytes, decoded, that a handler takes.
const MaxBody = 64 << 10

// Header holds a request's headers by lower-case name. API Gateway lower-cases names and joins what came twice with
// commas; other senders of the same event do neither, so both spellings of a name are gathered here.
type Header map[string][]string

// Get returns the first value of the header called name, in any case, and how many values it has. A caller that must not
// be fooled by a second value looks at the count.
func (h Header) Get(name string) (value string, count int) {
	values := h[strings.ToLower(name)]
	if len(values) == 0 {
		return "", 0
	}
	return values[0], len(values)
}

// Request is one HTTP request.
type Request struct {
	ID     string            // API Gateway's request id, answered as Request-Id
	Route  string            // the template's route key, such as "POST /v1/callbacks/businesscircle"
	Domain string            // the domain name that was called
	Path   map[string]string // path parameters by name
	Header Header
	Body   []byte // the raw bytes that were sent
}

// Response is what a handler answers. An empty Body is sent as none.
type Response struct {
	Status int
	Header map[string]string
	Body   []byte
}

// Handler answers one request. It must be safe for concurrent use.
type Handler func(context.Context, *Request) Response

// FromProblem returns the response that carries p.
func FromProblem(p *problem.Problem, requestID string) Response {
	header := map[string]string{"Content-Type": problem.ContentType}
	if seconds := p.RetryAfterSeconds(); seconds != "" {
		header["Retry-After"] = seconds
	}
	return Response{Status: p.Code.Status(), Header: header, Body: p.Body(requestID)}
}

// Adapter is a lambda.Handler over the handlers of one function.
type Adapter struct {
	// Routes maps the template's route keys to handlers.
	Routes map[string]Handler
	// Failed answers in place of a handler that panicked, and for a route that the function does not have.
	Failed Handler
	// Now is the clock, Logger takes one line for each request and Meter its metrics.
	Now    func() time.Time
	Logger *slog.Logger
	Meter  *telemetry.Meter
}

// errEvent says that what invoked the function was not an HTTP API's event.
var errEvent = errors.New("httpapi: not an HTTP API event of payload format 2.0")

// lenient decodes the event's own JSON, which is API Gateway's: what a caller sent lies in its strings.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// event is what the gateway reads of a payload 2.0 event.
type event struct {
	Version        string            `json:"version"`
	RouteKey       string            `json:"routeKey"`
	Headers        map[string]string `json:"headers"`
	PathParameters map[string]string `json:"pathParameters"`
	Body           string            `json:"body"`
	IsBase64       bool              `json:"isBase64Encoded"`
	Context        struct {
		RequestID  string `json:"requestId"`
		DomainName string `json:"domainName"`
	} `json:"requestContext"`
}

// answer is a payload 2.0 response.
type answer struct {
	StatusCode int               `json:"statusCode"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body,omitzero"`
}

// Invoke answers one event. It returns an error, which Lambda reports as a failed invocation, only for a payload that is
// not an HTTP API's event.
func (a *Adapter) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	req, err := read(payload)
	if err != nil {
		a.Logger.ErrorContext(ctx, "the function was invoked with something that is not an HTTP API event")
		return nil, err
	}
	started := a.Now()
	ctx, line := telemetry.Begin(trace.With(ctx, begin(ctx, req)))
	telemetry.Set(ctx, telemetry.RequestID, req.ID)
	telemetry.Set(ctx, telemetry.Route, req.Route)

	res := a.answer(ctx, req)

	telemetry.Set(ctx, telemetry.Status, res.Status)
	took := a.Now().Sub(started)
	telemetry.Set(ctx, telemetry.Duration, took.Milliseconds())
	level := slog.LevelInfo
	if res.Status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	line.Write(ctx, a.Logger, level, "request")
	a.Meter.Write(line, took)
	return write(req, res)
}

// begin returns the trace that a request belongs to: the caller's, where it sent a traceparent, or Lambda's.
func begin(ctx context.Context, req *Request) trace.Trace {
	traceparent, _ := req.Header.Get(trace.Header)
	gateway, _ := req.Header.Get("x-amzn-trace-id")
	return trace.Begin(traceparent, trace.Lambda(ctx), gateway)
}

// answer calls the route's handler and turns a panic into the function's failure answer: a panic that reached the
// runtime would end the sandbox.
func (a *Adapter) answer(ctx context.Context, req *Request) (res Response) {
	defer func() {
		if p := recover(); p != nil {
			a.Logger.ErrorContext(ctx, "a handler panicked", string(telemetry.RequestID), req.ID,
				string(telemetry.Panic), telemetry.PanicText(p), string(telemetry.Stack), string(debug.Stack()))
			telemetry.Set(ctx, telemetry.Reason, "the handler panicked")
			telemetry.Count(ctx, telemetry.Panics)
			res = a.Failed(ctx, req)
		}
	}()
	handler, ok := a.Routes[req.Route]
	if !ok {
		telemetry.Set(ctx, telemetry.Reason, "the function has no such route")
		return a.Failed(ctx, req)
	}
	return handler(ctx, req)
}

func read(payload []byte) (*Request, error) {
	var e event
	if err := json.Unmarshal(payload, &e, lenient); err != nil || e.RouteKey == "" {
		return nil, errEvent
	}
	req := &Request{
		ID:     e.Context.RequestID,
		Route:  e.RouteKey,
		Domain: e.Context.DomainName,
		Path:   e.PathParameters,
		Header: make(Header, len(e.Headers)),
		Body:   []byte(e.Body),
	}
	if e.IsBase64 {
		body, err := base64.StdEncoding.DecodeString(e.Body)
		if err != nil {
			return nil, errEvent
		}
		req.Body = body
	}
	for name, value := range e.Headers {
		name = strings.ToLower(name)
		req.Header[name] = append(req.Header[name], value)
	}
	// API Gateway always sends both; other senders of the same event may not.
	if req.ID == "" {
		req.ID = rand.Text()
	}
	if req.Domain == "" {
		req.Domain, _ = req.Header.Get("host")
	}
	return req, nil
}

func write(req *Request, res Response) ([]byte, error) {
	if res.Header == nil {
		res.Header = make(map[string]string, 1)
	}
	res.Header["Request-Id"] = req.ID
	b, err := json.Marshal(answer{StatusCode: res.Status, Headers: res.Header, Body: string(res.Body)}, lenient)
	if err != nil {
		return nil, fmt.Errorf("httpapi: writing the answer: %w", err)
	}
	return b, nil
}
