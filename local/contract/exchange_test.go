package contract_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"wechat-parking-gateway/local/contract"
)

const infoRoute = "GET /v1/vendors/{vendor_id}"

// asked is a good exchange that the cases change in one place.
func asked() contract.Exchange {
	return contract.Exchange{
		Route: infoRoute, Path: map[string]string{"vendor_id": "acme"}, Status: 200,
		Header:   http.Header{"webhook-id": {"info-1"}, "webhook-timestamp": {"1795341947"}, "webhook-signature": {"v1,x"}},
		Answered: http.Header{"Content-Type": {"application/json"}, "Request-Id": {"r-1"}, "Cache-Control": {"no-store"}},
		Answer: []byte(`{"vendor_id":"acme","mode":"direct","mchid":"10000098","merchants":[],"events":[],"webhook_host":"","request_secrets":1,` +
			`"webhook_secrets":0,"signed_with_newest_secret":true,"server_time":"2026-11-22T10:00:00+08:00","clock_skew_seconds":0}`),
	}
}

func ExampleContract_Check() {
	c, err := contract.Load()
	if err != nil {
		fmt.Println(err)
		return
	}
	e := asked()
	fmt.Println(c.Check(e))
	delete(e.Answered, "Cache-Control")
	fmt.Println(c.Check(e) != nil)
	// Output:
	// <nil>
	// true
}

func TestCheck(t *testing.T) {
	c := load(t)
	problem := func(code string, status int) func(*contract.Exchange) {
		return func(e *contract.Exchange) {
			e.Status, e.Answered = status, http.Header{"Content-Type": {"application/problem+json"}, "Request-Id": {"r-1"}}
			e.Answer = fmt.Appendf(nil, `{"type":"about:blank","title":"T","status":%d,"detail":"d","code":%q,"request_id":"r-1"}`, status, code)
		}
	}
	both := func(changes ...func(*contract.Exchange)) func(*contract.Exchange) {
		return func(e *contract.Exchange) {
			for _, change := range changes {
				change(e)
			}
		}
	}
	unsigned := func(e *contract.Exchange) { e.Header = http.Header{} }
	for _, tt := range []struct {
		name   string
		change func(*contract.Exchange)
		want   string // of the error, "" for none
	}{
		{"as it is", func(*contract.Exchange) {}, ""},
		{"no signature, and taken", unsigned, "webhook-signature"},
		{"no signature, and refused for that", both(unsigned, problem("missing_header", 401)), ""},
		{"an id that is too long", func(e *contract.Exchange) { e.Header["webhook-id"] = []string{strings.Repeat("i", 65)} }, "webhook-id"},
		{"a vendor's id of another form", func(e *contract.Exchange) { e.Path = map[string]string{"vendor_id": "Acme"} }, "vendor_id"},
		{"a code of another status", problem("missing_header", 403), "code"},
		{"a code of another route", problem("wechatpay_unavailable", 503), "code"},
		{"a problem without a request's id", both(problem("gateway_unavailable", 503), func(e *contract.Exchange) { e.Answered.Del("Request-Id") }), "Request-Id"},
		{"API Gateway's own", func(e *contract.Exchange) {
			e.Status, e.Answered, e.Answer = 503, http.Header{"Content-Type": {"application/json"}}, []byte(`{"message":"Service Unavailable"}`)
		}, ""},
		{"a header that is not there", func(e *contract.Exchange) { e.Answered.Set("X-More", "1") }, "X-More"},
		{"a header's other value", func(e *contract.Exchange) { e.Answered.Set("Cache-Control", "public") }, "Cache-Control"},
		{"a status that is not there", func(e *contract.Exchange) { e.Status = 418 }, "status is not supported"},
		{"a member more", func(e *contract.Exchange) { e.Answer = []byte(strings.Replace(string(e.Answer), "{", `{"more":1,`, 1)) }, "more"},
		{"a time in another zone", func(e *contract.Exchange) { e.Answer = []byte(strings.Replace(string(e.Answer), "+08:00", "Z", 1)) }, "server_time"},
		{"a route that is not there", func(e *contract.Exchange) { e.Route = "GET /v1/more" }, "there is no route"},
		{"no route, API Gateway's own", func(e *contract.Exchange) { e.Route, e.Status, e.Answer = "", 404, []byte(`{"message":"Not Found"}`) }, ""},
		{"no route, another body", func(e *contract.Exchange) { e.Route, e.Status = "", 404 }, "GatewayMessage"},
		{"no route, and taken", func(e *contract.Exchange) { e.Route = "" }, "without a route"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := asked()
			tt.change(&e)
			err := c.Check(e)
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error about %q", err, tt.want)
			}
		})
	}
}

func TestEvent(t *testing.T) {
	c := load(t)
	const good = `{"type":"gateway.ping","timestamp":"2026-11-22T10:00:00+08:00","data":{"vendor_id":"acme","message":"m"}}`
	for _, tt := range []struct {
		name, body string
		change     func(http.Header)
		want       string
	}{
		{"as it is", good, func(http.Header) {}, ""},
		{"a type without a name", strings.Replace(good, "gateway.ping", "wechatpay.MALL_NEW.THING", 1), func(http.Header) {}, ""},
		{"with a trace", good, func(h http.Header) { h.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01") }, ""},
		{"with another's trace", good, func(h http.Header) { h.Set("Traceparent", "1") }, "traceparent"},
		{"an unknown type", strings.Replace(good, "ping", "pong", 1), func(http.Header) {}, "there is no event"},
		{"no signature", good, func(h http.Header) { h.Del("Webhook-Signature") }, "webhook-signature"},
		{"a vendor's id", good, func(h http.Header) { h.Set("Webhook-Id", "visit-1") }, "webhook-id"},
		{"a header more", good, func(h http.Header) { h.Set("X-More", "1") }, "X-More"},
		{"a member more", strings.Replace(good, `"message"`, `"more":1,"message"`, 1), func(http.Header) {}, "more"},
		{"a member of the envelope more", strings.Replace(good, `"data"`, `"more":1,"data"`, 1), func(http.Header) {}, "more"},
		{"no JSON", "ping", func(http.Header) {}, "no JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{
				"Content-Type": {"application/json"}, "User-Agent": {"wechat-parking-gateway"}, "Webhook-Id": {"evt_" + strings.Repeat("0", 40)},
				"Webhook-Timestamp": {"1795341947"}, "Webhook-Signature": {"v1,x"},
			}
			tt.change(h)
			err := c.Event(h, []byte(tt.body))
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error about %q", err, tt.want)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	c := load(t)
	for _, tt := range []struct{ method, path, route, vendorID string }{
		{"GET", "/v1/vendors/acme", infoRoute, "acme"},
		{"POST", "/v1/vendors/acme/vehicle/notifications", "POST /v1/vendors/{vendor_id}/vehicle/notifications", "acme"},
		{"POST", "/v1/callbacks/businesscircle", "POST /v1/callbacks/businesscircle", ""},
		{"POST", "/v1/callbacks/vehicle/acme", "POST /v1/callbacks/vehicle/{vendor_id}", "acme"},
		{"HEAD", "/v1/vendors/acme", "", ""},
		{"GET", "/v1/vendors/", "", ""},
		{"GET", "/v1/vendors/acme/", "", ""},
		{"GET", "/", "", ""},
	} {
		route, params, ok := c.Match(tt.method, tt.path)
		if route != tt.route || params["vendor_id"] != tt.vendorID || ok != (tt.route != "") {
			t.Errorf("%s %s: got %q %v, want %q %q", tt.method, tt.path, route, params, tt.route, tt.vendorID)
		}
	}
}
