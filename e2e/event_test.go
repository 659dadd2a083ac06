//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/lambdahost"
	"wechat-parking-gateway/local/wechatpaysim"
)

// httpEvent is API Gateway's event of payload format 2.0, for what the local front never sends: other senders of the same
// event keep the letters of header names, and encode as they like.
func httpEvent(routeKey, path string, parameters, headers map[string]string, body []byte) map[string]any {
	return map[string]any{
		"version": "2.0", "routeKey": routeKey, "rawPath": path, "rawQueryString": "", "headers": headers,
		"requestContext": map[string]any{
			"accountId": "123456789012", "apiId": "api", "domainName": "gateway.example.com", "domainPrefix": "gateway",
			"http":      map[string]any{"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "e2e"},
			"requestId": "e2e-request-id=", "routeKey": routeKey, "stage": "$default", "time": "12/Mar/2020:19:03:58 +0000", "timeEpoch": 1583348638390,
		},
		"pathParameters": parameters, "body": string(body), "isBase64Encoded": false,
	}
}

// flat joins headers as API Gateway does, under names in the given letters.
func flat(h http.Header, letters func(string) string) map[string]string {
	headers := make(map[string]string)
	for name, values := range h {
		headers[letters(name)] = strings.Join(values, ",")
	}
	return headers
}

func asIs(s string) string { return s }

// event returns the call's event and the function that takes it.
func (c *call) event(letters func(string) string) (map[string]any, string) {
	header, err := c.headers()
	if err != nil {
		panic("e2e: " + err.Error())
	}
	function := parkingSync
	if c.route == demovendor.Entry {
		function = vehicleNotify
	}
	return httpEvent("POST /v1/vendors/{vendor_id}/"+c.route, c.path(), map[string]string{"vendor_id": c.vendor}, flat(header, letters), c.body), function
}

// callbackEvent returns a callback's event.
func callbackEvent(c wechatpaysim.Callback, letters func(string) string) map[string]any {
	_, path, _ := strings.Cut(strings.TrimPrefix(c.URL, "http://"), "/")
	route, parameters := "POST /v1/callbacks/businesscircle", map[string]string(nil)
	if vendor, ok := strings.CutPrefix("/"+path, "/v1/callbacks/vehicle/"); ok {
		route, parameters = "POST /v1/callbacks/vehicle/{vendor_id}", map[string]string{"vendor_id": vendor}
	}
	return httpEvent(route, "/"+path, parameters, flat(c.Header, letters), c.Body)
}

// invoke hands an event to a function and reads its answer of payload format 2.0.
func (g *gateway) invoke(t *testing.T, function string, event any) (answer, error) {
	t.Helper()
	payload, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return g.invokeBytes(t, function, payload)
}

func (g *gateway) invokeBytes(t *testing.T, function string, payload []byte) (answer, error) {
	t.Helper()
	out, err := g.Host.Invoke(t.Context(), function, payload)
	if err != nil {
		return answer{}, err
	}
	var a struct {
		StatusCode int               `json:"statusCode"`
		Headers    map[string]string `json:"headers"`
		Body       string            `json:"body"`
	}
	if err := json.Unmarshal(out, &a); err != nil || a.StatusCode == 0 {
		t.Fatalf("the function's answer is none of payload format 2.0: %s", out)
	}
	h := http.Header{}
	for name, value := range a.Headers {
		h.Set(name, value)
	}
	return answer{a.StatusCode, h, []byte(a.Body)}, nil
}

// TestEvents: how the event is written does not matter, and two values of one header are never taken for one.
func TestEvents(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneParkings, laneEntry, laneCallbacks)
	encode := func(e map[string]any) {
		e["body"], e["isBase64Encoded"] = base64.StdEncoding.EncodeToString([]byte(e["body"].(string))), true
	}
	// alsoAs adds a header a second time, under its name in other letters.
	alsoAs := func(name string) func(map[string]any) {
		return func(e map[string]any) {
			headers := e["headers"].(map[string]string)
			headers[strings.ToLower(name)] = headers[name]
		}
	}
	for _, route := range []string{demovendor.Parkings, demovendor.Entry} {
		for _, row := range []struct {
			name    string
			letters func(string) string
			change  func(map[string]any)
			status  int
			code    string
		}{
			{"lower case", strings.ToLower, func(map[string]any) {}, success[route], ""},
			{"canonical", asIs, func(map[string]any) {}, success[route], ""},
			{"upper case", strings.ToUpper, func(map[string]any) {}, success[route], ""},
			{"base64", strings.ToLower, encode, success[route], ""},
			{"members that were added", asIs, func(e map[string]any) { e["more"] = []any{1, nil} }, success[route], ""},
			{"webhook-id under two names", asIs, alsoAs("Webhook-Id"), 401, "malformed_header"},
			{"webhook-timestamp under two names", asIs, alsoAs("Webhook-Timestamp"), 401, "malformed_header"},
			{"webhook-signature under two names", asIs, alsoAs("Webhook-Signature"), 401, "malformed_header"},
			{"content-type under two names", asIs, alsoAs("Content-Type"), 415, "unsupported_media_type"},
			{"no headers", asIs, func(e map[string]any) { e["headers"] = nil }, 401, "missing_header"},
			{"no path parameters", asIs, func(e map[string]any) { e["pathParameters"] = nil }, 401, "not_authenticated"},
			{"no body", asIs, func(e map[string]any) { delete(e, "body") }, 401, "not_authenticated"},
			{"another vendor in the raw path", asIs, func(e map[string]any) { e["rawPath"] = "/v1/vendors/" + unknownVendor + "/x" }, success[route], ""},
		} {
			t.Run(route+" "+row.name, func(t *testing.T) {
				event, function := g.newCall(route).event(row.letters)
				row.change(event)
				a, err := g.invoke(t, function, event)
				if err != nil {
					t.Fatal(err)
				}
				if a.status != row.status || a.requestID() != "e2e-request-id=" {
					t.Errorf("got status %d and Request-Id %q, want %d and the event's: %s", a.status, a.requestID(), row.status, a.body)
				}
				if row.code != "" {
					if p := checkProblem(t, a); *p.Code != row.code {
						t.Errorf("got code %s, want %s", *p.Code, row.code)
					}
				}
			})
		}
		t.Run(route+" a body that is not UTF-8", func(t *testing.T) {
			c := g.newCall(route)
			c.replace(fixture.Plate, "\xd4\xc1B888888") // in GBK
			event, function := c.event(asIs)
			event["body"], event["isBase64Encoded"] = base64.StdEncoding.EncodeToString(c.body), true
			a, err := g.invoke(t, function, event)
			if err != nil {
				t.Fatal(err)
			}
			vendorScenario{status: 400, code: "malformed_json"}.check(t, a, nil)
		})
	}
	for _, row := range []struct {
		name    string
		letters func(string) string
		change  func(map[string]any)
		status  int
		body    string
	}{
		{"lower case", strings.ToLower, func(map[string]any) {}, 204, ""},
		{"canonical", asIs, func(map[string]any) {}, 204, ""},
		{"base64", strings.ToUpper, encode, 204, ""},
		{"Wechatpay-Timestamp under two names", asIs, alsoAs("Wechatpay-Timestamp"), 400, "malformed"},
		{"Wechatpay-Nonce under two names", asIs, alsoAs("Wechatpay-Nonce"), 400, "malformed"},
		{"Wechatpay-Signature under two names", asIs, alsoAs("Wechatpay-Signature"), 400, "malformed"},
		{"Wechatpay-Serial under two names", asIs, alsoAs("Wechatpay-Serial"), 400, "malformed"},
	} {
		t.Run("callback "+row.name, func(t *testing.T) {
			event := callbackEvent(payment(t, g), row.letters)
			row.change(event)
			a, err := g.invoke(t, notifyCallback, event)
			want := ""
			if row.body != "" {
				want = strings.Replace(refusedMessage, "%", row.body, 1)
			}
			if err != nil || a.status != row.status || string(a.body) != want {
				t.Errorf("got %d %s, %v, want %d %s", a.status, a.body, err, row.status, want)
			}
			if n := len(g.queue.take(t)); (n == 1) != (row.status == 204) {
				t.Errorf("got %d messages", n)
			}
		})
	}
}

// TestNotAnEvent: what is no event of an HTTP API is an error of the invocation, and ends nothing.
func TestNotAnEvent(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	g.lane(t, laneParkings, laneEntry, laneCallbacks)
	for _, function := range functions {
		t.Run(function, func(t *testing.T) {
			g.warm(t)
			g.stays(t, function)
			for _, payload := range []string{
				`{}`, `[]`, `null`, `"x"`, `1`, `{"routeKey":1}`, `{"Records":[{"eventSource":"aws:sqs"}]}`, `{"version":"1.0","httpMethod":"POST"}`,
				`{"routeKey":"POST /x","headers":[]}`, `{"routeKey":"POST /x","isBase64Encoded":true,"body":"%"}`,
				strings.Repeat("[", 100_000), "",
			} {
				_, err := g.invokeBytes(t, function, []byte(payload))
				if !errors.Is(err, lambdahost.ErrReported) {
					t.Errorf("%.40s: got %v, want the function's error", payload, err)
				}
			}
			a, err := g.invoke(t, function, httpEvent("POST /nowhere", "/nowhere", nil, nil, nil))
			if err != nil || a.status < 500 {
				t.Errorf("an unknown route: got status %d, %v, want 5xx", a.status, err)
			}
		})
	}
}

// warm starts every function.
func (g *gateway) warm(t *testing.T) {
	t.Helper()
	for _, route := range slices.Sorted(maps.Keys(success)) {
		if a := g.newCall(route).do(t); a.status != success[route] {
			t.Fatalf("%s: got status %d, want %d: %s", route, a.status, success[route], a.body)
		}
	}
	deliver(t, g, payment(t, g), 1)
}
