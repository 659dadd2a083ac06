// Package apifront plays an Amazon API Gateway HTTP API in front of Lambda
// functions: HTTP requests become events of payload format 2.0, the functions'
// answers become HTTP responses, and what API Gateway answers by itself (no such
// route, too large, throttled, function failed) is answered in its words.
//
// Only local/ and cmd/ may import this package. The rules are those of the API
// Gateway developer guide: "Create routes for HTTP APIs", "Create AWS Lambda
// proxy integrations for HTTP APIs" and the HTTP API quotas
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api.html).
// The stage is $default; there are no authorizers, no CORS configuration, no
// parameter mappings and no throttling of its own.
package apifront

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"wechat-parking-gateway/local/lambdahost"
)

// Quotas of an HTTP API, in bytes and time; none can be raised in the service.
const (
	MaxBody   = 10 << 20
	MaxHeader = 10240 // the request line and every header line
	Timeout   = 30 * time.Second
)

// What the front says where the service says its own.
const (
	DefaultAccountID = lambdahost.DefaultAccountID
	DefaultAPIID     = "local"
)

// requestIDHeader carries the request's id in every answer.
const requestIDHeader = "Apigw-Requestid"

// Route sends the requests that match a route key to a function.
type Route struct {
	// Key is a method, or ANY, and a path with {names} for its variable segments,
	// the last of which may be greedy: {name+}. Or it is "$default".
	Key string
	// Function is what invoke is called with.
	Function string
}

// Invoke calls a function with an event and returns its answer. It fails with
// lambdahost.ErrThrottled when a concurrency cap is reached and with
// lambdahost.ErrRequestTooLarge when Lambda does not take the event; any other
// failure is the function's.
type Invoke func(ctx context.Context, function string, payload []byte) ([]byte, error)

// Options are the front's settings; the zero value works.
type Options struct {
	// AccountID and APIID stand in the events; empty means DefaultAccountID and
	// DefaultAPIID.
	AccountID, APIID string
	// Now is the clock of the events; nil means time.Now.
	Now func() time.Time
	// Random makes request and trace ids; nil means crypto/rand.
	Random io.Reader
}

type front struct {
	routes  []route
	invoke  Invoke
	options Options
}

// New makes a handler of routes. The error wraps ErrRoute and names the route
// key that is malformed or conflicts with another.
func New(routes []Route, invoke Invoke, options Options) (http.Handler, error) {
	table, err := parseRoutes(routes)
	if err != nil {
		return nil, err
	}
	if options.AccountID == "" {
		options.AccountID = DefaultAccountID
	}
	if options.APIID == "" {
		options.APIID = DefaultAPIID
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Random == nil {
		options.Random = rand.Reader
	}
	return &front{routes: table, invoke: invoke, options: options}, nil
}

// ServeHTTP answers one request.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, err := f.newRequestID()
	if err != nil {
		writeMessage(w, http.StatusInternalServerError)
		return
	}
	w.Header().Set(requestIDHeader, id)

	if headerSize(r) > MaxHeader {
		writeMessage(w, http.StatusRequestHeaderFieldsTooLarge)
		return
	}
	matched, ok := match(f.routes, r.Method, r.URL.Path)
	if !ok {
		writeMessage(w, http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		writeMessage(w, bodyStatus(err))
		return
	}
	event, err := f.event(r, id, matched, body)
	if err != nil {
		writeMessage(w, http.StatusInternalServerError)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), Timeout)
	defer cancel()
	answer, err := f.invoke(ctx, matched.route.function, event)
	if err != nil {
		writeMessage(w, invokeStatus(err))
		return
	}
	response, err := parseResponse(answer)
	if err != nil {
		writeMessage(w, http.StatusInternalServerError)
		return
	}
	response.write(w)
}

// bodyStatus tells a body that is too large from one that never arrived whole.
func bodyStatus(err error) int {
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// invokeStatus is what API Gateway answers when an invocation gave no answer. A
// function that takes longer than the integration may is unavailable to the
// caller, not late: an HTTP API says 503 where a REST API says 504.
func invokeStatus(err error) int {
	switch {
	case errors.Is(err, lambdahost.ErrThrottled), errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable
	case errors.Is(err, lambdahost.ErrRequestTooLarge):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusInternalServerError
}

// writeMessage answers as API Gateway answers by itself: the status and its
// standard text, and nothing about the cause.
func writeMessage(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"message":"%s"}`, http.StatusText(status))
}

// headerSize is the size of the request line and the headers as they were sent,
// in bytes.
func headerSize(r *http.Request) int {
	const space, lineEnd, separator = 1, 2, 2
	n := len(r.Method) + space + len(r.RequestURI) + space + len(r.Proto) + lineEnd
	n += len("Host") + separator + len(r.Host) + lineEnd
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + separator + len(value) + lineEnd
		}
	}
	return n
}

// newRequestID returns 11 random bytes in base64, as API Gateway's ids look.
func (f *front) newRequestID() (string, error) {
	var b [11]byte
	if _, err := io.ReadFull(f.options.Random, b[:]); err != nil {
		return "", fmt.Errorf("apifront: request id: %w", err)
	}
	return base64.URLEncoding.EncodeToString(b[:]), nil
}
