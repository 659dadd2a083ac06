package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/local/wechatpaysim"
	"wechat-parking-gateway/shared/httpapi"
	"wechat-parking-gateway/shared/idempotency"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/problem"
	"wechat-parking-gateway/shared/vendor"
	"wechat-parking-gateway/shared/vendorapi"
	"wechat-parking-gateway/shared/wechatpay"
)

// rig is the function with its surroundings in memory and WeChat Pay's simulator behind it.
type rig struct {
	t         testing.TB
	world     *fixture.World
	merchants *functest.Source[*merchant.Merchant]
	keys      *functest.Source[*merchant.Key]
	vendors   *functest.Source[*vendor.Directory]
	claims    *functest.Claims
	sim       *wechatpaysim.Simulator
	log       *functest.Log
	handler   *parkings
	adapter   *httpapi.Adapter
}

func newRig(t testing.TB, changes ...func(*fixture.World)) *rig {
	t.Helper()
	r := &rig{t: t, world: functest.NewWorld(t), claims: &functest.Claims{}}
	for _, change := range changes {
		change(r.world)
	}
	r.log = functest.NewLog(t, functest.Private(r.world)...)
	sim, err := wechatpaysim.New(r.world.WeChatPay)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	r.sim = sim
	r.merchants = &functest.Source[*merchant.Merchant]{Value: functest.Merchant(t, r.world)}
	r.keys = &functest.Source[*merchant.Key]{Value: functest.Key(t, r.world)}
	r.vendors = &functest.Source[*vendor.Directory]{Value: functest.Vendors(t, r.world)}
	r.handler = &parkings{
		merchants: r.merchants, keys: wechatpay.V3Credentials{Merchants: r.merchants, Keys: r.keys}, now: time.Now,
		client: &wechatpay.Client{
			BaseURL: "https://main.example", BackupURL: "https://backup.example", Transport: functest.Transport(r.sim),
			Now: time.Now, Random: rand.Reader,
		},
	}
	endpoint := &vendorapi.Endpoint{Name: "businesscircle/parkings", Vendors: r.vendors, Claims: r.claims, Now: time.Now, Prepare: r.handler.prepare}
	r.adapter = &httpapi.Adapter{
		Routes: map[string]httpapi.Handler{route: endpoint.Handle}, Failed: vendorapi.Failed, Now: time.Now, Logger: r.log.Logger(), Meter: r.log.Meter(),
	}
	return r
}

// fuzz posts a body under an id of its own and returns the answer with what was sent for it. The rig is made once, outside
// of the fuzz target, since keys take long to read.
func (r *rig) fuzz(t *testing.T, body string) (functest.Answer, []wechatpaysim.Request) {
	t.Helper()
	once := *r
	once.t = t
	r.sim.Forget()
	e := once.event(fixture.VendorID, body)
	e.Header = functest.SignedHeader(t, r.world.RequestSecret(fixture.VendorID), rand.Text(), time.Now(), body)
	a := functest.Invoke(t.Context(), t, r.adapter, e)
	if leak := r.log.Leak(r.log.Take()); leak != "" {
		t.Fatalf("the log holds %q", leak)
	}
	if a.Status >= 500 {
		t.Fatalf("got %d %s", a.Status, a.Body)
	}
	return a, r.sim.Requests()
}

// fields is a body by name; a nil value leaves a field out.
type fields map[string]any

// with returns the fields with others in their place.
func (f fields) with(others fields) fields {
	changed := maps.Clone(f)
	for name, value := range others {
		if value == nil {
			delete(changed, name)
			continue
		}
		changed[name] = value
	}
	return changed
}

// seed is every field that WeChat Pay's page lists, with its own sample values.
var seed = fields{
	"sub_mchid": fixture.SubMchID, "brandid": fixture.BrandID, "appid": fixture.CircleAppID, "openid": fixture.OpenID,
	"plate_number": fixture.Plate, "state": "IN", "time": "2022-06-01T10:43:39+08:00",
}

func (r *rig) event(vendorID, body string) functest.Event {
	secret := fixture.NewSecret()
	if v := r.world.Vendors.Vendors[vendorID]; v != nil {
		secret = v.RequestSecrets[0]
	}
	return functest.Event{
		Route: route, RequestID: "r-1", Path: map[string]string{"vendor_id": vendorID}, Body: body,
		Header: functest.SignedHeader(r.t, secret, "fact-1", time.Now(), body),
	}
}

// send posts a body as VendorID and holds the answer against what no answer may hold.
func (r *rig) send(body string) functest.Answer { return r.sendAs(fixture.VendorID, body) }

func (r *rig) sendAs(vendorID, body string) functest.Answer {
	r.t.Helper()
	a := functest.Invoke(r.t.Context(), r.t, r.adapter, r.event(vendorID, body))
	if leak := r.log.Leak(a.Body); leak != "" {
		r.t.Errorf("the answer holds %q: %s", leak, a.Body)
	}
	return a
}

func (r *rig) post(f fields) functest.Answer {
	r.t.Helper()
	return r.send(string(functest.Document(r.t, f)))
}

// TestSeed: every field that the seed lists is taken, and goes out as WeChat Pay's page asks.
func TestSeed(t *testing.T) {
	r := newRig(t)
	a := r.post(seed)
	if a.Status != 204 || a.Body != "" || a.Header["Request-Id"] != "r-1" {
		t.Fatalf("got %d %s %v, want 204 with a Request-Id and no body", a.Status, a.Body, a.Header)
	}
	sent := r.sim.Requests()
	if len(sent) != 1 || !sent[0].Accepted || sent[0].Route != wechatpaysim.RouteParkings {
		t.Fatalf("got %+v, want one accepted request", sent)
	}
	const want = `{"sub_mchid":"1900000109","brandid":1000,"appid":"wx931386123456789e","openid":"oUpF8uMuAJOM2pxb1Q","plate_number":"粤B888888","state":"IN","time":"2022-06-01T10:43:39+08:00"}`
	if got := string(sent[0].Body); got != want {
		t.Errorf("got %s on the wire, want %s", got, want)
	}
	if diff := cmp.Diff(map[string]int64{"WeChatPaySucceeded": 1}, r.log.Counted(t)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	line := r.log.Last(t)
	for name, want := range map[string]string{
		"vendor_id": fixture.VendorID, "webhook_id": "fact-1", "tries": "1", "wechatpay_http_status": "204", "status": "204", "route": route,
	} {
		if line[name] != want {
			t.Errorf("logged %s %q, want %q", name, line[name], want)
		}
	}
	if len(line["plate_hash"]) != 16 || len(line["openid_hash"]) != 16 || line["plate_hash"] == line["openid_hash"] {
		t.Errorf("logged hashes %q and %q, want two of 16 digits", line["plate_hash"], line["openid_hash"])
	}
}

// TestLeftOut: what names the merchant may be left out where there is one; what is given is sent as it was configured.
func TestLeftOut(t *testing.T) {
	for name, f := range map[string]fields{
		"all three":                 {"sub_mchid": nil, "brandid": nil, "appid": nil},
		"empty strings":             {"sub_mchid": "", "appid": "", "brandid": nil},
		"sub_mchid":                 {"sub_mchid": nil},
		"brandid":                   {"brandid": nil},
		"appid":                     {"appid": nil},
		"out":                       {"state": "OUT"},
		"a fraction":                {"time": "2022-06-01T10:43:39.999+08:00"},
		"UTC":                       {"time": "2022-06-01T02:43:39Z"},
		"another offset":            {"time": "2022-05-31T19:43:39-07:00"},
		"a plate of new energy":     {"plate_number": "粤BD12345"},
		"a plate with a Han at end": {"plate_number": "京A1234警"},
		"an openid of 64":           {"openid": strings.Repeat("o", 64)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if a := r.post(seed.with(f)); a.Status != 204 {
				t.Fatalf("got %d %s, want 204", a.Status, a.Body)
			}
			got := r.sim.Requests()[0].Fields
			if got["sub_mchid"] != fixture.SubMchID || got["brandid"] != "1000" || got["appid"] != fixture.CircleAppID || got["time"] != "2022-06-01T10:43:39+08:00" {
				t.Errorf("got %v on the wire, want the configured merchant and Beijing time", got)
			}
		})
	}
}

// TestFieldRules is the table of what is wrong with a field: each row is one change to a good body.
func TestFieldRules(t *testing.T) {
	for name, tc := range map[string]struct {
		change fields
		want   string
	}{
		"no openid":                  {fields{"openid": nil}, "/openid required"},
		"an empty openid":            {fields{"openid": ""}, "/openid required"},
		"an openid of 65":            {fields{"openid": strings.Repeat("o", 65)}, "/openid too_long"},
		"an openid with a space":     {fields{"openid": "o p"}, "/openid bad_value"},
		"an openid in Chinese":       {fields{"openid": "用户"}, "/openid bad_value"},
		"no plate":                   {fields{"plate_number": nil}, "/plate_number required"},
		"a plate in lower case":      {fields{"plate_number": "粤b888888"}, "/plate_number plate_malformed"},
		"a plate with a dot":         {fields{"plate_number": "粤B·88888"}, "/plate_number plate_malformed"},
		"a plate with a colour":      {fields{"plate_number": "蓝粤B88888"}, "/plate_number plate_malformed"},
		"a plate that is too short":  {fields{"plate_number": "粤B8888"}, "/plate_number plate_malformed"},
		"no plate was read":          {fields{"plate_number": "无车牌"}, "/plate_number plate_unsupported"},
		"an embassy's plate":         {fields{"plate_number": "使014578"}, "/plate_number plate_unsupported"},
		"a plate of 4 bytes":         {fields{"plate_number": "粤B8888𠀀8"}, "/plate_number plate_malformed"},
		"no state":                   {fields{"state": nil}, "/state required"},
		"a state in lower case":      {fields{"state": "in"}, "/state bad_value"},
		"another state":              {fields{"state": "STAY"}, "/state bad_value"},
		"no time":                    {fields{"time": nil}, "/time required"},
		"a time without offset":      {fields{"time": "2022-06-01T10:43:39"}, "/time time_malformed"},
		"V2's time":                  {fields{"time": "20220601104339"}, "/time time_malformed"},
		"Unix time":                  {fields{"time": "1654051419"}, "/time time_malformed"},
		"a 30th of February":         {fields{"time": "2022-02-30T10:43:39+08:00"}, "/time time_malformed"},
		"a brandid of 0":             {fields{"brandid": 0}, "/brandid bad_value"},
		"a negative brandid":         {fields{"brandid": -1000}, "/brandid bad_value"},
		"a brandid with a fraction":  {fields{"brandid": json.RawMessage("1000.0")}, "/brandid bad_value"},
		"a brandid with an exponent": {fields{"brandid": json.RawMessage("1e3")}, "/brandid bad_value"},
		"a brandid beyond 64 bits":   {fields{"brandid": json.RawMessage("18446744073709551616")}, "/brandid bad_value"},
		"V2's spelling":              {fields{"sub_mch_id": fixture.SubMchID}, "/sub_mch_id unknown_field"},
		"mchid":                      {fields{"mchid": fixture.MchID}, "/mchid unknown_field"},
		"mch_id":                     {fields{"mch_id": fixture.MchID}, "/mch_id unknown_field"},
		"brand_id":                   {fields{"brand_id": 1000}, "/brand_id unknown_field"},
		"sub_appid":                  {fields{"sub_appid": fixture.SubAppID}, "/sub_appid unknown_field"},
		"an invented one":            {fields{"plate_color": "BLUE"}, "/plate_color unknown_field"},
		"another case":               {fields{"State": "IN"}, "/State unknown_field"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			p := functest.WantProblem(t, r.post(seed.with(tc.change)), problem.InvalidFields)
			if got := p.Fields(); !slices.Equal(got, []string{tc.want}) {
				t.Errorf("got %v, want %s alone", got, tc.want)
			}
			if p.Errors[0].Detail == "" {
				t.Error("got no detail, want a hint")
			}
			if len(r.sim.Requests()) != 0 || len(r.claims.Calls) != 0 {
				t.Error("a refused request went further")
			}
		})
	}
}

// TestAllAtOnce: everything that is wrong is said in one answer.
func TestAllAtOnce(t *testing.T) {
	r := newRig(t)
	p := functest.WantProblem(t, r.post(fields{"plate": "x", "brandid": 1.5, "state": "in"}), problem.InvalidFields)
	want := []string{"/plate unknown_field", "/brandid bad_value", "/openid required", "/plate_number required", "/state bad_value", "/time required"}
	if diff := cmp.Diff(want, p.Fields()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFuture holds the five minutes that a reported moment may be ahead.
func TestFuture(t *testing.T) {
	world := func(w *fixture.World) { w.WeChatPay.Now = time.Now }
	functest.NewWorld(t) // the keys are made outside of the bubble
	synctest.Test(t, func(t *testing.T) {
		for ahead, ok := range map[time.Duration]bool{0: true, 5 * time.Minute: true, 5*time.Minute + time.Second: false, 8 * time.Hour: false} {
			r := newRig(t, world)
			a := r.post(seed.with(fields{"time": time.Now().Add(ahead).UTC().Format(time.RFC3339)}))
			if ok && a.Status != 204 {
				t.Errorf("%v ahead: got %d %s, want 204", ahead, a.Status, a.Body)
			}
			if !ok && !slices.Equal(functest.WantProblem(t, a, problem.InvalidFields).Fields(), []string{"/time time_in_future"}) {
				t.Errorf("%v ahead: got %s, want /time time_in_future", ahead, a.Body)
			}
		}
	})
}

// TestPermission is the table of which merchant a body names.
func TestPermission(t *testing.T) {
	several := func(w *fixture.World) {
		v := w.Vendors.Vendors[fixture.VendorID]
		v.Merchants = append(v.Merchants,
			fixture.VendorMerchant{SubMchID: "1900000111", BusinessCircle: &fixture.BusinessCircle{BrandID: 1001, AppID: fixture.CircleAppID}},
			fixture.VendorMerchant{SubMchID: "1900000112", Vehicle: &fixture.Vehicle{SubAppID: fixture.SubAppID}},
		)
		w.WeChatPay.Merchants = append(w.WeChatPay.Merchants, wechatpaysim.Merchant{SubMchID: "1900000111", BrandID: 1001, AppID: fixture.CircleAppID})
	}
	one := func(*fixture.World) {}
	for name, tc := range map[string]struct {
		world  func(*fixture.World)
		vendor string
		change fields
		want   problem.Code // "" for 204
	}{
		"another's sub_mchid":               {one, fixture.VendorID, fields{"sub_mchid": fixture.OtherSubMchID}, problem.MerchantNotAllowed},
		"another brandid":                   {one, fixture.VendorID, fields{"brandid": 1001}, problem.MerchantNotAllowed},
		"another appid":                     {one, fixture.VendorID, fields{"appid": fixture.AppID}, problem.MerchantNotAllowed},
		"another appid alone":               {one, fixture.VendorID, fields{"appid": fixture.AppID, "sub_mchid": nil, "brandid": nil}, problem.MerchantNotAllowed},
		"the product is not configured":     {one, fixture.OtherVendorID, fields{}, problem.MerchantNotAllowed},
		"nor for any":                       {one, fixture.OtherVendorID, fields{"sub_mchid": nil, "brandid": nil, "appid": nil}, problem.MerchantNotAllowed},
		"several, told apart by sub_mchid":  {several, fixture.VendorID, fields{"sub_mchid": "1900000111", "brandid": nil, "appid": nil}, ""},
		"several, told apart by brandid":    {several, fixture.VendorID, fields{"sub_mchid": nil, "brandid": 1001}, ""},
		"several, not told apart":           {several, fixture.VendorID, fields{"sub_mchid": nil, "brandid": nil}, problem.MerchantAmbiguous},
		"several, given of two":             {several, fixture.VendorID, fields{"brandid": 1001}, problem.MerchantNotAllowed},
		"several, one without the product":  {several, fixture.VendorID, fields{"sub_mchid": "1900000112", "brandid": nil, "appid": nil}, problem.MerchantNotAllowed},
		"permission comes before fields":    {one, fixture.VendorID, fields{"sub_mchid": fixture.OtherSubMchID, "state": "in", "x": 1}, problem.MerchantNotAllowed},
		"fields come before ambiguity":      {several, fixture.VendorID, fields{"sub_mchid": nil, "brandid": nil, "state": "in"}, problem.InvalidFields},
		"an unreadable brandid is a field":  {one, fixture.VendorID, fields{"brandid": 1.5}, problem.InvalidFields},
		"JSON comes before permission":      {one, fixture.VendorID, fields{"sub_mchid": fixture.OtherSubMchID, "brandid": "1000"}, problem.WrongType},
		"a type comes before another field": {one, fixture.VendorID, fields{"state": 1, "x": 1}, problem.WrongType},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, tc.world)
			a := r.sendAs(tc.vendor, string(functest.Document(t, seed.with(tc.change))))
			if tc.want == "" {
				if a.Status != 204 {
					t.Fatalf("got %d %s, want 204", a.Status, a.Body)
				}
				if got := r.sim.Requests()[0].Fields; got["sub_mchid"] != "1900000111" || got["brandid"] != "1001" {
					t.Errorf("got %v on the wire, want the second merchant", got)
				}
				return
			}
			functest.WantProblem(t, a, tc.want)
			if len(r.sim.Requests()) != 0 || len(r.claims.Calls) != 0 {
				t.Error("a refused request went further")
			}
		})
	}
}

// TestJSON holds the three codes of a body that is not even looked into.
func TestJSON(t *testing.T) {
	good := string(functest.Document(t, seed))
	for name, tc := range map[string]struct {
		body string
		want problem.Code
	}{
		"cut short":           {good[:len(good)-1], problem.MalformedJSON},
		"nothing":             {"", problem.MalformedJSON},
		"something after it":  {good + "x", problem.MalformedJSON},
		"a key twice":         {`{"state":"IN",` + good[1:], problem.DuplicateKey},
		"a list":              {"[" + good + "]", problem.WrongType},
		"brandid as a string": {strings.Replace(good, `"brandid":1000`, `"brandid":"1000"`, 1), problem.WrongType},
		"time as a number":    {strings.Replace(good, `"time":"2022-06-01T10:43:39+08:00"`, `"time":1654051419`, 1), problem.WrongType},
		"null":                {strings.Replace(good, `"brandid":1000`, `"brandid":null`, 1), problem.WrongType},
	} {
		t.Run(name, func(t *testing.T) {
			functest.WantProblem(t, newRig(t).send(tc.body), tc.want)
		})
	}
}

// TestDirect: a merchant that calls for itself sends no sub_mchid, and none may be named.
func TestDirect(t *testing.T) {
	for _, f := range []fields{{"sub_mchid": nil}, {"sub_mchid": nil, "brandid": nil, "appid": nil}, {"sub_mchid": ""}} {
		r := newRig(t, (*fixture.World).Direct)
		if a := r.post(seed.with(f)); a.Status != 204 {
			t.Fatalf("got %d %s, want 204", a.Status, a.Body)
		}
		sent := r.sim.Requests()[0]
		if _, named := sent.Fields["sub_mchid"]; named || !sent.Accepted {
			t.Errorf("got %s, want it accepted without a sub_mchid", sent.Body)
		}
	}
	functest.WantProblem(t, newRig(t, (*fixture.World).Direct).post(seed), problem.MerchantNotAllowed)
	functest.WantProblem(t, newRig(t, (*fixture.World).Direct).post(seed.with(fields{"sub_mchid": fixture.MchID})), problem.MerchantNotAllowed)
	// Entries that do not fit the mode are never selected.
	mixed := func(w *fixture.World) {
		w.Direct()
		v := w.Vendors.Vendors[fixture.VendorID]
		v.Merchants = []fixture.VendorMerchant{{SubMchID: fixture.SubMchID, BusinessCircle: &fixture.BusinessCircle{BrandID: fixture.BrandID, AppID: fixture.CircleAppID}}}
	}
	functest.WantProblem(t, newRig(t, mixed).post(seed), problem.MerchantNotAllowed)
}

// TestWeChatPay is the table of what WeChat Pay can do, as the vendor sees it, and of what becomes of the id.
func TestWeChatPay(t *testing.T) {
	type fault = wechatpaysim.Fault
	for name, tc := range map[string]struct {
		fault  fault
		code   problem.Code // "" for 204
		record string
		answer string // wechatpay, as it is passed on
	}{
		"nothing":          {fault{Kind: wechatpaysim.FaultDelay}, "", "complete 204", ""},
		"refused":          {fault{Kind: wechatpaysim.FaultStatus, Status: 400, Code: "PARAM_ERROR", Message: "参数错误"}, problem.WeChatPayRefused, "complete 422", "400 PARAM_ERROR 参数错误"},
		"not found":        {fault{Kind: wechatpaysim.FaultStatus, Status: 404, Code: "RESOURCE_NOT_EXISTS"}, problem.WeChatPayRefused, "complete 422", "404 RESOURCE_NOT_EXISTS "},
		"no permission":    {fault{Kind: wechatpaysim.FaultStatus, Status: 403, Code: "NO_AUTH"}, problem.WeChatPayNoPermission, "release", "403 NO_AUTH "},
		"rate limited":     {fault{Kind: wechatpaysim.FaultStatus, Status: 429, Code: "RATELIMIT_EXCEEDED"}, problem.WeChatPayRateLimited, "release", "429 RATELIMIT_EXCEEDED "},
		"sign error":       {fault{Kind: wechatpaysim.FaultStatus, Status: 401, Code: "SIGN_ERROR"}, problem.WeChatPayRejectedOurSignature, "release", "401 SIGN_ERROR "},
		"system error":     {fault{Kind: wechatpaysim.FaultSystemError}, problem.WeChatPayUnavailable, "release", "500 SYSTEM_ERROR 系统错误"},
		"a proxy's 502":    {fault{Kind: wechatpaysim.FaultStatus, Status: 502}, problem.WeChatPayUnavailable, "release", "502  "},
		"hangs":            {fault{Kind: wechatpaysim.FaultHang}, problem.OutcomeUnknown, "release", ""},
		"resets":           {fault{Kind: wechatpaysim.FaultResetAfterRead}, problem.OutcomeUnknown, "release", ""},
		"wrong signature":  {fault{Kind: wechatpaysim.FaultWrongSignature}, problem.WeChatPayUnverified, "release", "204  "},
		"no signature":     {fault{Kind: wechatpaysim.FaultNoSignature}, problem.WeChatPayUnverified, "release", "204  "},
		"a probe":          {fault{Kind: wechatpaysim.FaultProbe}, problem.WeChatPayUnverified, "release", "204  "},
		"a probe once":     {fault{Kind: wechatpaysim.FaultProbe, Times: 1}, "", "complete 204", ""},
		"a reset once":     {fault{Kind: wechatpaysim.FaultResetBeforeRead, Times: 1}, "", "complete 204", ""},
		"its system twice": {fault{Kind: wechatpaysim.FaultSystemError, Times: 2}, "", "complete 204", ""},
	} {
		t.Run(name, func(t *testing.T) {
			functest.NewWorld(t) // the keys are made outside of the bubble
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(w *fixture.World) { w.WeChatPay.Now = time.Now })
				if err := r.sim.Inject(tc.fault); err != nil {
					t.Fatal(err)
				}
				body := seed.with(fields{"time": time.Now().Format(time.RFC3339)})
				a := r.post(body)
				if tc.code == "" {
					if a.Status != 204 {
						t.Errorf("got %d %s, want 204", a.Status, a.Body)
					}
				} else {
					p := functest.WantProblem(t, a, tc.code)
					got := ""
					if p.WeChatPay != nil {
						got = fmt.Sprintf("%d %s %s", p.WeChatPay.HTTPStatus, p.WeChatPay.Code, p.WeChatPay.Message)
					}
					if got != tc.answer {
						t.Errorf("got wechatpay %q, want %q", got, tc.answer)
					}
				}
				if want := []string{"claim", tc.record}; !slices.Equal(r.claims.Calls, want) {
					t.Errorf("got %v, want %v", r.claims.Calls, want)
				}
				if (tc.code == problem.WeChatPayRateLimited || tc.code == problem.WeChatPayUnavailable) != (a.Header["Retry-After"] != "") {
					t.Errorf("got Retry-After %q with %s", a.Header["Retry-After"], tc.code)
				}
			})
		})
	}
}

// TestRepeats: the same fact in other words is the same request.
func TestRepeats(t *testing.T) {
	r := newRig(t)
	if a := r.post(seed); a.Status != 204 {
		t.Fatalf("got %d %s, want 204", a.Status, a.Body)
	}
	for name, f := range map[string]fields{
		"as it was":       {},
		"less":            {"sub_mchid": nil, "brandid": nil, "appid": nil},
		"another zone":    {"time": "2022-06-01T02:43:39Z"},
		"with a fraction": {"time": "2022-06-01T10:43:39.5+08:00"},
	} {
		if a := r.post(seed.with(f)); a.Status != 204 || a.Header["Idempotency-Replayed"] != "true" || a.Body != "" {
			t.Errorf("%s: got %d %v, want the 204 again", name, a.Status, a.Header)
		}
	}
	for name, f := range map[string]fields{
		"another plate": {"plate_number": "京A12345"}, "another state": {"state": "OUT"}, "another second": {"time": "2022-06-01T10:43:38+08:00"}, "another openid": {"openid": "o"},
	} {
		t.Run(name, func(t *testing.T) {
			functest.WantProblem(t, r.post(seed.with(f)), problem.IdempotencyMismatch)
		})
	}
	if n := len(r.sim.Requests()); n != 1 {
		t.Errorf("got %d requests at WeChat Pay, want 1", n)
	}
}

// TestOurOwnFailures: keys, vendors and claims that are out are 503, and nothing is sent.
func TestOurOwnFailures(t *testing.T) {
	for name, down := range map[string]func(*rig){
		"the merchant": func(r *rig) { r.merchants.Err = functest.ErrDown },
		"the key":      func(r *rig) { r.keys.Err = functest.ErrDown },
		"the vendors":  func(r *rig) { r.vendors.Err = functest.ErrDown },
		"the claims":   func(r *rig) { r.claims.ClaimErr = idempotency.ErrUnavailable },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			down(r)
			a := r.post(seed)
			functest.WantProblem(t, a, problem.GatewayUnavailable)
			if a.Header["Retry-After"] != "5" || len(r.sim.Requests()) != 0 {
				t.Errorf("got Retry-After %q and %d requests, want 5 and none", a.Header["Retry-After"], len(r.sim.Requests()))
			}
			if r.log.Last(t)["reason"] == "" {
				t.Error("logged no reason")
			}
		})
	}
	r := newRig(t)
	r.claims.CompleteErr = idempotency.ErrUnavailable
	if a := r.post(seed); a.Status != 204 {
		t.Errorf("the record cannot be written: got %d, want the 204 all the same", a.Status)
	}
}

// TestRotation: keys that were rotated since they were fetched cost the vendor nothing.
func TestRotation(t *testing.T) {
	for name, rotate := range map[string]func(r *rig){
		"the merchant's certificate": func(r *rig) {
			fresh := r.keys.Value
			r.keys.Next, r.keys.Value = &fresh, &merchant.Key{SerialNo: "0123456789", PrivateKey: fresh.PrivateKey}
		},
		"WeChat Pay's keys": func(r *rig) {
			fresh := r.merchants.Value
			old := *fresh
			old.WeChatPayKeys, old.ResponseKeyID = nil, ""
			r.merchants.Next, r.merchants.Value = &fresh, &old
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			rotate(r)
			if a := r.post(seed); a.Status != 204 {
				t.Errorf("got %d %s, want 204", a.Status, a.Body)
			}
		})
	}
}

// TestPrivateWords holds that nothing private is in the log whatever fails; the rigs hold it of every test besides.
func TestPrivateWords(t *testing.T) {
	for _, f := range []fields{
		{"plate_number": fixture.Plate + " "}, {"openid": fixture.OpenID + " "}, {fixture.Plate: fixture.OpenID}, {"state": fixture.Plate}, {"time": fixture.Plate},
		{"sub_mchid": fixture.Plate}, {"appid": fixture.OpenID},
	} {
		r := newRig(t)
		a := functest.Invoke(t.Context(), t, r.adapter, r.event(fixture.VendorID, string(functest.Document(t, seed.with(f)))))
		if a.Status < 400 {
			t.Errorf("%v: got %d, want a refusal", f, a.Status)
		}
	}
}

// FuzzPrepare: whatever a signed body holds, it is refused with a problem, or it is sent and WeChat Pay's simulator finds
// nothing wrong with it but an openid of other characters than it knows.
func FuzzPrepare(f *testing.F) {
	r := newRig(f)
	f.Add(functest.Document(f, seed))
	f.Add(functest.Document(f, seed.with(fields{"brandid": nil, "plate_number": "粤BD12345"})))
	f.Add([]byte(`{"plate_number":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		_, requests := r.fuzz(t, string(body))
		for _, sent := range requests {
			if !sent.Accepted && !strings.Contains(sent.Reason, "/openid") {
				t.Fatalf("WeChat Pay would not take what the gateway took: %s", sent.Reason)
			}
		}
	})
}
