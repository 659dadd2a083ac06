package main

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/shared/httpapi"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/vendor"
	"wechat-parking-gateway/shared/vendorapi"
)

var now = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)

// rig is the function with its surroundings in memory.
type rig struct {
	t         testing.TB
	world     *fixture.World
	merchants *functest.Source[*merchant.Merchant]
	vendors   *functest.Source[*vendor.Directory]
	log       *functest.Log
	adapter   *httpapi.Adapter
}

func newRig(t testing.TB, changes ...func(*fixture.World)) *rig {
	t.Helper()
	r := &rig{t: t, world: functest.NewWorld(t)}
	for _, change := range changes {
		change(r.world)
	}
	r.log = functest.NewLog(t, functest.Private(r.world)...)
	r.merchants = &functest.Source[*merchant.Merchant]{Value: functest.Merchant(t, r.world)}
	r.vendors = &functest.Source[*vendor.Directory]{Value: functest.Vendors(t, r.world)}
	clock := func() time.Time { return now }
	h := &information{merchants: r.merchants, now: clock}
	inquiry := &vendorapi.Inquiry{Vendors: r.vendors, Now: clock, Answer: h.answer}
	r.adapter = &httpapi.Adapter{
		Routes: map[string]httpapi.Handler{route: inquiry.Handle}, Failed: vendorapi.Failed, Now: time.Now, Logger: r.log.Logger(),
	}
	return r
}

// event is a good request of a vendor's, signed at the given moment with one of its request secrets.
func (r *rig) event(vendorID, secret string, at time.Time) functest.Event {
	header := functest.SignedHeader(r.t, secret, "info-1", at, "")
	delete(header, "content-type")
	return functest.Event{Route: route, RequestID: "r-1", Path: map[string]string{"vendor_id": vendorID}, Header: header}
}

// send returns the answer, in which nothing private may stand.
func (r *rig) send(e functest.Event) functest.Answer {
	r.t.Helper()
	a := functest.Invoke(r.t.Context(), r.t, r.adapter, e)
	if leak := r.log.Leak(a.Body); leak != "" {
		r.t.Errorf("the answer holds %q: %s", leak, a.Body)
	}
	return a
}

// ask is a good request of VendorID.
func (r *rig) ask() functest.Answer {
	r.t.Helper()
	return r.send(r.event(fixture.VendorID, r.world.RequestSecret(fixture.VendorID), now))
}

// The parts of the sample vendor's answer that its configuration decides.
const (
	sampleMerchants = `"merchants":[{"sub_mchid":"1900000109","vehicle":{"sub_appid":"wxcbda96de0b165489"},` +
		`"businesscircle":{"brandid":1000,"appid":"wx931386123456789e"}}]`
	sampleEvents = `"events":["vehicle.plate_state_changed","businesscircle.card_activated",` +
		`"businesscircle.transaction_succeeded","businesscircle.refund_succeeded"]`
	sampleTime = `"server_time":"2026-11-22T10:00:00+08:00","clock_skew_seconds":0`
)

func TestAnswer(t *testing.T) {
	secrets := func(request, webhook int) func(*fixture.World) {
		return func(w *fixture.World) {
			v := w.Vendors.Vendors[fixture.VendorID]
			v.RequestSecrets, v.WebhookSecrets = nil, nil
			for range request {
				v.RequestSecrets = append(v.RequestSecrets, fixture.NewSecret())
			}
			for range webhook {
				v.WebhookSecrets = append(v.WebhookSecrets, fixture.NewSecret())
			}
		}
	}
	tests := []struct {
		name   string
		change func(*fixture.World)
		want   string
	}{
		{
			"the sample vendor", func(*fixture.World) {},
			`{"vendor_id":"demo-parking","mode":"partner","mchid":"10000098",` + sampleMerchants + `,` + sampleEvents +
				`,"webhook_host":"parking.example.com","request_secrets":1,"webhook_secrets":1,"signed_with_newest_secret":true,` + sampleTime + `}`,
		},
		{
			"a merchant that calls for itself", (*fixture.World).Direct,
			`{"vendor_id":"demo-parking","mode":"direct","mchid":"10000098",` +
				`"merchants":[{"vehicle":{},"businesscircle":{"brandid":1000,"appid":"wx931386123456789e"}}],` + sampleEvents +
				`,"webhook_host":"parking.example.com","request_secrets":1,"webhook_secrets":1,"signed_with_newest_secret":true,` + sampleTime + `}`,
		},
		{
			"while secrets are rotated", secrets(2, 3),
			`{"vendor_id":"demo-parking","mode":"partner","mchid":"10000098",` + sampleMerchants + `,` + sampleEvents +
				`,"webhook_host":"parking.example.com","request_secrets":2,"webhook_secrets":3,"signed_with_newest_secret":true,` + sampleTime + `}`,
		},
		{
			"products and receiver missing", func(w *fixture.World) {
				v := w.Vendors.Vendors[fixture.VendorID]
				v.WebhookURL, v.WebhookSecrets, v.Events = "", []string{}, nil
				v.Merchants = []fixture.VendorMerchant{
					{SubMchID: "1"}, {SubMchID: "2", Vehicle: &fixture.Vehicle{}}, {Vehicle: &fixture.Vehicle{SubAppID: "wx1"}},
				}
			},
			`{"vendor_id":"demo-parking","mode":"partner","mchid":"10000098",` +
				`"merchants":[{"sub_mchid":"1"},{"sub_mchid":"2","vehicle":{}}],"events":["vehicle.plate_state_changed"]` +
				`,"webhook_host":"","request_secrets":1,"webhook_secrets":0,"signed_with_newest_secret":true,` + sampleTime + `}`,
		},
		{
			"nothing to call for", func(w *fixture.World) { w.Vendors.Vendors[fixture.VendorID].Merchants = []fixture.VendorMerchant{} },
			`{"vendor_id":"demo-parking","mode":"partner","mchid":"10000098","merchants":[],` + sampleEvents +
				`,"webhook_host":"parking.example.com","request_secrets":1,"webhook_secrets":1,"signed_with_newest_secret":true,` + sampleTime + `}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.change)
			a := r.ask()
			if a.Status != 200 || a.Body != tt.want {
				t.Errorf("got %d\n%s, want 200\n%s", a.Status, a.Body, tt.want)
			}
			if a.Header["Content-Type"] != "application/json" || a.Header["Cache-Control"] != "no-store" || a.Header["Request-Id"] != "r-1" {
				t.Errorf("got headers %v, want JSON that no cache keeps, and the request's id", a.Header)
			}
			if line := r.log.Last(t); line["vendor_id"] != fixture.VendorID || line["webhook_id"] != "info-1" || line["status"] != "200" {
				t.Errorf("got the line %v, want vendor, id and status", line)
			}
		})
	}
}

// TestOlderSecret: a vendor sees that it still signs with the secret that is to go.
func TestOlderSecret(t *testing.T) {
	r := newRig(t, func(w *fixture.World) {
		v := w.Vendors.Vendors[fixture.VendorID]
		v.RequestSecrets = append([]string{fixture.NewSecret()}, v.RequestSecrets...)
	})
	for i, want := range []string{`"signed_with_newest_secret":true`, `"signed_with_newest_secret":false`} {
		a := r.send(r.event(fixture.VendorID, r.world.Vendors.Vendors[fixture.VendorID].RequestSecrets[i], now))
		if a.Status != 200 || !strings.Contains(a.Body, want) {
			t.Errorf("secret %d: got %d %s, want %s", i, a.Status, a.Body, want)
		}
	}
}

// TestClockSkew: the caller's clock, as far off as is let in.
func TestClockSkew(t *testing.T) {
	r := newRig(t)
	for skew, want := range map[time.Duration]string{
		0: `"clock_skew_seconds":0}`, 300 * time.Second: `"clock_skew_seconds":300}`, -300 * time.Second: `"clock_skew_seconds":-300}`,
	} {
		a := r.send(r.event(fixture.VendorID, r.world.RequestSecret(fixture.VendorID), now.Add(skew)))
		if a.Status != 200 || !strings.HasSuffix(a.Body, want) {
			t.Errorf("%v: got %d %s, want %s", skew, a.Status, a.Body, want)
		}
	}
}

// TestRefusals: what a vendor's call may be refused for here.
func TestRefusals(t *testing.T) {
	good := func(r *rig) functest.Event {
		return r.event(fixture.VendorID, r.world.RequestSecret(fixture.VendorID), now)
	}
	tests := []struct {
		name   string
		change func(*rig, *functest.Event)
		want   problem.Code
	}{
		{"no signature", func(_ *rig, e *functest.Event) { delete(e.Header, "webhook-signature") }, problem.MissingHeader},
		{"an event's id", func(_ *rig, e *functest.Event) { e.Header["webhook-id"] = "evt_1" }, problem.MalformedHeader},
		{"too old", func(r *rig, e *functest.Event) {
			*e = r.event(fixture.VendorID, r.world.RequestSecret(fixture.VendorID), now.Add(-301*time.Second))
		}, problem.TimestampOutOfRange},
		{"another vendor's secret", func(r *rig, e *functest.Event) {
			*e = r.event(fixture.VendorID, r.world.RequestSecret(fixture.OtherVendorID), now)
		}, problem.NotAuthenticated},
		{"a webhook secret", func(r *rig, e *functest.Event) {
			*e = r.event(fixture.VendorID, r.world.Vendors.Vendors[fixture.VendorID].WebhookSecrets[0], now)
		}, problem.NotAuthenticated},
		{"another vendor's path", func(_ *rig, e *functest.Event) { e.Path["vendor_id"] = fixture.OtherVendorID }, problem.NotAuthenticated},
		{"an unknown vendor's path", func(_ *rig, e *functest.Event) { e.Path["vendor_id"] = "nobody" }, problem.NotAuthenticated},
		{"a body that was not signed", func(_ *rig, e *functest.Event) { e.Body = "{}" }, problem.NotAuthenticated},
		{"a body that is too large", func(_ *rig, e *functest.Event) { e.Body = strings.Repeat("x", httpapi.MaxBody+1) }, problem.BodyTooLarge},
		{"disabled", func(r *rig, _ *functest.Event) {
			r.world.Vendors.Vendors[fixture.VendorID].Disabled = true
			r.vendors.Value = functest.Vendors(r.t, r.world)
		}, problem.VendorDisabled},
		{"the merchant's secret is out", func(r *rig, _ *functest.Event) { r.merchants.Err = functest.ErrDown }, problem.GatewayUnavailable},
		{"the vendors are out", func(r *rig, _ *functest.Event) { r.vendors.Err = functest.ErrDown }, problem.GatewayUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			e := good(r)
			tt.change(r, &e)
			a := r.send(e)
			functest.WantProblem(t, a, tt.want)
			if strings.Contains(a.Body, fixture.SubMchID) || strings.Contains(a.Body, "parking.example.com") {
				t.Errorf("the refusal tells of the configuration: %s", a.Body)
			}
			if r.log.Last(t)["code"] != string(tt.want) {
				t.Errorf("got the line %v, want the code %s", r.log.Last(t), tt.want)
			}
		})
	}
}

// TestSignedBody: a body means nothing here, and one that was signed does no harm.
func TestSignedBody(t *testing.T) {
	r := newRig(t)
	e := r.event(fixture.VendorID, r.world.RequestSecret(fixture.VendorID), now)
	e.Body = `{"ignored":true}`
	e.Header = functest.SignedHeader(t, r.world.RequestSecret(fixture.VendorID), "info-1", now, e.Body)
	if a := r.send(e); a.Status != 200 {
		t.Errorf("got %d %s, want 200", a.Status, a.Body)
	}
}

// TestRepeat: the same signed request may come again while its time is in range. It tells the same, and nothing keeps it.
func TestRepeat(t *testing.T) {
	r := newRig(t)
	first, again := r.ask(), r.ask()
	if first.Status != 200 || again.Body != first.Body || again.Header["Idempotency-Replayed"] != "" {
		t.Errorf("got %d %s, want the first answer made anew", again.Status, again.Body)
	}
}

// TestVendorsSeeThemselves: of another vendor nothing is told.
func TestVendorsSeeThemselves(t *testing.T) {
	r := newRig(t)
	a := r.send(r.event(fixture.OtherVendorID, r.world.RequestSecret(fixture.OtherVendorID), now))
	if a.Status != 200 || strings.Contains(a.Body, fixture.VendorID) || strings.Contains(a.Body, "businesscircle") ||
		!strings.Contains(a.Body, fixture.OtherSubMchID) {
		t.Errorf("got %d %s, want the other vendor's own", a.Status, a.Body)
	}
}

func TestWebhookHost(t *testing.T) {
	for webhookURL, want := range map[string]string{
		"":                            "",
		"https://parking.example.com": "parking.example.com",
		"https://parking.example.com/webhooks/token?key=secret#part": "parking.example.com",
		"https://user:password@parking.example.com/":                 "parking.example.com",
		"https://parking.example.com:8443/":                          "parking.example.com:8443",
		"https://[2001:db8::1]/":                                     "[2001:db8::1]",
		"parking.example.com":                                        "",
		"mailto:someone@example.com":                                 "",
		"https://a b/":                                               "",
		"https://%zz/":                                               "",
		"https://%ff/":                                               "",
		"https://parking.example.com\n/":                             "",
	} {
		if got := hostOf(webhookURL); got != want {
			t.Errorf("%q: got %q, want %q", webhookURL, got, want)
		}
	}
}

// FuzzWebhookHost: of a webhook_url, its path, query and user information stay untold, whatever stands in it.
func FuzzWebhookHost(f *testing.F) {
	for _, seed := range []string{
		"https://parking.example.com/token", "https://user:password@host:8443/x?y#z", "//host/x", "https://[::1%25eth0]/x", "https://host\\@other/x",
		"https://@host", "https:///path", "https://host;x=y/z", "%", "https://%ff/", "https://xn--fiq228c.example/", "https://a/b@c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, webhookURL string) {
		got := hostOf(webhookURL)
		if got == "" {
			return
		}
		u, err := url.Parse(webhookURL)
		if err != nil {
			t.Fatalf("%q: got %q of what is no URL", webhookURL, got)
		}
		if got != u.Host || strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`/?#@\"%`, r) }) {
			t.Errorf("%q: got %q, which is not the host alone", webhookURL, got)
		}
	})
}
