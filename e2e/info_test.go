//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/stack"
	events "wechat-parking-gateway/shared/event"
)

// newInfoCall returns a valid question of the fixture's vendor about itself.
func (g *gateway) newInfoCall() *call {
	c := g.newCall("")
	c.method, c.body = http.MethodGet, nil
	return c
}

// TestVendorInfo: a vendor is told what is configured for it, over the compiled function.
func TestVendorInfo(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		start  func() (*gateway, error)
		vendor string
		want   string
	}{
		"partner": {partnerStack, fixture.VendorID, `{"vendor_id":"demo-parking","mode":"partner","mchid":"10000098",` +
			`"merchants":[{"sub_mchid":"1900000109","vehicle":{"sub_appid":"wxcbda96de0b165489"},"businesscircle":{"brandid":1000,"appid":"wx931386123456789e"}}],` +
			`"events":["vehicle.plate_state_changed","businesscircle.card_activated","businesscircle.transaction_succeeded","businesscircle.refund_succeeded"],` +
			`"webhook_host":"parking.example.com","request_secrets":1,"webhook_secrets":1,"signed_with_newest_secret":true`},
		"direct": {directStack, fixture.VendorID, `{"vendor_id":"demo-parking","mode":"direct","mchid":"10000098",` +
			`"merchants":[{"vehicle":{},"businesscircle":{"brandid":1000,"appid":"wx931386123456789e"}}],` +
			`"events":["vehicle.plate_state_changed","businesscircle.card_activated","businesscircle.transaction_succeeded","businesscircle.refund_succeeded"],` +
			`"webhook_host":"parking.example.com","request_secrets":1,"webhook_secrets":1,"signed_with_newest_secret":true`},
		"a merchant without a product": {partnerStack, bareVendor, `{"vendor_id":"bare-parking","mode":"partner","mchid":"10000098",` +
			`"merchants":[{"sub_mchid":"1900000113"}],"events":["vehicle.plate_state_changed"],` +
			`"webhook_host":"","request_secrets":2,"webhook_secrets":1,"signed_with_newest_secret":true`},
	} {
		t.Run(name, func(t *testing.T) {
			c := get(t, row.start).newInfoCall()
			c.as(row.vendor)
			c.at = c.at.Add(-10 * time.Second)
			a := c.do(t)
			if a.status != 200 || a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" || a.requestID() == "" {
				t.Fatalf("got %d with %v: %s", a.status, a.header, a.body)
			}
			var rest struct {
				ServerTime string `json:"server_time"`
				Skew       int64  `json:"clock_skew_seconds"`
			}
			if err := json.Unmarshal(a.body, &rest); err != nil || !strings.HasPrefix(string(a.body), row.want+`,"server_time":`) {
				t.Fatalf("got %s, %v, want %s and the times", a.body, err, row.want)
			}
			at, err := time.Parse(time.RFC3339, rest.ServerTime)
			if err != nil || !beijingTime.MatchString(rest.ServerTime) || time.Since(at).Abs() > time.Minute || rest.Skew > -10 || rest.Skew < -70 {
				t.Errorf("got %s, want Beijing time and a skew of about -10", a.body)
			}
		})
	}
}

// TestVendorAsksForItself: so does the demo vendor, which signs with a library, and may ask again under the same id.
func TestVendorAsksForItself(t *testing.T) {
	t.Parallel()
	g := get(t, deliveringStack)
	for range 2 {
		a, err := g.Vendor.Info(t.Context(), "e2e-self")
		if err != nil {
			t.Fatal(err)
		}
		host := `"webhook_host":"` + strings.Split(g.World.Vendors.Vendors[fixture.VendorID].WebhookURL, "/")[2] + `"`
		if a.Status != 200 || !strings.Contains(string(a.Body), host) || a.Header.Get("Idempotency-Replayed") != "" {
			t.Errorf("got %d %s, want %s", a.Status, a.Body, host)
		}
	}
}

// TestVendorInfoRefusals: authentication alone stands before it; and what is no route of the template is API Gateway's to
// answer.
func TestVendorInfoRefusals(t *testing.T) {
	t.Parallel()
	g := get(t, partnerStack)
	method := func(name string) func(*call) { return func(c *call) { c.method = name } }
	for _, row := range []struct {
		name   string
		change func(*call)
		status int
		code   string // "" for API Gateway's own answer
	}{
		{"no signature", header("Webhook-Signature"), 401, "missing_header"},
		{"an hour ago", sentAt(-time.Hour), 401, "timestamp_out_of_range"},
		{"another's signature", func(c *call) { c.secret = fixture.NewSecret() }, 401, "not_authenticated"},
		{"an unknown vendor", as(unknownVendor), 401, "not_authenticated"},
		{"another vendor's path", func(c *call) { c.vendor = chainVendor }, 401, "not_authenticated"},
		{"disabled", as(disabledVendor), 403, "vendor_disabled"},
		{"a POST", method(http.MethodPost), 404, ""},
		{"a DELETE", method(http.MethodDelete), 404, ""},
		{"a HEAD", method(http.MethodHead), 404, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := g.newInfoCall()
			row.change(c)
			a := c.do(t)
			if a.status != row.status {
				t.Errorf("got %d, want %d: %s", a.status, row.status, a.body)
			}
			if row.code != "" {
				if p := checkProblem(t, a); *p.Code != row.code {
					t.Errorf("got code %s, want %s", *p.Code, row.code)
				}
			} else if c.method != http.MethodHead && string(a.body) != `{"message":"Not Found"}` {
				t.Errorf("got %s, want API Gateway's own answer", a.body)
			}
		})
	}
}

// pingStack has a vendor that lists no event, one that is disabled and one without an address.
var pingStack = sync.OnceValues(func() (*gateway, error) {
	return start(func(w *fixture.World) {
		disabled, nowhere := listener("https://parking.example.com/webhooks"), listener("")
		disabled.Disabled = true
		w.Vendors.Vendors["disabled"], w.Vendors.Vendors["nowhere"] = disabled, nowhere
	}, stack.Options{})
})

// TestPing: a ping reaches a vendor's receiver whatever it listens to, once for each ping, and what cannot be pinged is
// parked with the usual reasons.
func TestPing(t *testing.T) {
	t.Parallel()
	g := get(t, pingStack)
	send := func(vendorID string) events.Message {
		t.Helper()
		ping := events.Ping(vendorID, rand.Text(), time.Now())
		if err := events.NewQueue(g.queue.client, g.queue.url).Send(t.Context(), []events.Message{ping}); err != nil {
			t.Fatal(err)
		}
		return ping
	}
	hear := func(r *demovendor.Receiver, ping events.Message) demovendor.Delivery {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		d, err := r.Wait(ctx, ping.ID)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	// OtherVendorID lists plates alone.
	for vendorID, r := range map[string]*demovendor.Receiver{fixture.VendorID: g.Webhooks, fixture.OtherVendorID: g.OtherWebhooks} {
		ping := send(vendorID)
		d := hear(r, ping)
		if !d.Accepted() || d.Type != "gateway.ping" {
			t.Errorf("%s: got %s, %v, %d, want a ping that is taken", vendorID, d.Type, d.Verdict, d.Status)
		}
		if diff := cmp.Diff(string(ping.Data), string(d.Data)); diff != "" {
			t.Errorf("%s: data (-want +got):\n%s", vendorID, diff)
		}
		suite.log.wait(t, `"event_id":"`+ping.ID+`"`, `"decision":"delivered"`, `"event_type":"gateway.ping"`)
	}
	// One that fails is tried again.
	if err := g.Webhooks.Inject(demovendor.Fault{Kind: demovendor.FaultStatus, Status: 500, Times: 1}); err != nil {
		t.Fatal(err)
	}
	ping := send(fixture.VendorID)
	suite.log.wait(t, `"event_id":"`+ping.ID+`"`, `"decision":"delayed"`, `"reason":"http_500"`)
	suite.log.wait(t, `"event_id":"`+ping.ID+`"`, `"decision":"delivered"`)

	send("disabled")
	send("nowhere")
	if got, want := g.deadLetters(t, 2), []string{"disabled vendor_disabled", "nowhere no_webhook_url"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
