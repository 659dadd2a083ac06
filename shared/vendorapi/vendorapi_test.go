package vendorapi_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/shared/httpapi"
	"wechat-parking-gateway/shared/idempotency"
	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/stdwebhook"
	"wechat-parking-gateway/shared/vendor"
	"wechat-parking-gateway/shared/vendorapi"
	"wechat-parking-gateway/shared/wechatpay"
)

const route = "POST /v1/vendors/{vendor_id}/things"

var now = time.Unix(1654051419, 0)

// rig is one endpoint whose body is {"plate_number":"…"} and whose call is do.
type rig struct {
	t       *testing.T
	world   *fixture.World
	vendors *functest.Source[*vendor.Directory]
	claims  *functest.Claims
	log     *functest.Log
	adapter *httpapi.Adapter

	do    func(context.Context) (idempotency.Answer, error)
	calls int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, world: functest.NewWorld(t), claims: &functest.Claims{}}
	r.log = functest.NewLog(t, functest.Private(r.world)...)
	r.vendors = &functest.Source[*vendor.Directory]{Value: r.directory()}
	r.do = func(context.Context) (idempotency.Answer, error) { return idempotency.Answer{Status: 204}, nil }
	endpoint := &vendorapi.Endpoint{
		Name: "things", Vendors: r.vendors, Claims: r.claims, Now: func() time.Time { return now }, Prepare: r.prepare,
	}
	r.adapter = &httpapi.Adapter{
		Routes: map[string]httpapi.Handler{route: endpoint.Handle}, Failed: vendorapi.Failed, Now: time.Now, Logger: r.log.Logger(), Meter: r.log.Meter(),
	}
	return r
}

func (r *rig) directory() *vendor.Directory { return functest.Vendors(r.t, r.world) }

func (r *rig) prepare(_ context.Context, req *httpapi.Request, _ *vendor.Vendor) (vendorapi.Call, *problem.Problem) {
	body, p := vendorapi.ReadBody(req.Body, vendorapi.Schema{Fields: map[string]vendorapi.Kind{"plate_number": vendorapi.Text}})
	if p != nil {
		return vendorapi.Call{}, p
	}
	plate, _ := body.Required("plate_number")
	if p := body.Problem(); p != nil {
		return vendorapi.Call{}, p
	}
	return vendorapi.Call{
		Fingerprint: sha256.Sum256([]byte(plate)),
		Do: func(ctx context.Context) (idempotency.Answer, error) {
			r.calls++
			return r.do(ctx)
		},
	}, nil
}

const goodBody = `{"plate_number":"` + fixture.Plate + `"}`

// event is a good request, signed.
func (r *rig) event(body string) functest.Event {
	return functest.Event{
		Route: route, RequestID: "r-1", Path: map[string]string{"vendor_id": fixture.VendorID}, Body: body,
		Header: functest.SignedHeader(r.t, r.world.RequestSecret(fixture.VendorID), "fact-1", now, body),
	}
}

func (r *rig) send(e functest.Event) functest.Answer {
	r.t.Helper()
	a := functest.Run(r.t.Context(), r.t, r.adapter, e)
	if leak := r.log.Leak(a.Body); leak != "" {
		r.t.Errorf("the answer holds %q: %s", leak, a.Body)
	}
	return a
}

// TestOrderOfChecks: each request has two mistakes, and the earlier check answers.
func TestOrderOfChecks(t *testing.T) {
	type mistake func(*rig, *functest.Event)
	header := func(name, value string) mistake {
		return func(_ *rig, e *functest.Event) { e.Header[name] = value }
	}
	tooLarge := func(r *rig, e *functest.Event) {
		*e = r.event(`{"plate_number":"` + strings.Repeat("x", httpapi.MaxBody) + `"}`)
	}
	noID := func(_ *rig, e *functest.Event) { delete(e.Header, "webhook-id") }
	malformedID := header("webhook-id", "a b")
	noSignature := func(_ *rig, e *functest.Event) { delete(e.Header, "webhook-signature") }
	late := func(r *rig, e *functest.Event) {
		e.Header = functest.SignedHeader(r.t, r.world.RequestSecret(fixture.VendorID), "fact-1", now.Add(-time.Hour), e.Body)
	}
	unknown := func(_ *rig, e *functest.Event) { e.Path["vendor_id"] = "nobody" }
	vendorsOut := func(r *rig, _ *functest.Event) { r.vendors.Err = functest.ErrDown }
	disabled := func(r *rig, _ *functest.Event) {
		r.world.Vendors.Vendors[fixture.VendorID].Disabled = true
		r.vendors.Value = r.directory()
	}
	text := header("content-type", "text/plain")
	noJSON := func(r *rig, e *functest.Event) { *e = r.event("{") }
	claimsOut := func(r *rig, _ *functest.Event) { r.claims.ClaimErr = idempotency.ErrUnavailable }
	noPlate := func(r *rig, e *functest.Event) { *e = r.event("{}") }
	weChatPayOut := func(r *rig, _ *functest.Event) {
		r.do = func(context.Context) (idempotency.Answer, error) {
			return idempotency.Answer{}, &wechatpay.Error{Kind: wechatpay.Unavailable}
		}
	}
	for name, tc := range map[string]struct {
		first, second mistake
		want          problem.Code
	}{
		"size, header":                 {tooLarge, noID, problem.BodyTooLarge},
		"size, vendor":                 {tooLarge, unknown, problem.BodyTooLarge},
		"missing, time":                {late, noID, problem.MissingHeader},
		"missing, malformed":           {malformedID, noSignature, problem.MissingHeader},
		"missing, the vendors are out": {noID, vendorsOut, problem.MissingHeader},
		"malformed, time":              {late, malformedID, problem.MalformedHeader},
		"time, vendor":                 {late, unknown, problem.TimestampOutOfRange},
		"time, the vendors are out":    {late, vendorsOut, problem.TimestampOutOfRange},
		"vendors out, content type":    {vendorsOut, text, problem.GatewayUnavailable},
		"vendor, disabled":             {unknown, disabled, problem.NotAuthenticated},
		"vendor, content type":         {unknown, text, problem.NotAuthenticated},
		"vendor, JSON":                 {noJSON, unknown, problem.NotAuthenticated},
		"disabled, content type":       {disabled, text, problem.VendorDisabled},
		"disabled, JSON":               {noJSON, disabled, problem.VendorDisabled},
		"content type, JSON":           {noJSON, text, problem.UnsupportedMediaType},
		"JSON, claims out":             {noJSON, claimsOut, problem.MalformedJSON},
		"fields, claims out":           {noPlate, claimsOut, problem.InvalidFields},
		"claims out, WeChat Pay out":   {claimsOut, weChatPayOut, problem.GatewayUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			e := r.event(goodBody)
			tc.first(r, &e)
			tc.second(r, &e)
			functest.WantProblem(t, r.send(e), tc.want)
			if r.calls != 0 {
				t.Error("WeChat Pay was called")
			}
			if tc.want != problem.GatewayUnavailable && len(r.claims.Calls) != 0 {
				t.Errorf("got %v, want no claim before every check held", r.claims.Calls)
			}
			if got := r.log.Last(t)["code"]; got != string(tc.want) {
				t.Errorf("logged code %q, want %q", got, tc.want)
			}
			if got := r.log.Counted(t)["GatewayUnavailable"]; (got == 1) != (tc.want == problem.GatewayUnavailable) {
				t.Errorf("counted GatewayUnavailable %d times for %s", got, tc.want)
			}
		})
	}
}

// TestAuthentication is the table of the three headers: each row is one change to a good request.
func TestAuthentication(t *testing.T) {
	secret, other := fixture.NewSecret(), fixture.NewSecret()
	long := strings.Repeat("x", 64)
	signedAt := func(at time.Time) func(*rig, *functest.Event) {
		return func(r *rig, e *functest.Event) { e.Header = functest.SignedHeader(r.t, secret, "fact-1", at, e.Body) }
	}
	signedWith := func(s string) func(*rig, *functest.Event) {
		return func(r *rig, e *functest.Event) { e.Header = functest.SignedHeader(r.t, s, "fact-1", now, e.Body) }
	}
	signedFor := func(id string) func(*rig, *functest.Event) {
		return func(r *rig, e *functest.Event) { e.Header = functest.SignedHeader(r.t, secret, id, now, e.Body) }
	}
	header := func(name, value string) func(*rig, *functest.Event) {
		return func(_ *rig, e *functest.Event) { e.Header[name] = value }
	}
	signature := func(change func(string) string) func(*rig, *functest.Event) {
		return func(_ *rig, e *functest.Event) { e.Header["webhook-signature"] = change(e.Header["webhook-signature"]) }
	}
	const accepted = problem.Code("")
	for name, tc := range map[string]struct {
		change func(*rig, *functest.Event)
		want   problem.Code
	}{
		"as it is":                      {func(*rig, *functest.Event) {}, accepted},
		"canonical names":               {func(_ *rig, e *functest.Event) { e.Header = canonical(e.Header) }, accepted},
		"base64 body":                   {func(_ *rig, e *functest.Event) { e.Base64, e.Body = true, "eyJwbGF0ZV9udW1iZXIiOiLnsqRCODg4ODg4In0=" }, accepted},
		"the second secret":             {signedWith(other), accepted},
		"5 minutes ago":                 {signedAt(now.Add(-5 * time.Minute)), accepted},
		"5 minutes ahead":               {signedAt(now.Add(5 * time.Minute)), accepted},
		"a good signature among others": {signature(func(s string) string { return "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= v1a,x " + s }), accepted},
		"an id of 64":                   {signedFor(long), accepted},
		"an id of every kind":           {signedFor("Az09_-"), accepted},
		"an id that holds evt_":         {signedFor("my-evt_1"), accepted},

		"no id":               {header("webhook-id", ""), problem.MissingHeader},
		"no timestamp":        {header("webhook-timestamp", ""), problem.MissingHeader},
		"no signature":        {header("webhook-signature", ""), problem.MissingHeader},
		"no header at all":    {func(_ *rig, e *functest.Event) { e.Header = nil }, problem.MissingHeader},
		"an id of 65":         {signedFor(long + "x"), problem.MalformedHeader},
		"an id of ours":       {signedFor("evt_1"), problem.MalformedHeader},
		"an id with a dot":    {header("webhook-id", "a.b"), problem.MalformedHeader},
		"an id with a comma":  {header("webhook-id", "a,b"), problem.MalformedHeader},
		"an id with a #":      {header("webhook-id", "a#b"), problem.MalformedHeader},
		"an id of a plate":    {header("webhook-id", fixture.Plate), problem.MalformedHeader},
		"an id twice":         {func(_ *rig, e *functest.Event) { e.Header["Webhook-Id"] = e.Header["webhook-id"] }, problem.MalformedHeader},
		"a timestamp twice":   {func(_ *rig, e *functest.Event) { e.Header["Webhook-Timestamp"] = e.Header["webhook-timestamp"] }, problem.MalformedHeader},
		"a signature twice":   {func(_ *rig, e *functest.Event) { e.Header["Webhook-Signature"] = e.Header["webhook-signature"] }, problem.MalformedHeader},
		"signatures by comma": {signature(func(s string) string { return s + "," + s }), problem.MalformedHeader},
		"timestamps by comma": {header("webhook-timestamp", "1654051419,1654051419"), problem.MalformedHeader},
		"milliseconds":        {header("webhook-timestamp", "1654051419000"), problem.MalformedHeader},
		"RFC 3339":            {header("webhook-timestamp", "2022-06-01T10:43:39+08:00"), problem.MalformedHeader},
		"a fraction":          {header("webhook-timestamp", "1654051419.5"), problem.MalformedHeader},
		"a sign":              {header("webhook-timestamp", "+1654051419"), problem.MalformedHeader},
		"no base64":           {header("webhook-signature", "v1,!"), problem.MalformedHeader},
		"hexadecimal":         {header("webhook-signature", "v1,"+strings.Repeat("ab", 32)), problem.MalformedHeader},
		"no version":          {signature(func(s string) string { return strings.TrimPrefix(s, "v1,") }), problem.MalformedHeader},
		"another version":     {signature(func(s string) string { return "v2" + s[2:] }), problem.MalformedHeader},
		"5:01 ago":            {signedAt(now.Add(-301 * time.Second)), problem.TimestampOutOfRange},
		"5:01 ahead":          {signedAt(now.Add(301 * time.Second)), problem.TimestampOutOfRange},
		"the epoch":           {header("webhook-timestamp", "0"), problem.TimestampOutOfRange},

		"an unknown vendor":       {func(_ *rig, e *functest.Event) { e.Path["vendor_id"] = "nobody" }, problem.NotAuthenticated},
		"a vendor of upper case":  {func(_ *rig, e *functest.Event) { e.Path["vendor_id"] = strings.ToUpper(fixture.VendorID) }, problem.NotAuthenticated},
		"no vendor":               {func(_ *rig, e *functest.Event) { e.Path = nil }, problem.NotAuthenticated},
		"another vendor's secret": {func(r *rig, e *functest.Event) { signedWith(r.world.RequestSecret(fixture.OtherVendorID))(r, e) }, problem.NotAuthenticated},
		"a webhook secret": {func(r *rig, e *functest.Event) {
			signedWith(r.world.Vendors.Vendors[fixture.VendorID].WebhookSecrets[0])(r, e)
		}, problem.NotAuthenticated},
		"the stranger's secret": {func(r *rig, e *functest.Event) {
			e.Path["vendor_id"] = "nobody"
			signedWith("whsec_bm8gdmVuZG9yIGhhcyB0aGlzIHNlY3JldA==")(r, e)
		}, problem.NotAuthenticated},
		"a byte of the body": {func(_ *rig, e *functest.Event) { e.Body += " " }, problem.NotAuthenticated},
		"another id":         {header("webhook-id", "fact-2"), problem.NotAuthenticated},
		"another second":     {header("webhook-timestamp", strconv.FormatInt(now.Unix()+1, 10)), problem.NotAuthenticated},
		"disabled": {func(r *rig, _ *functest.Event) {
			r.world.Vendors.Vendors[fixture.VendorID].Disabled = true
			r.vendors.Value = r.directory()
		}, problem.VendorDisabled},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.log.Never(secret, other)
			r.world.Vendors.Vendors[fixture.VendorID].RequestSecrets = []string{secret, other}
			r.vendors.Value = r.directory()
			e := r.event(goodBody)
			tc.change(r, &e)
			a := r.send(e)
			if tc.want == accepted {
				if a.Status != 204 || a.Body != "" || r.calls != 1 {
					t.Errorf("got %d %s after %d calls, want 204 after one", a.Status, a.Body, r.calls)
				}
				return
			}
			b := functest.WantProblem(t, a, tc.want)
			if r.calls != 0 || len(r.claims.Calls) != 0 {
				t.Errorf("got %d calls and claims %v, want none of either", r.calls, r.claims.Calls)
			}
			switch tc.want {
			case problem.TimestampOutOfRange:
				if !strings.Contains(b.Detail, "1654051419 (2022-06-01T10:43:39+08:00)") {
					t.Errorf("got detail %q, want the server's time in it", b.Detail)
				}
			case problem.NotAuthenticated:
				digest := sha256.Sum256([]byte(e.Body))
				if !strings.Contains(b.Detail, hex.EncodeToString(digest[:])) || !strings.Contains(b.Detail, strconv.Itoa(len(e.Body))+" bytes") {
					t.Errorf("got detail %q, want the body's length and SHA-256 in it", b.Detail)
				}
			}
			// Who is not authenticated leaves no name in the log.
			if line := r.log.Last(t); tc.want.Status() == 401 && (line["vendor_id"] != "" || line["webhook_id"] != "") {
				t.Errorf("got the line %v, want no vendor in it", line)
			}
		})
	}
}

func canonical(header map[string]string) map[string]string {
	changed := make(map[string]string)
	for name, value := range header {
		parts := strings.Split(name, "-")
		for i, p := range parts {
			parts[i] = strings.ToUpper(p[:1]) + p[1:]
		}
		changed[strings.Join(parts, "-")] = value
	}
	return changed
}

// TestStrangersAreNotToldApart: an unknown vendor and a bad signature get the same words.
func TestStrangersAreNotToldApart(t *testing.T) {
	r := newRig(t)
	unknown, forged := r.event(goodBody), r.event(goodBody)
	unknown.Path["vendor_id"] = "nobody"
	forged.Header = functest.SignedHeader(t, fixture.NewSecret(), "fact-1", now, goodBody)
	if a, b := r.send(unknown), r.send(forged); a.Body != b.Body || !maps.Equal(a.Header, b.Header) {
		t.Errorf("got %s and %s, want the same", a.Body, b.Body)
	}
}

// TestVendorsAreFetchedAgain: for an unknown vendor and for a signature that fails, never for what a fetch cannot mend.
func TestVendorsAreFetchedAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		change    func(*rig, *functest.Event)
		status    int
		refreshes int
	}{
		"known": {func(*rig, *functest.Event) {}, 204, 0},
		"a vendor that was added": {func(r *rig, _ *functest.Event) {
			full := r.vendors.Value
			r.vendors.Next, r.vendors.Value = &full, empty(r.t)
		}, 204, 1},
		"a secret that was added": {func(r *rig, e *functest.Event) {
			added := fixture.NewSecret()
			r.world.Vendors.Vendors[fixture.VendorID].RequestSecrets = []string{added}
			fresh := r.directory()
			r.vendors.Next = &fresh
			e.Header = functest.SignedHeader(r.t, added, "fact-1", now, e.Body)
		}, 204, 1},
		"still unknown": {func(_ *rig, e *functest.Event) { e.Path["vendor_id"] = "nobody" }, 401, 1},
		"unknown, and unknown to the fresh list": {func(r *rig, e *functest.Event) {
			e.Path["vendor_id"] = "nobody"
			fresh := r.directory()
			r.vendors.Next = &fresh
		}, 401, 1},
		"a header is missing": {func(_ *rig, e *functest.Event) { delete(e.Header, "webhook-id") }, 401, 0},
		"malformed":           {func(_ *rig, e *functest.Event) { e.Header["webhook-signature"] = "v1,!" }, 401, 0},
		"stale":               {func(_ *rig, e *functest.Event) { e.Header["webhook-timestamp"] = "1" }, 401, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			e := r.event(goodBody)
			tc.change(r, &e)
			if a := r.send(e); a.Status != tc.status || r.vendors.Refreshes != tc.refreshes {
				t.Errorf("got %d after %d refreshes, want %d after %d", a.Status, r.vendors.Refreshes, tc.status, tc.refreshes)
			}
		})
	}
}

func empty(t *testing.T) *vendor.Directory {
	t.Helper()
	d, err := vendor.Parse([][]byte{[]byte(`{"vendors":{}}`)})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSize(t *testing.T) {
	r := newRig(t)
	const around = len(`{"plate_number":""}`)
	fits := r.event(`{"plate_number":"` + strings.Repeat("x", httpapi.MaxBody-around) + `"}`)
	if a := r.send(fits); a.Status != 204 {
		t.Errorf("64 KiB: got %d, want 204", a.Status)
	}
	functest.WantProblem(t, r.send(r.event(fits.Body+" ")), problem.BodyTooLarge)
}

func TestContentType(t *testing.T) {
	for value, ok := range map[string]bool{
		"application/json": true, "application/json; charset=utf-8": true, "Application/JSON;charset=UTF-8": true,
		`application/json; charset="utf-8"`: true, "application/json; profile=x": true,
		"": false, "text/json": false, "application/problem+json": false, "application/xml": false, "application/json; charset=gbk": false,
		"application/json, application/json": false, "application/json,text/plain": false, "json": false,
		"application/x-www-form-urlencoded": false, "application/json; charset": false,
	} {
		r := newRig(t)
		e := r.event(goodBody)
		e.Header["content-type"] = value
		a := r.send(e)
		if ok && a.Status != 204 {
			t.Errorf("%q: got %d, want it accepted", value, a.Status)
		}
		if !ok {
			functest.WantProblem(t, a, problem.UnsupportedMediaType)
		}
	}
	r := newRig(t)
	e := r.event(goodBody)
	e.Header["Content-Type"] = "application/json"
	functest.WantProblem(t, r.send(e), problem.UnsupportedMediaType)
}

// TestOutcomes is the table of what becomes of a call and of its id: what is answered, what is kept, what is freed.
func TestOutcomes(t *testing.T) {
	refusal := func(kind wechatpay.Kind) error {
		return &wechatpay.Error{Kind: kind, HTTPStatus: 400, Code: "SOME_CODE", Message: "说明", RetryAfter: 9 * time.Second}
	}
	for name, tc := range map[string]struct {
		answer idempotency.Answer
		err    error
		code   problem.Code // "" for success
		record string
		retry  string
	}{
		"204":                {idempotency.Answer{Status: 204}, nil, "", "complete 204", ""},
		"200":                {idempotency.Answer{Status: 200, Body: []byte(`{"a":1}`)}, nil, "", "complete 200", ""},
		"refused":            {idempotency.Answer{}, refusal(wechatpay.Refused), problem.WeChatPayRefused, "complete 422", ""},
		"no permission":      {idempotency.Answer{}, refusal(wechatpay.NoPermission), problem.WeChatPayNoPermission, "release", ""},
		"rate limited":       {idempotency.Answer{}, refusal(wechatpay.RateLimited), problem.WeChatPayRateLimited, "release", "9"},
		"signature rejected": {idempotency.Answer{}, refusal(wechatpay.SignatureRejected), problem.WeChatPayRejectedOurSignature, "release", ""},
		"unverified":         {idempotency.Answer{}, refusal(wechatpay.Unverified), problem.WeChatPayUnverified, "release", ""},
		"unavailable":        {idempotency.Answer{}, refusal(wechatpay.Unavailable), problem.WeChatPayUnavailable, "release", "5"},
		"unknown":            {idempotency.Answer{}, refusal(wechatpay.Unknown), problem.OutcomeUnknown, "release", ""},
		"wrapped":            {idempotency.Answer{}, fmt.Errorf("wrapped: %w", refusal(wechatpay.Unknown)), problem.OutcomeUnknown, "release", ""},
		"the keys are out":   {idempotency.Answer{}, functest.ErrDown, problem.GatewayUnavailable, "release", "5"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.do = func(context.Context) (idempotency.Answer, error) { return tc.answer, tc.err }
			first := r.send(r.event(goodBody))
			if tc.code == "" {
				if first.Status != tc.answer.Status || first.Body != string(tc.answer.Body) {
					t.Errorf("got %d %s, want %d %s", first.Status, first.Body, tc.answer.Status, tc.answer.Body)
				}
			} else {
				b := functest.WantProblem(t, first, tc.code)
				want := &problem.WeChatPay{HTTPStatus: 400, Code: "SOME_CODE", Message: "说明"}
				if errors.Is(tc.err, functest.ErrDown) {
					want = nil
				}
				if (b.WeChatPay == nil) != (want == nil) || want != nil && *b.WeChatPay != *want {
					t.Errorf("got wechatpay %+v, want %+v", b.WeChatPay, want)
				}
			}
			if got := first.Header["Retry-After"]; got != tc.retry {
				t.Errorf("got Retry-After %q, want %q", got, tc.retry)
			}
			if want := []string{"claim", tc.record}; !slices.Equal(r.claims.Calls, want) {
				t.Errorf("got %v, want %v", r.claims.Calls, want)
			}
			if key := (idempotency.Key{VendorID: fixture.VendorID, Route: "things", ID: "fact-1"}); r.claims.Keys[0] != key {
				t.Errorf("got key %+v, want %+v", r.claims.Keys[0], key)
			}

			again := r.send(r.event(goodBody))
			kept := strings.HasPrefix(tc.record, "complete")
			if wantCalls := map[bool]int{true: 1, false: 2}[kept]; r.calls != wantCalls {
				t.Errorf("got %d calls after a repeat, want %d", r.calls, wantCalls)
			}
			if replayed := again.Header["Idempotency-Replayed"] == "true"; replayed != kept {
				t.Errorf("the repeat: got replayed %t, want %t", replayed, kept)
			}
			if again.Status != first.Status || again.Body != first.Body || again.Header["Content-Type"] != first.Header["Content-Type"] {
				t.Errorf("the repeat: got %d %s %s, want the first answer", again.Status, again.Header["Content-Type"], again.Body)
			}
			if first.Header["Idempotency-Replayed"] != "" {
				t.Error("the first answer says that it was replayed")
			}
		})
	}
}

// TestWithoutAStatus holds that where WeChat Pay said nothing, nothing is said of it.
func TestWithoutAStatus(t *testing.T) {
	r := newRig(t)
	r.do = func(context.Context) (idempotency.Answer, error) {
		return idempotency.Answer{}, &wechatpay.Error{Kind: wechatpay.Unknown}
	}
	if b := functest.WantProblem(t, r.send(r.event(goodBody)), problem.OutcomeUnknown); b.WeChatPay != nil {
		t.Errorf("got wechatpay %+v, want none where no answer came", b.WeChatPay)
	}
}

func TestSameIDAnotherRequest(t *testing.T) {
	r := newRig(t)
	r.send(r.event(goodBody))
	functest.WantProblem(t, r.send(r.event(`{"plate_number":"京A12345"}`)), problem.IdempotencyMismatch)
	// Other white space is the same request.
	if a := r.send(r.event(` {"plate_number" : "` + fixture.Plate + `"}`)); a.Header["Idempotency-Replayed"] != "true" {
		t.Errorf("got %d %s, want the stored answer", a.Status, a.Body)
	}
	if line := r.log.Last(t); line["replayed"] != "true" {
		t.Errorf("got the line %v, want replayed in it", line)
	}
	// Another vendor's same id is another id.
	e := r.event(`{"plate_number":"京A12345"}`)
	e.Path["vendor_id"] = fixture.OtherVendorID
	e.Header = functest.SignedHeader(t, r.world.RequestSecret(fixture.OtherVendorID), "fact-1", now, e.Body)
	if a := r.send(e); a.Status != 204 {
		t.Errorf("another vendor: got %d %s, want 204", a.Status, a.Body)
	}
	if r.calls != 2 {
		t.Errorf("got %d calls, want 2", r.calls)
	}
}

// TestRunning: a repeat and another request while the first is under way.
func TestRunning(t *testing.T) {
	r := newRig(t)
	r.do = func(context.Context) (idempotency.Answer, error) {
		a := r.send(r.event(goodBody))
		functest.WantProblem(t, a, problem.InProgress)
		if seconds, err := strconv.Atoi(a.Header["Retry-After"]); err != nil || seconds < 1 || seconds > 7 {
			t.Errorf("got Retry-After %q, want some seconds", a.Header["Retry-After"])
		}
		functest.WantProblem(t, r.send(r.event(`{"plate_number":"京A12345"}`)), problem.IdempotencyMismatch)
		return idempotency.Answer{Status: 204}, nil
	}
	if a := r.send(r.event(goodBody)); a.Status != 204 || r.calls != 1 {
		t.Errorf("got %d after %d calls, want 204 after one", a.Status, r.calls)
	}
}

// coded is an AWS error: its code may be logged, its words repeat what was sent.
type coded struct{}

func (coded) Error() string     { return "api error: the item was " + fixture.Plate }
func (coded) ErrorCode() string { return "ThrottlingException" }

// TestClaimsOut: nothing is called when the id cannot be claimed, and a record that cannot be written changes nothing.
func TestClaimsOut(t *testing.T) {
	for name, tc := range map[string]struct {
		err    error
		reason string
	}{
		"an AWS error":     {fmt.Errorf("%w: %w", idempotency.ErrUnavailable, coded{}), "ThrottlingException"},
		"out of reach":     {errors.New("dial tcp: " + fixture.Plate), "unreachable"},
		"timed out":        {context.DeadlineExceeded, "timed out"},
		"a claim was lost": {idempotency.ErrLostClaim, "the claim was lost to another invocation"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.claims.ClaimErr = tc.err
			a := r.send(r.event(goodBody))
			functest.WantProblem(t, a, problem.GatewayUnavailable)
			if a.Header["Retry-After"] != "5" || r.calls != 0 {
				t.Errorf("got Retry-After %q after %d calls, want 5 and none", a.Header["Retry-After"], r.calls)
			}
			if got := r.log.Last(t)["reason"]; got != "idempotency claim: "+tc.reason {
				t.Errorf("logged %q, want %q", got, tc.reason)
			}

			r = newRig(t)
			r.claims.CompleteErr, r.claims.ReleaseErr = tc.err, tc.err
			if a := r.send(r.event(goodBody)); a.Status != 204 {
				t.Errorf("the record cannot be written: got %d, want the 204 all the same", a.Status)
			}
			if got := r.log.Last(t)["reason"]; got != "idempotency record: "+tc.reason {
				t.Errorf("logged %q, want %q", got, tc.reason)
			}

			r = newRig(t)
			r.claims.ReleaseErr = tc.err
			r.do = func(context.Context) (idempotency.Answer, error) {
				return idempotency.Answer{}, &wechatpay.Error{Kind: wechatpay.Unverified}
			}
			functest.WantProblem(t, r.send(r.event(goodBody)), problem.WeChatPayUnverified)
		})
	}
}

// TestPanics: the function answers, without the panic's words.
func TestPanics(t *testing.T) {
	r := newRig(t)
	r.do = func(context.Context) (idempotency.Answer, error) { panic(fixture.Plate) }
	a := r.send(r.event(goodBody))
	functest.WantProblem(t, a, problem.GatewayUnavailable)
	if a.Header["Retry-After"] != "5" || r.log.Last(t)["code"] != string(problem.GatewayUnavailable) {
		t.Errorf("got Retry-After %q and the line %v, want 5 and the code", a.Header["Retry-After"], r.log.Last(t))
	}
	if got := r.log.Counted(t); got["GatewayUnavailable"] != 1 || got["Panics"] != 1 || len(got) != 2 {
		t.Errorf("got the metrics %v, want one of each", got)
	}
}

func TestSelections(t *testing.T) {
	for _, tc := range []struct {
		err        error
		notAllowed bool
		ambiguous  bool
	}{
		{nil, false, false}, {vendor.ErrNoMatch, true, false}, {vendor.ErrNotConfigured, true, false}, {vendor.ErrAmbiguous, false, true},
	} {
		p := vendorapi.NotAllowed(tc.err)
		if (p != nil) != tc.notAllowed || p != nil && p.Code != problem.MerchantNotAllowed {
			t.Errorf("%v: got %v, want not allowed: %t", tc.err, p, tc.notAllowed)
		}
		q := vendorapi.Ambiguous(tc.err)
		if (q != nil) != tc.ambiguous || q != nil && q.Code != problem.MerchantAmbiguous {
			t.Errorf("%v: got %v, want ambiguous: %t", tc.err, q, tc.ambiguous)
		}
	}
	if a, b := vendorapi.NotAllowed(vendor.ErrNoMatch).Detail, vendorapi.NotAllowed(vendor.ErrNotConfigured).Detail; a == b {
		t.Error("a merchant without the product is not told from another's merchant")
	}
}

// TestSignatureByHand holds the helper that signs these tests' requests to the specification's own example.
func TestSignatureByHand(t *testing.T) {
	secret, err := stdwebhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	// The specification's own example.
	got := stdwebhook.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`), []stdwebhook.Secret{secret})
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
