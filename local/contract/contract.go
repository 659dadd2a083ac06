// Package contract holds what the gateway does against what api/openapi.yaml says: every exchange that a test makes can be
// checked, every list of names compared. The validation itself is kin-openapi's; this package knows only which requests
// must be valid, which by the contract are those that were not refused for their form.
//
// Only tests may import it.
package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"wechat-parking-gateway/api"
	"wechat-parking-gateway/shared/flatxml"
	"wechat-parking-gateway/shared/problem"
)

// Contract is the contract, itself valid with all its examples.
type Contract struct{ doc *openapi3.T }

// Load returns api/openapi.yaml.
var Load = sync.OnceValues(func() (*Contract, error) { return Parse(api.OpenAPI) })

// Parse reads a contract, and refuses one that is not valid OpenAPI 3.1 or has an example that its own schema refuses.
func Parse(document []byte) (*Contract, error) {
	return parse(document, openapi3.EnableExamplesValidation())
}

func parse(document []byte, options ...openapi3.ValidationOption) (*Contract, error) {
	registerXML()
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(document)
	if err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	if err := doc.Validate(loader.Context, append(options, openapi3.EnableSchemaFormatValidation())...); err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	return &Contract{doc}, nil
}

// registerXML teaches the validator WeChat Pay's flat XML.
var registerXML = sync.OnceFunc(func() {
	openapi3filter.RegisterBodyDecoder("text/xml", func(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
		b, err := io.ReadAll(body)
		if err != nil {
			return nil, err
		}
		document, err := flatxml.Parse(b)
		if err != nil {
			return nil, err
		}
		members := make(map[string]any, len(document))
		for _, e := range document {
			members[e.Name] = e.Value
		}
		return members, nil
	})
})

// Routes returns the route keys, such as "GET /v1/vendors/{vendor_id}", sorted.
func (c *Contract) Routes() []string {
	var routes []string
	for path, item := range c.doc.Paths.Map() {
		for method := range item.Operations() {
			routes = append(routes, method+" "+path)
		}
	}
	slices.Sort(routes)
	return routes
}

// Match returns the route that a request takes and its path parameters.
func (c *Contract) Match(method, path string) (route string, params map[string]string, ok bool) {
	given := strings.Split(path, "/")
	for _, route := range c.Routes() {
		routeMethod, pattern, _ := strings.Cut(route, " ")
		parts := strings.Split(pattern, "/")
		if routeMethod != method || len(parts) != len(given) {
			continue
		}
		params := make(map[string]string)
		matches := true
		for i, part := range parts {
			if strings.HasPrefix(part, "{") && given[i] != "" {
				params[strings.Trim(part, "{}")] = given[i]
			} else {
				matches = matches && part == given[i]
			}
		}
		if matches {
			return route, params, true
		}
	}
	return "", nil, false
}

// Exchange is one request with its answer.
type Exchange struct {
	Route    string            // the route key, "" where the request took none
	Path     map[string]string // path parameters by name
	Header   http.Header
	Body     []byte
	Status   int
	Answered http.Header
	Answer   []byte
}

// carried are headers that say how an answer was carried.
var carried = []string{"Content-Type", "Content-Length", "Date", "Connection", "Transfer-Encoding", "Apigw-Requestid"}

// Check holds an exchange against the contract: the answer always, the request where the answer says that its form was
// right.
func (c *Contract) Check(e Exchange) error {
	if e.Route == "" || e.Status == http.StatusRequestHeaderFieldsTooLarge {
		return c.checkGatewayMessage(e)
	}
	operation, input, err := c.request(e)
	if err != nil {
		return err
	}
	if err := c.checkAnswer(e, operation, input); err != nil {
		return fmt.Errorf("%s: the answer %d %s is not the contract's: %w", e.Route, e.Status, e.Answer, err)
	}
	if !e.formWasRight() {
		return nil
	}
	if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
		return fmt.Errorf("%s: the contract does not have this request, which was answered %d: %w", e.Route, e.Status, err)
	}
	return nil
}

// checkGatewayMessage checks what API Gateway answers by itself where no route was taken.
func (c *Contract) checkGatewayMessage(e Exchange) error {
	if e.Status != http.StatusNotFound && e.Status != http.StatusRequestHeaderFieldsTooLarge {
		return fmt.Errorf("contract: a request without a route was answered %d", e.Status)
	}
	return c.Conforms("GatewayMessage", e.Answer)
}

func (c *Contract) request(e Exchange) (*openapi3.Operation, *openapi3filter.RequestValidationInput, error) {
	method, path, _ := strings.Cut(e.Route, " ")
	item := c.doc.Paths.Find(path)
	if item == nil || item.GetOperation(method) == nil {
		return nil, nil, fmt.Errorf("contract: there is no route %q", e.Route)
	}
	operation := item.GetOperation(method)
	for name, value := range e.Path {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	req, err := http.NewRequest(method, path, bytes.NewReader(e.Body))
	if err != nil {
		return nil, nil, fmt.Errorf("contract: %w", err)
	}
	for name, values := range e.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if slices.Contains(operation.Tags, "callbacks") {
		// The gateway does not look at it.
		req.Header.Set("Content-Type", slices.Collect(maps.Keys(operation.RequestBody.Value.Content))[0])
	}
	return operation, &openapi3filter.RequestValidationInput{
		Request: req, PathParams: e.Path,
		Route:   &routers.Route{Spec: c.doc, Path: path, PathItem: item, Method: method, Operation: operation},
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true},
	}, nil
}

func (c *Contract) checkAnswer(e Exchange, operation *openapi3.Operation, input *openapi3filter.RequestValidationInput) error {
	answer := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: e.Status, Header: e.Answered, Body: io.NopCloser(bytes.NewReader(e.Answer)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	if err := openapi3filter.ValidateResponse(context.Background(), answer); err != nil {
		return err
	}
	response := operation.Responses.Status(e.Status).Value
	if len(response.Content) == 0 && len(e.Answer) > 0 {
		return errors.New("it has no body")
	}
	for name := range e.Answered {
		known := func(documented string) bool { return strings.EqualFold(documented, name) }
		if !slices.ContainsFunc(carried, known) && !slices.ContainsFunc(slices.Collect(maps.Keys(response.Headers)), known) {
			return fmt.Errorf("it has no header %s", name)
		}
	}
	// API Gateway's own answers share statuses with the gateway's, which alone have a Request-Id.
	if _, documented := response.Headers["Request-Id"]; documented && isProblem(e.Answered) && e.Answered.Get("Request-Id") == "" {
		return errors.New("a problem has a Request-Id")
	}
	return nil
}

func isProblem(h http.Header) bool {
	return strings.HasPrefix(h.Get("Content-Type"), problem.ContentType)
}

// judgedLater are the codes of refusals that come after a request's form was found right.
var judgedLater = []problem.Code{
	problem.WeChatPayNoPermission, problem.InProgress, problem.MerchantAmbiguous, problem.IdempotencyMismatch, problem.WeChatPayRefused,
	problem.WeChatPayRateLimited, problem.WeChatPayUnverified, problem.WeChatPayRejectedOurSignature, problem.WeChatPayUnavailable,
	problem.OutcomeUnknown,
}

// formWasRight tells whether the answer says that the request was read to its end and nothing was wrong with its form.
func (e Exchange) formWasRight() bool {
	if isProblem(e.Answered) {
		var p struct{ Code problem.Code }
		return json.Unmarshal(e.Answer, &p) == nil && slices.Contains(judgedLater, p.Code)
	}
	return e.Status < 300 && !bytes.Contains(e.Answer, []byte("FAIL"))
}

// Event holds a webhook that a vendor was sent against the contract.
func (c *Contract) Event(header http.Header, body []byte) error {
	var event struct{ Type string }
	if err := json.Unmarshal(body, &event); err != nil {
		return fmt.Errorf("contract: an event is no JSON: %w", err)
	}
	name := event.Type
	if c.doc.Webhooks[name] == nil && strings.HasPrefix(name, "wechatpay.") {
		name = unnamedEvent
	}
	item := c.doc.Webhooks[name]
	if item == nil {
		return fmt.Errorf("contract: there is no event %q", event.Type)
	}
	req, err := http.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("contract: %w", err)
	}
	req.Header = header
	if err := openapi3filter.ValidateRequest(context.Background(), &openapi3filter.RequestValidationInput{
		Request: req,
		Route:   &routers.Route{Spec: c.doc, Path: "/", PathItem: item, Method: http.MethodPost, Operation: item.Post},
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true},
	}); err != nil {
		return fmt.Errorf("the event %s is not the contract's: %w", event.Type, err)
	}
	for name := range header {
		documented := func(p *openapi3.ParameterRef) bool { return strings.EqualFold(p.Value.Name, name) }
		if !slices.Contains(posted, name) && !slices.ContainsFunc(item.Post.Parameters, documented) {
			return fmt.Errorf("the event %s has no header %s in the contract", event.Type, name)
		}
	}
	return nil
}

// posted are headers that say how an event was carried.
var posted = []string{"Content-Type", "Content-Length", "User-Agent", "Accept-Encoding"}

// unnamedEvent is the webhook of the types that have no name of their own.
const unnamedEvent = "wechatpay.EVENT_TYPE"

// EventTypes returns the names of the events, sorted, without the one that stands for those without a name.
func (c *Contract) EventTypes() []string {
	names := slices.Sorted(maps.Keys(c.doc.Webhooks))
	return slices.DeleteFunc(names, func(name string) bool { return name == unnamedEvent })
}

// Conforms holds a JSON text against one of the contract's schemas.
func (c *Contract) Conforms(schema string, text []byte) error {
	s, err := c.schema(schema)
	if err != nil {
		return err
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("contract: %s: %w", schema, err)
	}
	if err := s.VisitJSON(v, openapi3.EnableJSONSchema2020(), openapi3.MultiErrors()); err != nil {
		return fmt.Errorf("%s: %w", schema, err)
	}
	return nil
}

func (c *Contract) schema(name string) (*openapi3.Schema, error) {
	ref := c.doc.Components.Schemas[name]
	if ref == nil || ref.Value == nil {
		return nil, fmt.Errorf("contract: there is no schema %s", name)
	}
	return ref.Value, nil
}

// With returns the contract with the first old replaced by new, for tests that see what a check says of a difference.
func With(old, new string) (*Contract, error) {
	document, err := replaced(old, new)
	if err != nil {
		return nil, err
	}
	return Parse(document)
}

// WithoutExamples is With for a change that no example goes along with: they are not looked at.
func WithoutExamples(old, new string) (*Contract, error) {
	document, err := replaced(old, new)
	if err != nil {
		return nil, err
	}
	return parse(document, openapi3.DisableExamplesValidation())
}

func replaced(old, new string) ([]byte, error) {
	if !bytes.Contains(api.OpenAPI, []byte(old)) {
		return nil, fmt.Errorf("contract: it does not hold %q", old)
	}
	return bytes.Replace(api.OpenAPI, []byte(old), []byte(new), 1), nil
}
