package wechatpay_test

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"wechat-parking-gateway/local/fixture"
	"wechat-parking-gateway/local/functest"
	"wechat-parking-gateway/local/wechatpaysim"
	"wechat-parking-gateway/shared/flatxml"
	"wechat-parking-gateway/shared/merchant"
	"wechat-parking-gateway/shared/wechatpay"
)

// TestParkingJSON holds the V3 body to the vector, byte for byte.
func TestParkingJSON(t *testing.T) {
	found := false
	for _, c := range loadVectors(t).V3.Cases {
		if c.URI != wechatpaysim.RouteParkings {
			continue
		}
		found = true
		if got := string(must(parking.JSON())); got != c.Body {
			t.Errorf("got %s, want %s", got, c.Body)
		}
	}
	if !found {
		t.Error("the vectors have no parking")
	}
	direct := parking
	direct.SubMchID = ""
	if got := string(must(direct.JSON())); strings.Contains(got, "sub_mchid") {
		t.Errorf("direct: got %s, want no sub_mchid", got)
	}
}

// TestSceneJSON holds scene_info to the vectors, byte for byte.
func TestSceneJSON(t *testing.T) {
	scenes := map[string]wechatpay.Scene{
		"PARKING":       entry.Scene,
		"PARKING SPACE": {StartTime: "20170926114339", FreeTime: "1200", SubOpenID: "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", SpaceNumber: "D6666"},
	}
	for _, v := range loadVectors(t).V2 {
		scene, ok := scenes[v.Fields["trade_scene"]]
		if !ok {
			continue
		}
		if got := must(scene.JSON()); got != v.Fields["scene_info"] {
			t.Errorf("%s: got %s, want %s", v.Name, got, v.Fields["scene_info"])
		}
		delete(scenes, v.Fields["trade_scene"])
	}
	if len(scenes) != 0 {
		t.Errorf("the vectors lack %v", slices.Collect(maps.Keys(scenes)))
	}
	raw := wechatpay.Scene{StartTime: "20170926114339", FreeTime: "0", ParkingName: "A<&>/\u2028\"\\", SpaceNumber: "]]>"}
	const want = `{"scene_info":{"start_time":"20170926114339","free_time":"0","parking_name":"A<&>/` + "\u2028" + `\"\\","space_number":"]]>"}}`
	if got := must(raw.JSON()); got != want {
		t.Errorf("got %s, want %s: raw UTF-8, no escape that JSON does not ask for", got, want)
	}
}

// TestWireV2 holds the elements of an entry notification and their order, and the vector's signature over them.
func TestWireV2(t *testing.T) {
	space := entry
	space.TradeScene, space.Scene = wechatpay.SceneParkingSpace, wechatpay.Scene{
		StartTime: "20170926114339", FreeTime: "1200", SubOpenID: "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", SpaceNumber: "D6666",
	}
	direct := entry
	direct.SubAppID, direct.SubMchID = "", ""
	directWithSubAppID := entry
	directWithSubAppID.SubMchID = ""
	partnerNames := []string{"appid", "mch_id", "sub_appid", "sub_mch_id", "nonce_str", "sign_type", "version", "trade_scene", "scene_info", "sign"}
	directNames := []string{"appid", "mch_id", "nonce_str", "sign_type", "version", "trade_scene", "scene_info", "sign"}
	for name, tc := range map[string]struct {
		entry   wechatpay.Entry
		names   []string
		path    string
		version string
	}{
		"partner, a car park":          {entry, partnerNames, wechatpaysim.RouteVehiclePartner, "3.0"},
		"partner, a space":             {space, partnerNames, wechatpaysim.RouteVehiclePartner, "2.0"},
		"direct":                       {direct, directNames, wechatpaysim.RouteVehicleDirect, "3.0"},
		"direct, a sub_appid is given": {directWithSubAppID, directNames, wechatpaysim.RouteVehicleDirect, "3.0"},
	} {
		t.Run(name, func(t *testing.T) {
			c, s := client(successV2)
			if _, err := c.NotifyEntry(t.Context(), &functest.Source[wechatpay.V2Keys]{Value: keysV2(apiV2Key, otherV2Key)}, tc.entry); err != nil {
				t.Fatal(err)
			}
			req, d := s.requests[0], must(flatxml.Parse([]byte(s.bodies[0])))
			if got, want := req.URL.String(), baseURL+tc.path; got != want || req.Method != http.MethodPost {
				t.Errorf("got %s %s, want POST %s", req.Method, got, want)
			}
			var names []string
			fields := make(map[string]string)
			for _, e := range d {
				names, fields[e.Name] = append(names, e.Name), e.Value
			}
			if !slices.Equal(names, tc.names) {
				t.Errorf("got elements %v, want %v", names, tc.names)
			}
			if got := d.Get("version"); got != tc.version {
				t.Errorf("got version %q, want %q", got, tc.version)
			}
			if n := len(d.Get("nonce_str")); n != 32 {
				t.Errorf("got a nonce of %d characters, want 32", n)
			}
			// With the vector's nonce in the place of ours the rest must be the vector's.
			for _, v := range loadVectors(t).V2 {
				if v.Fields["trade_scene"] != fields["trade_scene"] || tc.entry.SubMchID == "" {
					continue
				}
				delete(fields, "sign")
				fields["nonce_str"] = v.Fields["nonce_str"]
				if diff := cmp.Diff(v.Fields, fields); diff != "" {
					t.Errorf("(-vector +got):\n%s", diff)
				}
			}
			wantHeader(t, req, map[string]string{"Accept": "application/xml, text/xml", "Content-Type": "application/xml; charset=utf-8", "User-Agent": "wechat-parking-gateway"})
		})
	}
}

// TestWireV3 holds the headers of a parking sync.
func TestWireV3(t *testing.T) {
	for name, keyID := range map[string]string{"a key is asked for": publicKeyID, "none is": ""} {
		t.Run(name, func(t *testing.T) {
			keys := keysV3()
			keys.ResponseKeyID = keyID
			c, s := client(success204)
			if err := c.SyncParking(t.Context(), &functest.Source[wechatpay.V3Keys]{Value: keys}, parking); err != nil {
				t.Fatal(err)
			}
			req := s.requests[0]
			if got, want := req.URL.String(), baseURL+wechatpaysim.RouteParkings; got != want || req.Method != http.MethodPost {
				t.Errorf("got %s %s, want POST %s", req.Method, got, want)
			}
			a := authorizationOf(t, req)
			if a["mchid"] != merchantID || a["serial_no"] != serialNo || len(a["nonce_str"]) != 32 || !holds(t, req, s.bodies[0], &ownKey().PublicKey) {
				t.Errorf("got %v, want mchid, serial_no, a nonce of 32 and a signature that holds", a)
			}
			want := map[string]string{
				"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "wechat-parking-gateway",
				"Authorization": req.Header.Get("Authorization"),
			}
			if keyID != "" {
				want["Wechatpay-Serial"] = keyID
			}
			wantHeader(t, req, want)
		})
	}
}

// wantHeader holds a request's headers, all of them.
func wantHeader(t *testing.T, req *http.Request, want map[string]string) {
	t.Helper()
	got := make(map[string]string)
	for name, values := range req.Header {
		got[name] = strings.Join(values, "\x00")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestBackupFor(t *testing.T) {
	for base, want := range map[string]string{
		wechatpay.DefaultBaseURL: wechatpay.DefaultBackupURL, "http://127.0.0.1:1": "http://127.0.0.1:1", wechatpay.DefaultBackupURL: wechatpay.DefaultBackupURL,
	} {
		if got := wechatpay.BackupFor(base); got != want {
			t.Errorf("%s: got %s, want %s", base, got, want)
		}
	}
}

// play is a gateway's client and credentials in a fixture's world, with the simulator behind them.
type play struct {
	client    *wechatpay.Client
	v3        wechatpay.V3Credentials
	v2        wechatpay.V2Credentials
	merchant  *merchant.Merchant
	simulator *wechatpaysim.Simulator
}

func newPlay(t *testing.T, w *fixture.World) play {
	t.Helper()
	w.WeChatPay.Now = time.Now
	sim := must(wechatpaysim.New(w.WeChatPay))
	t.Cleanup(sim.Close)
	m := must(merchant.Parse([][]byte{functest.Document(t, w.Merchant)}))
	key := must(merchant.ParseKey([][]byte{functest.Document(t, w.MerchantKey)}))
	merchants := &functest.Source[*merchant.Merchant]{Value: m}
	c, _ := client()
	c.Transport = functest.Transport(sim)
	return play{
		client: c, merchant: m, simulator: sim,
		v3: wechatpay.V3Credentials{Merchants: merchants, Keys: &functest.Source[*merchant.Key]{Value: key}},
		v2: wechatpay.V2Credentials{Merchants: merchants},
	}
}

func (p play) park(ctx context.Context) error {
	parking := wechatpay.Parking{
		BrandID: fixture.BrandID, AppID: fixture.CircleAppID, OpenID: fixture.OpenID, PlateNumber: fixture.Plate,
		State: "OUT", Time: "2022-06-01T10:43:39+08:00",
	}
	if p.merchant.Mode == merchant.Partner {
		parking.SubMchID = fixture.SubMchID
	}
	return p.client.SyncParking(ctx, p.v3, parking)
}

func (p play) enter(ctx context.Context) (wechatpay.EntryAnswer, error) {
	e := entry
	e.AppID, e.MchID = p.merchant.AppID, p.merchant.MchID
	if p.merchant.Mode == merchant.Direct {
		e.SubAppID, e.SubMchID = "", ""
	}
	return p.client.NotifyEntry(ctx, p.v2, e)
}

// TestSimulatorAgrees holds both calls to the simulator's own reading of WeChat Pay's pages, in both modes.
func TestSimulatorAgrees(t *testing.T) {
	for _, mode := range []merchant.Mode{merchant.Partner, merchant.Direct} {
		t.Run(string(mode), func(t *testing.T) {
			w := functest.NewWorld(t)
			if mode == merchant.Direct {
				w.Direct()
			}
			p := newPlay(t, w)
			p.simulator.SetState(plateNumber, wechatpaysim.State{UserState: "BLOCK"})
			if err := p.park(t.Context()); err != nil {
				t.Errorf("parking: got %v", err)
			}
			got, err := p.enter(t.Context())
			if err != nil || got.UserState() != "BLOCK" || got.DeductMode() != "" {
				t.Errorf("entry: got state %q, mode %q, %v, want BLOCK and none", got.UserState(), got.DeductMode(), err)
			}
			for _, r := range p.simulator.Requests() {
				if !r.Accepted {
					t.Errorf("%s was not accepted: %s", r.Route, r.Reason)
				}
			}
		})
	}
}

// TestSimulatorFaults holds what each of the simulator's faults comes to when it lasts, and that it is got over when it
// comes once.
func TestSimulatorFaults(t *testing.T) {
	both := []string{wechatpaysim.RouteParkings, wechatpaysim.RouteVehiclePartner}
	for _, tc := range []struct {
		fault  wechatpaysim.Fault
		routes []string
		kind   wechatpay.Kind
		over   bool // once is not noticed
	}{
		{wechatpaysim.Fault{Kind: wechatpaysim.FaultStatus, Status: 502}, both, wechatpay.Unavailable, true},
		{wechatpaysim.Fault{Kind: wechatpaysim.FaultStatus, Status: 429}, both, wechatpay.RateLimited, false},
		{wechatpaysim.Fault{Kind: wechatpaysim.FaultStatus, Status: 403, Code: "NO_AUTH"}, both[:1], wechatpay.NoPermission, false},
		{wechatpaysim.Fault{Kind: wechatpaysim.FaultSystemError}, both, wechatpay.Unavailable, true},
		{wechatpaysim.Fault{Kind: wechatpaysim.FaultErrCode, Code: "NOAUTH"}, both[1:], wechatpay.NoPermission, false},
		{wechatpaysim.Fault{Kind: wechatpaysim.FaultDelay, Delay: 4 * time.Second}, both, wechatpay.Unknown, true},
		{wechatpaysim.Fault{Kind: wechatpaysim.FaultHang}, both, wechatpay.Unknown, true},
		{wechatpaysim.Fault{Kind: wechatpaysim.FaultResetBeforeRead}, both, wechatpay.Unknown, true},
		{wechatpaysim.Fault{Kind: wechatpaysim.FaultResetAfterRead}, both, wechatpay.Unknown, true},
		{wechatpaysim.Fault{Kind: wechatpaysim.FaultTruncated}, both, wechatpay.Unknown, true},
		{wechatpaysim.Fault{Kind: wechatpaysim.FaultWrongSignature}, both, wechatpay.Unverified, true},
		{wechatpaysim.Fault{Kind: wechatpaysim.FaultNoSignature}, both, wechatpay.Unverified, true},
		{wechatpaysim.Fault{Kind: wechatpaysim.FaultProbe}, both, wechatpay.Unverified, true},
		{wechatpaysim.Fault{Kind: wechatpaysim.FaultUnknownSerial}, both[:1], wechatpay.Unverified, true},
		{wechatpaysim.Fault{Kind: wechatpaysim.FaultStale}, both[:1], wechatpay.Unverified, true},
	} {
		for _, route := range tc.routes {
			for _, times := range []int{1, 3} {
				t.Run(string(tc.fault.Kind)+" "+route, func(t *testing.T) {
					w := functest.NewWorld(t)
					synctest.Test(t, func(t *testing.T) {
						p := newPlay(t, w)
						fault := tc.fault
						fault.Route, fault.Times = route, times
						if err := p.simulator.Inject(fault); err != nil {
							t.Fatal(err)
						}
						err := p.park(t.Context())
						if route == wechatpaysim.RouteVehiclePartner {
							_, err = p.enter(t.Context())
						}
						if times == 1 && tc.over {
							if err != nil {
								t.Errorf("once: got %v, want it got over", err)
							}
							return
						}
						if got := failure(t, err); got.Kind != tc.kind {
							t.Errorf("%d times: got %v, want kind %d", times, got, tc.kind)
						}
					})
				})
			}
		}
	}
}
