//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/demovendor"
	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/wechatpaysim"
)

// The fields that the two descriptions of the interfaces list, in their order. Vendors that were built by them send every
// one, with the other scene's empty.
var (
	parkingsFields = []string{"sub_mchid", "brandid", "appid", "openid", "plate_number", "state", "time"}
	entryFields    = []string{
		"appid", "mch_id", "sub_appid", "sub_mch_id", "nonce_str", "sign_type", "version", "trade_scene", "scene_info", "start_time",
		"plate_number", "notify_url", "car_type", "parking_name", "free_time", "openid", "sub_openid", "space_number",
	}
)

// object writes a JSON object of fields in their order; a field without a value is an empty string.
func object(fields []string, values map[string]any) []byte {
	var members []string
	for _, name := range fields {
		value, ok := values[name]
		if !ok {
			value = ""
		}
		text, err := json.Marshal(value)
		if err != nil {
			panic("e2e: " + err.Error())
		}
		members = append(members, fmt.Sprintf("%q:%s", name, text))
	}
	return []byte("{" + strings.Join(members, ",") + "}")
}

// seedScenario is a body with every field that the description lists, and what must reach WeChat Pay for it.
type seedScenario struct {
	name   string
	route  string
	values map[string]any
	wire   map[string]string // without what is new for each call
}

const seedOpenID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"

func seedScenarios(direct bool) []seedScenario {
	parkings := map[string]any{
		"sub_mchid": fixture.SubMchID, "brandid": fixture.BrandID, "appid": fixture.CircleAppID, "openid": fixture.OpenID,
		"plate_number": fixture.Plate, "state": "IN", "time": "2022-06-01T10:43:39+08:00",
	}
	parkingsWire := map[string]string{
		"sub_mchid": fixture.SubMchID, "brandid": "1000", "appid": fixture.CircleAppID, "openid": fixture.OpenID,
		"plate_number": fixture.Plate, "state": "IN", "time": "2022-06-01T10:43:39+08:00",
	}
	lot := map[string]any{
		"appid": fixture.AppID, "mch_id": fixture.MchID, "sub_appid": fixture.SubAppID, "sub_mch_id": fixture.SubMchID,
		"nonce_str": "5K8264ILTKCH16CQ2502SI8ZNMTM67VS", "sign_type": "HMAC-SHA256", "version": "3.0", "trade_scene": "PARKING",
		"start_time": "20170926114339", "plate_number": fixture.Plate, "notify_url": fixture.WebhookURL, "car_type": "大型车",
		"parking_name": fixture.ParkingName, "free_time": "1200",
	}
	sceneText := `{"scene_info":{"start_time":"20170926114339","plate_number":"` + fixture.Plate + `","notify_url":"` + fixture.WebhookURL +
		`","free_time":"1200","car_type":"大型车","parking_name":"` + fixture.ParkingName + `"}}`
	lotWire := map[string]string{
		"appid": fixture.AppID, "mch_id": fixture.MchID, "sub_appid": fixture.SubAppID, "sub_mch_id": fixture.SubMchID,
		"sign_type": "HMAC-SHA256", "version": "3.0", "trade_scene": "PARKING",
		"scene_info": `{"scene_info":{"start_time":"20170926114339","plate_number":"` + fixture.Plate + `","notify_url":"CALLBACK",` +
			`"free_time":"1200","car_type":"大型车","parking_name":"` + fixture.ParkingName + `"}}`,
		"start_time": "20170926114339", "plate_number": fixture.Plate, "notify_url": "CALLBACK", "free_time": "1200", "car_type": "大型车",
		"parking_name": fixture.ParkingName,
	}
	space := map[string]any{
		"appid": fixture.AppID, "mch_id": fixture.MchID, "sub_appid": fixture.SubAppID, "sub_mch_id": fixture.SubMchID,
		"sign_type": "HMAC-SHA256", "version": "2.0", "trade_scene": "PARKING SPACE", "start_time": "20170926114339",
		"car_type": "小型车", "parking_name": fixture.ParkingName, "free_time": "1200", "openid": seedOpenID, "space_number": "D6666",
	}
	spaceWire := map[string]string{
		"appid": fixture.AppID, "mch_id": fixture.MchID, "sub_appid": fixture.SubAppID, "sub_mch_id": fixture.SubMchID,
		"sign_type": "HMAC-SHA256", "version": "2.0", "trade_scene": "PARKING SPACE",
		"scene_info": `{"scene_info":{"start_time":"20170926114339","free_time":"1200","car_type":"小型车","parking_name":"` +
			fixture.ParkingName + `","openid":"` + seedOpenID + `","space_number":"D6666"}}`,
		"start_time": "20170926114339", "free_time": "1200", "car_type": "小型车", "parking_name": fixture.ParkingName,
		"openid": seedOpenID, "space_number": "D6666",
	}
	if !direct {
		space["sub_openid"] = "oSub" + seedOpenID
		spaceWire["sub_openid"] = "oSub" + seedOpenID
		spaceWire["scene_info"] = strings.Replace(spaceWire["scene_info"], `,"space_number"`, `,"sub_openid":"oSub`+seedOpenID+`","space_number"`, 1)
	} else {
		for _, values := range []map[string]any{parkings, lot, space} {
			for _, name := range []string{"sub_mchid", "sub_mch_id", "sub_appid"} {
				delete(values, name)
			}
		}
		for _, wire := range []map[string]string{parkingsWire, lotWire, spaceWire} {
			for _, name := range []string{"sub_mchid", "sub_mch_id", "sub_appid"} {
				delete(wire, name)
			}
		}
	}
	sceneAlone := map[string]any{"trade_scene": "PARKING", "scene_info": sceneText}
	number := make(map[string]any)
	for name, value := range lot {
		number[name] = value
	}
	number["start_time"], number["free_time"] = "2017-09-26T03:43:39.75Z", 1200
	utc := make(map[string]any)
	for name, value := range parkings {
		utc[name] = value
	}
	utc["time"] = "2022-06-01T02:43:39.999Z"
	return []seedScenario{
		{"parkings", demovendor.Parkings, parkings, parkingsWire},
		{"parkings, time in UTC with a fraction", demovendor.Parkings, utc, parkingsWire},
		{"PARKING", demovendor.Entry, lot, lotWire},
		{"PARKING, RFC 3339 and a number", demovendor.Entry, number, lotWire},
		{"PARKING, scene_info alone", demovendor.Entry, sceneAlone, lotWire},
		{"PARKING SPACE", demovendor.Entry, space, spaceWire},
	}
}

var (
	rsaScheme = regexp.MustCompile(`^WECHATPAY2-SHA256-RSA2048 mchid="10000098",`)
	nonceText = regexp.MustCompile(`^[0-9A-Za-z]{32}$`)
	signText  = regexp.MustCompile(`^[0-9A-F]{64}$`)
)

// TestSeeds: every field that the descriptions list is taken, and WeChat Pay hears its own official form, field by field.
func TestSeeds(t *testing.T) {
	t.Parallel()
	for _, mode := range []struct {
		name   string
		start  func() (*gateway, error)
		direct bool
	}{{"partner", partnerStack, false}, {"direct", directStack, true}} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			g := get(t, mode.start)
			g.lane(t, laneParkings, laneEntry)
			for _, row := range seedScenarios(mode.direct) {
				t.Run(row.name, func(t *testing.T) { row.play(t, g) })
			}
		})
	}
}

func (s seedScenario) play(t *testing.T, g *gateway) {
	t.Helper()
	uri, fields := wechatpaysim.RouteParkings, parkingsFields
	if s.route == demovendor.Entry {
		uri, fields = g.entryURI, entryFields
	}
	c := g.newCall(s.route)
	c.body = object(fields, s.values)
	mark := g.heard.mark(uri)
	a := c.do(t)
	heard := g.heard.since(uri, mark)
	vendorScenario{status: success[s.route], heard: 1}.check(t, a, heard)
	if len(heard) != 1 {
		return
	}
	r := heard[0]
	callback := g.URL + "/v1/callbacks/vehicle/" + fixture.VendorID
	want := make(map[string]string)
	for name, value := range s.wire {
		want[name] = strings.Replace(value, "CALLBACK", callback, 1)
	}
	got := make(map[string]string)
	for name, value := range r.Fields {
		if name != "nonce_str" && name != "sign" {
			got[name] = value
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("on the wire (-want +got):\n%s", diff)
	}
	if r.URI != uri || r.Method != http.MethodPost {
		t.Errorf("got %s %s, want POST %s", r.Method, r.URI, uri)
	}
	if s.route == demovendor.Parkings {
		checkParkingsWire(t, g, r)
	} else if !nonceText.MatchString(r.Fields["nonce_str"]) || !signText.MatchString(r.Fields["sign"]) {
		t.Errorf("got nonce_str %q and sign %q", r.Fields["nonce_str"], r.Fields["sign"])
	}
}

// checkParkingsWire: the brandid is a JSON number, and the headers are those that the page asks for.
func checkParkingsWire(t *testing.T, g *gateway, r wechatpaysim.Request) {
	t.Helper()
	if !strings.Contains(string(r.Body), `"brandid":1000,`) {
		t.Errorf("brandid is not a number: %s", r.Body)
	}
	want := map[string]string{"Accept": "application/json", "Content-Type": "application/json", "Wechatpay-Serial": g.World.Identity.PublicKeyID}
	for name, value := range want {
		if got := r.Header.Get(name); got != value {
			t.Errorf("%s: got %q, want %q", name, got, value)
		}
	}
	if r.Header.Get("User-Agent") == "" || !rsaScheme.MatchString(r.Header.Get("Authorization")) {
		t.Errorf("got User-Agent %q and an Authorization that starts otherwise than due", r.Header.Get("User-Agent"))
	}
}

// TestDirect: in direct mode there is no sub-merchant, in neither direction.
func TestDirect(t *testing.T) {
	t.Parallel()
	g := get(t, directStack)
	g.lane(t, laneParkings, laneEntry, laneCallbacks)
	forDirect := func(c *call) {
		for _, name := range []string{"sub_mchid", "sub_mch_id", "sub_appid"} {
			c.set(name, nil)
		}
	}
	for route, rows := range map[string][]vendorScenario{
		demovendor.Parkings: {
			{name: "without ids", change: all(forDirect, without("brandid"), without("appid")), status: 204, heard: 1},
			{name: "a sub-merchant", change: set("sub_mchid", fixture.SubMchID), status: 403, code: "merchant_not_allowed"},
			{name: "the merchant as its own sub-merchant", change: set("sub_mchid", fixture.MchID), status: 403, code: "merchant_not_allowed"},
		},
		demovendor.Entry: {
			{name: "without ids", change: all(forDirect, without("appid"), without("mch_id")), status: 200, heard: 1, lacks: []string{"sub_"}},
			{name: "a sub-merchant", change: set("sub_mch_id", fixture.SubMchID), status: 403, code: "merchant_not_allowed"},
			{name: "a sub_appid", change: all(forDirect, set("sub_appid", fixture.SubAppID)), status: 403, code: "merchant_not_allowed"},
			{name: "another mch_id", change: all(forDirect, set("mch_id", "10000099")), status: 422, code: "invalid_fields", errors: []string{"/mch_id config_mismatch"}},
		},
	} {
		for _, row := range rows {
			t.Run(route+" "+row.name, func(t *testing.T) {
				c := g.newCall(route)
				row.change(c)
				uri, other := wechatpaysim.RouteParkings, wechatpaysim.RouteVehiclePartner
				if route == demovendor.Entry {
					uri = wechatpaysim.RouteVehicleDirect
				}
				mark, otherMark := g.heard.mark(uri), g.heard.mark(other)
				a := c.do(t)
				row.check(t, a, g.heard.since(uri, mark))
				if n := len(g.heard.since(other, otherMark)); n != 0 {
					t.Errorf("WeChat Pay heard %d calls on the service providers' route, want none", n)
				}
			})
		}
	}

	own := fixture.Payment(time.Now())
	own.MchID = fixture.MchID
	foreign := fixture.Payment(time.Now())
	demo := []string{fixture.VendorID}
	for name, row := range map[string]callbackScenario{
		"a payment": {build: paid(func(p *wechatpaysim.MallTransaction) { *p = own }), queued: demo},
		"a sub-merchant's payment": {
			build: paid(func(p *wechatpaysim.MallTransaction) { *p = foreign }), reason: "not_this_vendor", status: 403,
		},
		"a payment without mchid": {
			build: event("MALL_TRANSACTION.SUCCESS", map[string]any{"a": 1}), reason: "not_this_vendor", status: 403,
		},
	} {
		t.Run(name, func(t *testing.T) { row.play(t, g, false) })
	}
	state := wechatpaysim.PlateState{PlateNumber: fixture.Plate, EventType: "BLOCKED"}
	t.Run("a plate's state", func(t *testing.T) {
		m := deliver(t, g, plateState(fixture.VendorID, state)(t, g), 1)[0]
		if got := member(t, m, "sub_mchid"); got != "" || member(t, m, "mchid") != fixture.MchID {
			t.Errorf("got sub_mchid %v and mchid %v, want an empty one and %s", got, member(t, m, "mchid"), fixture.MchID)
		}
	})
	state.SubMchID = fixture.SubMchID
	t.Run("a sub-merchant's plate's state", func(t *testing.T) {
		callbackScenario{build: plateState(fixture.VendorID, state), reason: "not_this_vendor"}.play(t, g, true)
	})
}
