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

const domain = "abc123.execute-api.cn-north-1.amazonaws.com.cn"

// rig is the function with its surroundings in memory and WeChat Pay's simulator behind it.
type rig struct {
	t         testing.TB
	world     *fixture.World
	merchants *functest.Source[*merchant.Merchant]
	vendors   *functest.Source[*vendor.Directory]
	claims    *functest.Claims
	sim       *wechatpaysim.Simulator
	log       *functest.Log
	entries   *entries
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
	r.vendors = &functest.Source[*vendor.Directory]{Value: functest.Vendors(t, r.world)}
	r.entries = &entries{
		merchants: r.merchants, keys: wechatpay.V2Credentials{Merchants: r.merchants}, now: time.Now,
		client: &wechatpay.Client{BaseURL: "https://main.example", Transport: functest.Transport(r.sim), Now: time.Now, Random: rand.Reader},
	}
	endpoint := &vendorapi.Endpoint{Name: "vehicle/notifications", Vendors: r.vendors, Claims: r.claims, Now: time.Now, Prepare: r.entries.prepare}
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

// seedParking and seedSpace are every field that the seed lists, flat as it lists them, the other scene's empty.
var (
	seedParking = fields{
		"appid": fixture.AppID, "mch_id": fixture.MchID, "sub_appid": fixture.SubAppID, "sub_mch_id": fixture.SubMchID,
		"nonce_str": "5K8264ILTKCH16CQ2502SI8ZNMTM67VS", "sign_type": "HMAC-SHA256", "version": "3.0", "trade_scene": "PARKING",
		"scene_info": "", "start_time": "20170926114339", "plate_number": fixture.Plate, "notify_url": fixture.WebhookURL,
		"car_type": "大型车", "parking_name": fixture.ParkingName, "free_time": "1200", "openid": "", "sub_openid": "", "space_number": "",
	}
	seedSpace = seedParking.with(fields{
		"version": "2.0", "trade_scene": "PARKING SPACE", "plate_number": "", "notify_url": "",
		"openid": fixture.OpenID, "sub_openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "space_number": "D6666",
	})
	// least is all that a car park must say.
	least = fields{
		"trade_scene": "PARKING", "start_time": "20170926114339", "plate_number": fixture.Plate, "parking_name": fixture.ParkingName, "free_time": "1200",
	}
	// leastSpace is all that a single space must say.
	leastSpace = fields{"trade_scene": "PARKING SPACE", "start_time": "20170926114339", "free_time": "1200", "space_number": "D6666"}
)

func (r *rig) event(vendorID, body string) functest.Event {
	return functest.Event{
		Route: route, RequestID: "r-1", Domain: domain, Path: map[string]string{"vendor_id": vendorID}, Body: body,
		Header: functest.SignedHeader(r.t, r.world.RequestSecret(vendorID), "fact-1", time.Now(), body),
	}
}

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
	return r.sendAs(fixture.VendorID, string(functest.Document(r.t, f)))
}

// want200 holds an answer to be a success and returns what was sent for it.
func (r *rig) want200(a functest.Answer) wechatpaysim.Request {
	r.t.Helper()
	if a.Status != 200 || a.Header["Content-Type"] != "application/json" || a.Header["Request-Id"] != "r-1" {
		r.t.Fatalf("got %d %v %s, want 200 of application/json with a Request-Id", a.Status, a.Header, a.Body)
	}
	sent := r.sim.Requests()
	last := sent[len(sent)-1]
	if !last.Accepted {
		r.t.Fatalf("WeChat Pay did not accept: %s", last.Reason)
	}
	return last
}

// sceneInfo reads the scene_info of a request, whose form the simulator has judged.
func sceneInfo(t *testing.T, req wechatpaysim.Request) map[string]string {
	t.Helper()
	var outer map[string]map[string]string
	if err := json.Unmarshal([]byte(req.Fields["scene_info"]), &outer); err != nil {
		t.Fatal(err)
	}
	return outer["scene_info"]
}

// TestSeeds: both scenes, with every field that the seed lists, go out in the official form.
func TestSeeds(t *testing.T) {
	callback := "https://" + domain + "/v1/callbacks/vehicle/" + fixture.VendorID
	for name, tc := range map[string]struct {
		body    fields
		version string
		scene   map[string]string
	}{
		"PARKING": {seedParking, "3.0", map[string]string{
			"start_time": "20170926114339", "plate_number": fixture.Plate, "notify_url": callback, "free_time": "1200",
			"car_type": "大型车", "parking_name": fixture.ParkingName,
		}},
		"PARKING SPACE": {seedSpace, "2.0", map[string]string{
			"start_time": "20170926114339", "free_time": "1200", "car_type": "大型车", "parking_name": fixture.ParkingName,
			"openid": fixture.OpenID, "sub_openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "space_number": "D6666",
		}},
		"PARKING, the least": {least, "3.0", map[string]string{
			"start_time": "20170926114339", "plate_number": fixture.Plate, "notify_url": callback, "free_time": "1200", "parking_name": fixture.ParkingName,
		}},
		"PARKING SPACE, the least": {leastSpace, "2.0", map[string]string{"start_time": "20170926114339", "free_time": "1200", "space_number": "D6666"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			sent := r.want200(r.post(tc.body))
			counted := map[string]int64{"WeChatPaySucceeded": 1}
			if tc.scene["notify_url"] != "" {
				counted["EntryNotificationsSucceeded"] = 1 // of which callbacks are to be expected
			}
			if diff := cmp.Diff(counted, r.log.Counted(t)); diff != "" {
				t.Errorf("metrics (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.scene, sceneInfo(t, sent)); diff != "" {
				t.Errorf("scene_info (-want +got):\n%s", diff)
			}
			for name, want := range map[string]string{
				"appid": fixture.AppID, "mch_id": fixture.MchID, "sub_appid": fixture.SubAppID, "sub_mch_id": fixture.SubMchID,
				"sign_type": "HMAC-SHA256", "version": tc.version, "trade_scene": tc.body["trade_scene"].(string),
			} {
				if got := sent.Fields[name]; got != want {
					t.Errorf("%s: got %q on the wire, want %q", name, got, want)
				}
			}
			if sent.Route != wechatpaysim.RouteVehiclePartner || sent.Fields["nonce_str"] == tc.body["nonce_str"] {
				t.Errorf("got route %s and nonce %s, want the partner's and a nonce of our own", sent.Route, sent.Fields["nonce_str"])
			}
			line := r.log.Last(t)
			if hashed := tc.scene["plate_number"] != ""; (line["plate_hash"] != "") != hashed {
				t.Errorf("logged plate_hash %q, want one: %t", line["plate_hash"], hashed)
			}
			if hashed := tc.scene["openid"] != ""; (line["openid_hash"] != "") != hashed {
				t.Errorf("logged openid_hash %q, want one: %t", line["openid_hash"], hashed)
			}
		})
	}
}

// TestAnswer holds what the vendor is told of WeChat Pay's answer.
func TestAnswer(t *testing.T) {
	for _, tc := range []struct {
		state wechatpaysim.State
		free  bool
	}{
		{wechatpaysim.State{UserState: "NORMAL", DeductMode: "AUTOPAY"}, true},
		{wechatpaysim.State{UserState: "NORMAL"}, true},
		{wechatpaysim.State{UserState: "BLOCK"}, false},
		{wechatpaysim.State{UserState: "BLOCKED", DeductMode: "PROACTIVE"}, false},
		{wechatpaysim.State{UserState: "OVERDUE"}, false},
		{wechatpaysim.State{UserState: "normal"}, false},
		{wechatpaysim.State{UserState: "BRAND_NEW"}, false},
		{wechatpaysim.State{}, false},
	} {
		r := newRig(t)
		// The simulator knows the plate, and echoes nothing of it.
		r.sim.SetState(fixture.Plate, tc.state)
		a := r.post(least)
		r.want200(a)
		elements := map[string]any{
			"return_code": "SUCCESS", "return_msg": "OK", "appid": fixture.AppID, "mch_id": fixture.MchID,
			"sub_appid": fixture.SubAppID, "sub_mch_id": fixture.SubMchID, "result_code": "SUCCESS",
		}
		if tc.state.UserState != "" {
			elements["user_state"] = tc.state.UserState
		}
		if tc.state.DeductMode != "" {
			elements["deduct_mode"] = tc.state.DeductMode
		}
		want := map[string]any{
			"password_free_available": tc.free, "user_state": tc.state.UserState, "deduct_mode": tc.state.DeductMode, "wechatpay": elements,
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(a.Body), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tc.state, diff)
		}
	}
}

// inScene puts fields into scene_info as WeChat Pay defines it.
func inScene(t *testing.T, f fields) string {
	t.Helper()
	return string(functest.Document(t, map[string]any{"scene_info": f}))
}

// TestSceneInfo is the table of fields that stand flat, inside scene_info, or in both.
func TestSceneInfo(t *testing.T) {
	inside := fields{
		"start_time": "20170926114339", "plate_number": fixture.Plate, "free_time": "1200", "parking_name": fixture.ParkingName, "car_type": "小型车",
	}
	alone := fields{"trade_scene": "PARKING"}
	space := fields{"start_time": "20170926114339", "free_time": "1200", "space_number": "D6666", "openid": fixture.OpenID}
	for name, tc := range map[string]struct {
		flat, inside fields
		want         []string // field errors, nil for a success
	}{
		"alone":                        {alone, inside, nil},
		"alone, flat ones empty":       {alone.with(fields{"start_time": "", "plate_number": "", "free_time": "", "parking_name": "", "car_type": ""}), inside, nil},
		"alone, notify_url in it":      {alone, inside.with(fields{"notify_url": fixture.WebhookURL}), nil},
		"alone, free_time a number":    {alone, inside.with(fields{"free_time": 1200}), nil},
		"a space":                      {fields{"trade_scene": "PARKING SPACE"}, space, nil},
		"both the same":                {least, inside.with(fields{"car_type": nil}), nil},
		"each a part":                  {alone.with(fields{"plate_number": fixture.Plate, "free_time": 1200}), fields{"start_time": "20170926114339", "parking_name": "P"}, nil},
		"both, the inner empty":        {least, inside.with(fields{"plate_number": "", "parking_name": ""}), nil},
		"both, times in two spellings": {least.with(fields{"start_time": "2017-09-26T11:43:39+08:00"}), inside, nil},
		"both, a number and a string":  {least.with(fields{"free_time": 1200}), inside, nil},
		"inner fields of the other":    {alone, inside.with(fields{"openid": "", "sub_openid": "", "space_number": ""}), nil},
		"differing plates":             {least, inside.with(fields{"plate_number": "京A12345"}), []string{"/plate_number bad_value"}},
		"differing times":              {least, inside.with(fields{"start_time": "20170926114338"}), []string{"/start_time bad_value"}},
		"differing free_time":          {least, inside.with(fields{"free_time": 1201}), []string{"/free_time bad_value"}},
		"differing notify_url":         {least.with(fields{"notify_url": fixture.WebhookURL}), inside.with(fields{"notify_url": "https://x.example/"}), []string{"/notify_url bad_value"}},
		"a plate in lower case":        {alone, inside.with(fields{"plate_number": "粤b888888"}), []string{"/scene_info plate_malformed"}},
		"no plate in it":               {alone, inside.with(fields{"plate_number": nil}), []string{"/plate_number required"}},
		"a field that is not known":    {alone, inside.with(fields{"plate_color": "BLUE"}), []string{"/scene_info unknown_field"}},
		"a field of the call":          {alone, inside.with(fields{"sub_mch_id": fixture.SubMchID}), []string{"/scene_info unknown_field"}},
		"the other scene's":            {alone, inside.with(fields{"space_number": "D6666"}), []string{"/scene_info not_in_this_scene"}},
		"the other scene's plate":      {fields{"trade_scene": "PARKING SPACE"}, space.with(fields{"plate_number": fixture.Plate}), []string{"/scene_info not_in_this_scene"}},
		"a member is null":             {alone, inside.with(fields{"car_type": json.RawMessage("null")}), []string{"/scene_info bad_value"}},
		"a member is a number":         {alone, inside.with(fields{"car_type": 1}), []string{"/scene_info bad_value"}},
		"a member is an object":        {alone, inside.with(fields{"car_type": fields{}}), []string{"/scene_info bad_value"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a := r.post(tc.flat.with(fields{"scene_info": inScene(t, tc.inside)}))
			if tc.want == nil {
				sent := sceneInfo(t, r.want200(a))
				if sent["start_time"] != "20170926114339" || sent["free_time"] != "1200" {
					t.Errorf("got %v on the wire, want the scene's fields", sent)
				}
				return
			}
			got := functest.WantProblem(t, a, problem.InvalidFields).Fields()
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestSceneInfoForms holds texts of scene_info that are not what WeChat Pay defines.
func TestSceneInfoForms(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":                "start_time=20170926114339",
		"without the outer key":  `{"start_time":"20170926114339"}`,
		"another member outside": `{"scene_info":{},"x":1}`,
		"another name outside":   `{"sceneInfo":{}}`,
		"a string inside":        `{"scene_info":"{}"}`,
		"a list inside":          `{"scene_info":[]}`,
		"a list":                 `[]`,
		"null":                   `{"scene_info":null}`,
		"a key twice":            `{"scene_info":{"free_time":"1","free_time":"2"}}`,
		"the outer key twice":    `{"scene_info":{},"scene_info":{}}`,
		"something after it":     `{"scene_info":{}} ` + "x",
		"cut short":              `{"scene_info":{"free_time":"1"}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := functest.WantProblem(t, newRig(t).post(least.with(fields{"scene_info": text})), problem.InvalidFields)
			if got := p.Fields(); !slices.Equal(got, []string{"/scene_info bad_value"}) {
				t.Errorf("got %v, want /scene_info bad_value alone", got)
			}
		})
	}
	functest.WantProblem(t, newRig(t).post(least.with(fields{"scene_info": fields{"scene_info": fields{}}})), problem.WrongType)
}

// TestFieldRules is the table of what is wrong with a field: each row is one change to a good body.
func TestFieldRules(t *testing.T) {
	const long16, long32 = "0123456789abcdef", "0123456789abcdef0123456789abcdef"
	for name, tc := range map[string]struct {
		body   fields
		change fields
		want   string // "" for a success
	}{
		"no trade_scene":               {least, fields{"trade_scene": nil}, "/trade_scene required"},
		"an underscore in it":          {least, fields{"trade_scene": "PARKING_SPACE"}, "/trade_scene bad_value"},
		"trade_scene in lower case":    {least, fields{"trade_scene": "parking"}, "/trade_scene bad_value"},
		"no start_time":                {least, fields{"start_time": nil}, "/start_time required"},
		"start_time with an offset":    {least, fields{"start_time": "2017-09-26T03:43:39Z"}, ""},
		"start_time without one":       {least, fields{"start_time": "2017-09-26T11:43:39"}, "/start_time time_malformed"},
		"start_time of 13 digits":      {least, fields{"start_time": "2017092611433"}, "/start_time time_malformed"},
		"start_time in milliseconds":   {least, fields{"start_time": "1506397419000"}, "/start_time time_malformed"},
		"start_time with spaces":       {least, fields{"start_time": "2017-09-26 11:43:39"}, "/start_time time_malformed"},
		"a 13th month":                 {least, fields{"start_time": "20171326114339"}, "/start_time time_malformed"},
		"no plate":                     {least, fields{"plate_number": nil}, "/plate_number required"},
		"a plate with a hyphen":        {least, fields{"plate_number": "粤B-88888"}, "/plate_number plate_malformed"},
		"a plate in full width":        {least, fields{"plate_number": "粤Ｂ88888"}, "/plate_number plate_malformed"},
		"a military plate":             {least, fields{"plate_number": "WJ京00001"}, "/plate_number plate_unsupported"},
		"no plate was read":            {least, fields{"plate_number": "无牌车"}, "/plate_number plate_unsupported"},
		"no parking_name":              {least, fields{"parking_name": nil}, "/parking_name required"},
		"parking_name of 32":           {least, fields{"parking_name": strings.Repeat("停", 32)}, ""},
		"parking_name of 33":           {least, fields{"parking_name": strings.Repeat("停", 33)}, "/parking_name too_long"},
		"parking_name of two lines":    {least, fields{"parking_name": "停\n车"}, "/parking_name bad_value"},
		"parking_name like XML":        {least, fields{"parking_name": `<a>&"]]>`}, ""},
		"parking_name that XML lacks":  {least, fields{"parking_name": "停\uffff"}, "/parking_name bad_value"},
		"no free_time":                 {least, fields{"free_time": nil}, "/free_time required"},
		"free_time a number":           {least, fields{"free_time": 1200}, ""},
		"free_time of 0":               {least, fields{"free_time": "0"}, ""},
		"free_time negative":           {least, fields{"free_time": -1}, "/free_time bad_value"},
		"free_time with a fraction":    {least, fields{"free_time": 1.5}, "/free_time bad_value"},
		"free_time with an exponent":   {least, fields{"free_time": json.RawMessage("1e3")}, "/free_time bad_value"},
		"free_time with a zero before": {least, fields{"free_time": "01200"}, "/free_time bad_value"},
		"free_time with a unit":        {least, fields{"free_time": "20min"}, "/free_time bad_value"},
		"free_time without end":        {least, fields{"free_time": "10000000000"}, "/free_time bad_value"},
		"a small car":                  {least, fields{"car_type": "小型车"}, ""},
		"a car of no type":             {least, fields{"car_type": "SMALL"}, "/car_type bad_value"},
		"space_number in a car park":   {least, fields{"space_number": "D6666"}, "/space_number not_in_this_scene"},
		"openid in a car park":         {least, fields{"openid": "o"}, "/openid not_in_this_scene"},
		"sub_openid in a car park":     {least, fields{"sub_openid": "o"}, "/sub_openid not_in_this_scene"},
		"a plate in a space":           {leastSpace, fields{"plate_number": fixture.Plate}, "/plate_number not_in_this_scene"},
		"notify_url in a space":        {leastSpace, fields{"notify_url": fixture.WebhookURL}, "/notify_url not_in_this_scene"},
		"no space_number":              {leastSpace, fields{"space_number": nil}, "/space_number required"},
		"space_number of 16":           {leastSpace, fields{"space_number": long16}, ""},
		"space_number of 17":           {leastSpace, fields{"space_number": long16 + "0"}, "/space_number too_long"},
		"space_number with a tab":      {leastSpace, fields{"space_number": "D\t1"}, "/space_number bad_value"},
		"openid of 32":                 {leastSpace, fields{"openid": long32}, ""},
		"openid of 33":                 {leastSpace, fields{"openid": long32 + "0"}, "/openid too_long"},
		"openid with a space":          {leastSpace, fields{"openid": "o p"}, "/openid bad_value"},
		"sub_openid of 33":             {leastSpace, fields{"sub_openid": long32 + "0"}, "/sub_openid too_long"},
		"sub_openid in Chinese":        {leastSpace, fields{"sub_openid": "用户"}, "/sub_openid bad_value"},
		"parking_name in a space":      {leastSpace, fields{"parking_name": fixture.ParkingName}, ""},
		"parking_name of 33, a space":  {leastSpace, fields{"parking_name": strings.Repeat("停", 33)}, "/parking_name too_long"},
		"another appid":                {least, fields{"appid": "wxcbda96de0b165487"}, "/appid config_mismatch"},
		"another mch_id":               {least, fields{"mch_id": "10000099"}, "/mch_id config_mismatch"},
		"another sign_type":            {least, fields{"sign_type": "MD5"}, "/sign_type config_mismatch"},
		"version 2.0 in a car park":    {least, fields{"version": "2.0"}, "/version config_mismatch"},
		"version 3.0 in a space":       {leastSpace, fields{"version": "3.0"}, "/version config_mismatch"},
		"version 1.0":                  {least, fields{"version": "1.0"}, "/version config_mismatch"},
		"a nonce_str is ignored":       {least, fields{"nonce_str": strings.Repeat("长", 100)}, ""},
		"the vendor's notify_url":      {least, fields{"notify_url": fixture.WebhookURL}, ""},
		"another notify_url":           {least, fields{"notify_url": "https://parking.example.com/other"}, "/notify_url config_mismatch"},
		"the gateway's notify_url":     {least, fields{"notify_url": "https://" + domain + callbackPath + fixture.VendorID}, "/notify_url config_mismatch"},
		"V3's spelling":                {least, fields{"sub_mchid": fixture.SubMchID}, "/sub_mchid unknown_field"},
		"mchid":                        {least, fields{"mchid": fixture.MchID}, "/mchid unknown_field"},
		"a sign":                       {least, fields{"sign": "ABC"}, "/sign unknown_field"},
		"a key":                        {least, fields{"key": "ABC"}, "/key unknown_field"},
		"an invented one":              {least, fields{"plate_color": "BLUE"}, "/plate_color unknown_field"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a := r.post(tc.body.with(tc.change))
			if tc.want == "" {
				r.want200(a)
				return
			}
			p := functest.WantProblem(t, a, problem.InvalidFields)
			if got := p.Fields(); !slices.Equal(got, []string{tc.want}) {
				t.Errorf("got %v, want %s alone", got, tc.want)
			}
			if len(r.sim.Requests()) != 0 || len(r.claims.Calls) != 0 {
				t.Error("a refused request went further")
			}
		})
	}
}

func TestFuture(t *testing.T) {
	functest.NewWorld(t) // the keys are made outside of the bubble
	synctest.Test(t, func(t *testing.T) {
		for ahead, ok := range map[time.Duration]bool{5 * time.Minute: true, 5*time.Minute + time.Second: false, 8 * time.Hour: false} {
			for _, layout := range []string{time.RFC3339, "20060102150405"} {
				r := newRig(t)
				a := r.post(least.with(fields{"start_time": time.Now().Add(ahead).In(time.FixedZone("", 8*60*60)).Format(layout)}))
				if ok {
					r.want200(a)
					continue
				}
				if got := functest.WantProblem(t, a, problem.InvalidFields).Fields(); !slices.Equal(got, []string{"/start_time time_in_future"}) {
					t.Errorf("%v ahead: got %v, want /start_time time_in_future", ahead, got)
				}
			}
		}
	})
}

// TestNotifyURL holds the address that WeChat Pay is given: always the gateway's own.
func TestNotifyURL(t *testing.T) {
	for name, tc := range map[string]struct {
		base   string
		domain string
		vendor string
		want   string // "" where there is none to give
	}{
		"the domain that was called": {"", domain, fixture.VendorID, "https://" + domain + "/v1/callbacks/vehicle/" + fixture.VendorID},
		"another vendor's":           {"", domain, fixture.OtherVendorID, "https://" + domain + "/v1/callbacks/vehicle/" + fixture.OtherVendorID},
		"CALLBACK_BASE_URL":          {"https://pay.example.com/gw", domain, fixture.VendorID, "https://pay.example.com/gw/v1/callbacks/vehicle/" + fixture.VendorID},
		"256 characters":             {"https://" + strings.Repeat("x", 256-len("https:///v1/callbacks/vehicle/")-len(fixture.VendorID)), domain, fixture.VendorID, "-"},
		"257 characters":             {"https://" + strings.Repeat("x", 257-len("https:///v1/callbacks/vehicle/")-len(fixture.VendorID)), domain, fixture.VendorID, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.entries.callbackBase = tc.base
			body := least
			if tc.vendor == fixture.OtherVendorID {
				body = least.with(fields{"sub_mch_id": fixture.SubMchID})
			}
			e := r.event(tc.vendor, string(functest.Document(t, body)))
			e.Domain = tc.domain
			a := functest.Invoke(t.Context(), t, r.adapter, e)
			if tc.want == "" {
				functest.WantProblem(t, a, problem.GatewayUnavailable)
				return
			}
			got := sceneInfo(t, r.want200(a))["notify_url"]
			if tc.want == "-" && len(got) != 256 || tc.want != "-" && got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
	// A vendor without a webhook_url cannot name one.
	r := newRig(t)
	a := r.sendAs(fixture.OtherVendorID, string(functest.Document(t, least.with(fields{"sub_mch_id": fixture.SubMchID, "notify_url": fixture.WebhookURL}))))
	if got := functest.WantProblem(t, a, problem.InvalidFields).Fields(); !slices.Equal(got, []string{"/notify_url config_mismatch"}) {
		t.Errorf("got %v, want /notify_url config_mismatch", got)
	}
}

// TestPermission is the table of which merchant a body names, and of the order of the checks around it.
func TestPermission(t *testing.T) {
	for name, tc := range map[string]struct {
		vendor string
		change fields
		want   problem.Code // "" for 200
	}{
		"left out":                     {fixture.VendorID, fields{}, ""},
		"given":                        {fixture.VendorID, fields{"sub_mch_id": fixture.SubMchID, "sub_appid": fixture.SubAppID}, ""},
		"empty":                        {fixture.VendorID, fields{"sub_mch_id": "", "sub_appid": ""}, ""},
		"another's sub_mch_id":         {fixture.VendorID, fields{"sub_mch_id": fixture.OtherSubMchID}, problem.MerchantNotAllowed},
		"another sub_appid":            {fixture.VendorID, fields{"sub_appid": fixture.AppID}, problem.MerchantNotAllowed},
		"of two merchants one each":    {fixture.OtherVendorID, fields{"sub_mch_id": fixture.OtherSubMchID, "sub_appid": fixture.SubAppID}, problem.MerchantNotAllowed},
		"several, none named":          {fixture.OtherVendorID, fields{}, problem.MerchantAmbiguous},
		"several, named by sub_mch_id": {fixture.OtherVendorID, fields{"sub_mch_id": fixture.SubMchID}, ""},
		"several, named by sub_appid":  {fixture.OtherVendorID, fields{"sub_appid": fixture.SubAppID}, ""},
		"permission before fields":     {fixture.VendorID, fields{"sub_mch_id": fixture.OtherSubMchID, "plate_number": "x", "y": 1}, problem.MerchantNotAllowed},
		"fields before ambiguity":      {fixture.OtherVendorID, fields{"plate_number": "x"}, problem.InvalidFields},
		"types before permission":      {fixture.VendorID, fields{"sub_mch_id": 1900000110, "y": 1}, problem.WrongType},
		"null is a wrong type":         {fixture.VendorID, fields{"car_type": json.RawMessage("null")}, problem.WrongType},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a := r.sendAs(tc.vendor, string(functest.Document(t, least.with(tc.change))))
			if tc.want != "" {
				functest.WantProblem(t, a, tc.want)
				return
			}
			if got := r.want200(a).Fields; got["sub_mch_id"] != fixture.SubMchID || got["sub_appid"] != fixture.SubAppID {
				t.Errorf("got %v on the wire, want the configured merchant", got)
			}
		})
	}
	without := newRig(t, func(w *fixture.World) { w.Vendors.Vendors[fixture.VendorID].Merchants[0].Vehicle = nil })
	functest.WantProblem(t, without.post(least), problem.MerchantNotAllowed)
}

// TestDirect: a merchant that calls for itself uses the twin interface, without a sub-merchant's fields.
func TestDirect(t *testing.T) {
	for name, world := range map[string]func(*fixture.World){
		"as it is": (*fixture.World).Direct,
		"with a sub_appid that means nothing": func(w *fixture.World) {
			w.Direct()
			w.Vendors.Vendors[fixture.VendorID].Merchants[0].Vehicle.SubAppID = fixture.SubAppID
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, body := range []fields{least, leastSpace, seedParking.with(fields{"sub_appid": nil, "sub_mch_id": ""})} {
				r := newRig(t, world)
				sent := r.want200(r.post(body))
				_, subMchID := sent.Fields["sub_mch_id"]
				_, subAppID := sent.Fields["sub_appid"]
				if sent.Route != wechatpaysim.RouteVehicleDirect || subMchID || subAppID {
					t.Errorf("got %s with %v, want the twin without sub_mch_id and sub_appid", sent.Route, sent.Fields)
				}
			}
		})
	}
	functest.WantProblem(t, newRig(t, (*fixture.World).Direct).post(least.with(fields{"sub_mch_id": fixture.SubMchID})), problem.MerchantNotAllowed)
	functest.WantProblem(t, newRig(t, (*fixture.World).Direct).post(least.with(fields{"sub_mch_id": fixture.MchID})), problem.MerchantNotAllowed)
	p := functest.WantProblem(t, newRig(t, (*fixture.World).Direct).post(leastSpace.with(fields{"sub_openid": fixture.OpenID})), problem.InvalidFields)
	if got, want := p.Fields(), []string{"/sub_openid config_mismatch"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestWeChatPay is the table of what WeChat Pay can do, as the vendor sees it, and of what becomes of the id.
func TestWeChatPay(t *testing.T) {
	type fault = wechatpaysim.Fault
	for name, tc := range map[string]struct {
		fault  fault
		code   problem.Code // "" for 200
		record string
		answer string
	}{
		"nothing":          {fault{Kind: wechatpaysim.FaultDelay}, "", "complete 200", ""},
		"refused":          {fault{Kind: wechatpaysim.FaultErrCode, Code: "PARAM_ERROR", Message: "参数错误"}, problem.WeChatPayRefused, "complete 422", "200 PARAM_ERROR 参数错误"},
		"refused unsigned": {fault{Kind: wechatpaysim.FaultStatus, Status: 200, Code: "参数格式校验错误"}, problem.WeChatPayRefused, "complete 422", "200  参数格式校验错误"},
		"no permission":    {fault{Kind: wechatpaysim.FaultErrCode, Code: "INVALID_REQUEST", Message: "Permission denied"}, problem.WeChatPayNoPermission, "release", "200 INVALID_REQUEST Permission denied"},
		"rate limited":     {fault{Kind: wechatpaysim.FaultErrCode, Code: "FREQUENCY_LIMITED"}, problem.WeChatPayRateLimited, "release", "200 FREQUENCY_LIMITED "},
		"sign error":       {fault{Kind: wechatpaysim.FaultStatus, Status: 200, Code: "签名失败"}, problem.WeChatPayRejectedOurSignature, "release", "200  签名失败"},
		"system error":     {fault{Kind: wechatpaysim.FaultSystemError}, problem.WeChatPayUnavailable, "release", "200 SYSTEMERROR 系统错误"},
		"a proxy's 502":    {fault{Kind: wechatpaysim.FaultStatus, Status: 502}, problem.WeChatPayUnavailable, "release", "502  "},
		"a proxy's 200":    {fault{Kind: wechatpaysim.FaultStatus, Status: 200}, problem.WeChatPayUnverified, "release", "200  "},
		"hangs":            {fault{Kind: wechatpaysim.FaultHang}, problem.OutcomeUnknown, "release", ""},
		"cut short":        {fault{Kind: wechatpaysim.FaultTruncated}, problem.OutcomeUnknown, "release", ""},
		"wrong signature":  {fault{Kind: wechatpaysim.FaultWrongSignature}, problem.WeChatPayUnverified, "release", "200  "},
		"no signature":     {fault{Kind: wechatpaysim.FaultNoSignature}, problem.WeChatPayUnverified, "release", "200  "},
		"a probe":          {fault{Kind: wechatpaysim.FaultProbe}, problem.WeChatPayUnverified, "release", "200  "},
		"a probe once":     {fault{Kind: wechatpaysim.FaultProbe, Times: 1}, "", "complete 200", ""},
		"a reset once":     {fault{Kind: wechatpaysim.FaultResetAfterRead, Times: 1}, "", "complete 200", ""},
	} {
		t.Run(name, func(t *testing.T) {
			functest.NewWorld(t) // the keys are made outside of the bubble
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				if err := r.sim.Inject(tc.fault); err != nil {
					t.Fatal(err)
				}
				a := r.post(least.with(fields{"start_time": time.Now().Format(time.RFC3339)}))
				if tc.code == "" {
					r.want200(a)
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

// TestRepeats: the same entry in other words is the same request.
func TestRepeats(t *testing.T) {
	r := newRig(t)
	first := r.post(seedParking)
	r.want200(first)
	for name, body := range map[string]fields{
		"as it was":         seedParking,
		"another nonce_str": seedParking.with(fields{"nonce_str": "x"}),
		"less":              least.with(fields{"car_type": "大型车"}),
		"in scene_info": {"trade_scene": "PARKING", "scene_info": inScene(t, fields{
			"start_time": "2017-09-26T11:43:39+08:00", "plate_number": fixture.Plate, "free_time": 1200, "parking_name": fixture.ParkingName, "car_type": "大型车",
		})},
	} {
		a := r.post(body)
		if a.Status != 200 || a.Header["Idempotency-Replayed"] != "true" || a.Body != first.Body || a.Header["Content-Type"] != "application/json" {
			t.Errorf("%s: got %d %v %s, want the first answer again", name, a.Status, a.Header, a.Body)
		}
	}
	// The domain that was called decides where WeChat Pay reports to, and not what was asked for.
	e := r.event(fixture.VendorID, string(functest.Document(t, seedParking)))
	e.Domain = "another.example.com"
	if a := functest.Invoke(t.Context(), t, r.adapter, e); a.Header["Idempotency-Replayed"] != "true" {
		t.Errorf("another domain: got %d %v, want the first answer again", a.Status, a.Header)
	}
	for name, f := range map[string]fields{
		"another plate": {"plate_number": "京A12345"}, "another second": {"start_time": "20170926114338"}, "no car_type": {"car_type": nil},
		"another free_time": {"free_time": 0}, "another scene": seedSpace,
	} {
		t.Run(name, func(t *testing.T) {
			functest.WantProblem(t, r.post(seedParking.with(f)), problem.IdempotencyMismatch)
		})
	}
	if n := len(r.sim.Requests()); n != 1 {
		t.Errorf("got %d requests at WeChat Pay, want 1", n)
	}
}

// TestOurOwnFailures: what is the gateway's own and out is 503, and nothing is sent.
func TestOurOwnFailures(t *testing.T) {
	for name, down := range map[string]func(*rig){
		"the merchant": func(r *rig) { r.merchants.Err = functest.ErrDown },
		"no APIv2 key": func(r *rig) { r.merchants.Value.V2Keys = nil },
		"the vendors":  func(r *rig) { r.vendors.Err = functest.ErrDown },
		"the claims":   func(r *rig) { r.claims.ClaimErr = idempotency.ErrUnavailable },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			down(r)
			a := r.post(least)
			functest.WantProblem(t, a, problem.GatewayUnavailable)
			if a.Header["Retry-After"] != "5" || len(r.sim.Requests()) != 0 || r.log.Last(t)["reason"] == "" {
				t.Errorf("got Retry-After %q, %d requests and reason %q, want 5, none and one", a.Header["Retry-After"], len(r.sim.Requests()), r.log.Last(t)["reason"])
			}
		})
	}
	r := newRig(t)
	r.claims.CompleteErr = idempotency.ErrUnavailable
	r.want200(r.post(least))
}

// TestRotation: an APIv2 key that was rotated since it was fetched costs the vendor nothing.
func TestRotation(t *testing.T) {
	r := newRig(t)
	fresh := r.merchants.Value
	old := *fresh
	other := functest.NewWorld(t)
	other.Merchant.APIv2Keys = []string{"0123456789abcdef0123456789abcdef"}
	old.V2Keys = functest.Merchant(t, other).V2Keys
	r.merchants.Next, r.merchants.Value = &fresh, &old
	r.want200(r.post(least))
}

// TestPrivateWords holds that nothing private is in the log whatever fails; the rigs hold it of every test besides.
func TestPrivateWords(t *testing.T) {
	for _, f := range []fields{
		{"plate_number": fixture.Plate + " "}, {"parking_name": fixture.Plate + "\n"}, {fixture.Plate: fixture.OpenID}, {"trade_scene": fixture.Plate},
		{"start_time": fixture.Plate}, {"openid": fixture.OpenID}, {"scene_info": fixture.Plate}, {"notify_url": fixture.Plate}, {"sub_appid": fixture.OpenID},
	} {
		r := newRig(t)
		a := functest.Invoke(t.Context(), t, r.adapter, r.event(fixture.VendorID, string(functest.Document(t, least.with(f)))))
		if a.Status < 400 {
			t.Errorf("%v: got %d, want a refusal", f, a.Status)
		}
	}
}

// FuzzSceneInfo puts any text into scene_info, beside the flat fields or alone: it is refused with a problem, or it is sent
// in the official form and the simulator finds nothing wrong with it but characters that only the simulator minds.
func FuzzSceneInfo(f *testing.F) {
	r := newRig(f)
	f.Add(`{"scene_info":{"start_time":"20170926114339","plate_number":"粤B888888","free_time":"1200","car_type":"大型车","parking_name":"欢乐海岸停车场"}}`, true)
	f.Add(`{"scene_info":{"start_time":"20170926114339","free_time":1200,"space_number":"D6666"}}`, false)
	f.Add(`{"scene_info":{"free_time":"1","free_time":"2"}}`, true)
	f.Add(`{"scene_info":null}`, false)
	f.Fuzz(func(t *testing.T, text string, flat bool) {
		body := fields{"trade_scene": "PARKING", "scene_info": text}
		if flat {
			body = least.with(body)
		}
		_, requests := r.fuzz(t, string(functest.Document(t, body)))
		for _, sent := range requests {
			if !sent.Accepted && !strings.Contains(sent.Reason, "begins or ends with a space") {
				t.Fatalf("WeChat Pay would not take what the gateway took: %s", sent.Reason)
			}
		}
	})
}

// FuzzBody is the same for the whole body.
func FuzzBody(f *testing.F) {
	r := newRig(f)
	for _, body := range []fields{seedParking, seedSpace, least, leastSpace} {
		f.Add(functest.Document(f, body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r.fuzz(t, string(body))
	})
}
